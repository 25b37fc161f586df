package ppl

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
)

//go:embed rego
var regoFiles embed.FS

// routeView is what templates see of a route.
type routeView struct {
	Ident, Quoted, Title, Comment string
	Imports                       []string
	Allow, Deny                   []ruleView
	Criteria                      []criterionView
	Headers                       []headerView
	Removed, Response             string
}

type ruleView struct{ Comment, Term string }

type criterionView struct {
	Comment, Name string
	Body          []string
}

type headerView struct{ Name, Value string }

// ident is the route's name as Rego can say it.
func (r *routeModel) ident() string {
	id := strings.ReplaceAll(r.name, "-", "_")
	if ast.IsKeywordInRegoVersion(id, ast.RegoV1) {
		id += "_"
	}
	return id
}

func (im *importer) view(r *routeModel) routeView {
	v := routeView{
		Ident: r.ident(), Quoted: quote(r.name), Title: "Route " + r.name, Comment: comment(fmt.Sprintf("%s %s, %s:%d", r.origin, r.match, im.name, r.line)),
		Allow: im.rules(r.allow), Deny: im.rules(r.deny), Removed: jsonText(list(r.remove)),
	}
	response := map[string]string{}
	for _, h := range r.respond {
		value := ""
		for _, p := range h.parts {
			var s string
			_ = json.Unmarshal([]byte(p), &s) // parts of responses are quoted texts
			value += s
		}
		response[h.name] = value
	}
	v.Response = jsonText(response)
	for _, h := range r.set {
		v.Headers = append(v.Headers, headerView{quote(h.name), strings.Join(h.parts, ", ")})
	}
	for _, c := range r.criteria {
		body := strings.ReplaceAll(c.body, dataMark, "data.neosc.imported."+v.Ident+".")
		v.Criteria = append(v.Criteria, criterionView{comment(fmt.Sprintf("%s:%d: %s", im.name, c.line, c.text)), c.name, strings.Split(body, "\n")})
	}
	v.Imports = imports(v)
	return v
}

// String is the match in words.
func (m matchModel) String() string {
	switch {
	case m.path != "":
		return "path " + m.path
	case m.regex != "":
		return "regex " + m.regex
	}
	return "prefix " + m.prefix
}

// imports are the helpers that a route uses: strict checks refuse others.
func imports(v routeView) []string {
	var used strings.Builder
	for _, c := range v.Criteria {
		used.WriteString(strings.Join(c.Body, " "))
	}
	for _, h := range v.Headers {
		used.WriteString(h.Value)
	}
	out := []string{"ppl"}
	for _, name := range []string{"address", "identity", "methods", "opening", "roles"} {
		if strings.Contains(used.String(), name+".") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

var operators = map[string]string{"and": "all_of", "or": "any_of", "not": "not_of", "nor": "nor_of"}

func (im *importer) rules(rules []rule) []ruleView {
	var out []ruleView
	for _, r := range rules {
		var terms []string
		for _, c := range r.criteria {
			kind := "plain"
			if c.personal {
				kind = "personal"
			}
			value := c.name
			if value == "" {
				value = c.body
			}
			terms = append(terms, "ppl."+kind+"("+value+")")
		}
		out = append(out, ruleView{
			comment(fmt.Sprintf("%s:%d: %s", im.name, r.line, said(r))), "ppl." + operators[r.op] + "([" + strings.Join(terms, ", ") + "])",
		})
	}
	return out
}

func said(r rule) string {
	names := make([]string, len(r.criteria))
	for i, c := range r.criteria {
		names[i] = c.text
	}
	return r.op + " " + strings.Join(names, ", ")
}

// comment is text that ends no comment.
func comment(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == 0x85 || c == 0x2028 || c == 0x2029 {
			return ' '
		}
		return c
	}, s)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

func jsonText(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil { // texts and lists of them
		return "null"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// render fills in a template and formats it as opa fmt does.
func render(name, as string, data any) ([]byte, error) {
	text, err := regoFiles.ReadFile("rego/" + name)
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Parse(string(text))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, err
	}
	out, err := format.SourceWithOpts(as, b.Bytes(), format.Opts{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, fmt.Errorf("what was made of the configuration is no Rego, and nothing was written: %w", err)
	}
	return out, nil
}
