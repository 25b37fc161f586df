package ppl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Names of the files, and the folder of the policy set.
const (
	dataFile   = "data.yaml"
	policyDir  = "policies/"
	routesFile = "routes.yaml"
	reportFile = "REPORT.txt"
)

func (im *importer) write() (*Result, error) {
	out := &Result{Files: map[string][]byte{}, Notes: im.notes, Lines: map[string]int{}}
	for name, text := range im.options.Base {
		out.Files[policyDir+name] = text
	}
	for _, name := range []string{"ppl.rego", "ppl_test.rego"} {
		text, err := regoFiles.ReadFile("rego/" + name)
		if err != nil {
			return nil, err
		}
		out.Files[policyDir+"lib/"+name] = text
	}
	var views []routeView
	for _, r := range im.routes {
		v := im.view(r)
		views = append(views, v)
		out.Routes, out.Lines[r.name] = append(out.Routes, r.name), r.line
		name := "imported/" + v.Ident + ".rego"
		text, err := render("route.rego.tmpl", name, v)
		if err != nil {
			return nil, err
		}
		out.Files[policyDir+name] = text
	}
	for name, data := range map[string]any{"authz.rego": map[string]any{"Routes": views}, "authz_test.rego": im.tests()} {
		text, err := render(name+".tmpl", name, data)
		if err != nil {
			return nil, err
		}
		out.Files[policyDir+name] = text
	}
	var err error
	if out.Files[policyDir+dataFile], err = im.data(); err != nil {
		return nil, err
	}
	if out.Files[routesFile], err = im.routesFile(); err != nil {
		return nil, err
	}
	out.Files[reportFile] = []byte(report(im.name, im.notes))
	return out, nil
}

// data is the base's with what the criteria hold people against.
func (im *importer) data() ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(im.options.Base[dataFile], &doc); err != nil {
		return nil, fmt.Errorf("base data: %w", err)
	}
	if len(doc.Content) != 1 || len(doc.Content[0].Content) != 2 || !isMap(doc.Content[0].Content[1]) {
		return nil, fmt.Errorf("base data: want the one key neosc")
	}
	imported := map[string]any{}
	for _, r := range im.routes {
		d := maps.Clone(r.data)
		if len(r.hours) > 0 {
			d["hours"] = windows(r.hours)
		}
		if len(r.limits) > 0 {
			d["limits"] = limits(r.limits)
		}
		if len(r.alsoRoles) > 0 {
			d["also_roles"] = list(r.alsoRoles)
		}
		imported[r.ident()] = d
	}
	root := doc.Content[0].Content[1]
	for _, p := range []struct {
		key, comment string
		value        any
	}{
		{"expiry_claims", "Claims that end what a session may do, once they have passed.", list(im.expiry)},
		{"imported", "What imported/*.rego hold requests against, by route and criterion.", imported},
	} {
		var value yaml.Node
		if err := value.Encode(p.value); err != nil {
			return nil, err
		}
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: p.key, HeadComment: p.comment}, &value)
	}
	return encode(&doc)
}

func windows(all []window) []any {
	out := make([]any, len(all))
	for i, w := range all {
		out[i] = w.data()
	}
	return out
}

func limits(all []limit) []any {
	out := make([]any, len(all))
	for i, l := range all {
		out[i] = map[string]any{"requests_per_second": l.rate, "burst": l.burst}
	}
	return out
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// report is the notes in words.
func report(name string, notes []Note) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Import of %s\n", name)
	for _, k := range []struct {
		kind  Kind
		title string
	}{
		{Denies, "Has no equivalent, and refuses"},
		{Stricter, "Read as a condition: stricter than Pomerium"},
		{Look, "To look at"},
	} {
		first := true
		for _, n := range notes {
			if n.Kind != k.kind {
				continue
			}
			if first {
				fmt.Fprintf(&b, "\n%s\n", k.title)
				first = false
			}
			fmt.Fprintf(&b, "  %s\n", n)
		}
	}
	if len(notes) == 0 {
		b.WriteString("\nEverything has an equivalent.\n")
	}
	return b.String()
}

// String is the note as the report has it.
func (n Note) String() string {
	at := ""
	if n.Line > 0 {
		at = fmt.Sprintf("line %d: ", n.Line)
	}
	if n.Route != "" && !strings.HasPrefix(n.Route, "\x00") {
		at += "route " + n.Route + ": "
	}
	return comment(at + n.Key + ": " + n.What)
}

// JSON is the notes for programs.
func (r *Result) JSON() ([]byte, error) {
	notes := r.Notes
	if notes == nil {
		notes = []Note{}
	}
	return json.MarshalIndent(map[string]any{"routes": r.Routes, "files": slices.Sorted(maps.Keys(r.Files)), "notes": notes}, "", "  ")
}
