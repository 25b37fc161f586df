package policies

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"
)

// baseData are the keys under "neosc" of DataFile that a set of one's own needs,
// and baseRoutes the routes of which it needs the rows.
var (
	baseData   = []string{"methods", "routes", "mfa", "explain_roles", "admin_rule"}
	baseRoutes = []string{"gate", "gate-api"}
)

// Base returns what every policy set of one's own begins with, by slash-separated
// name: the helpers (lib/*.rego), the schema, and of the data what says who
// reaches the gate's own pages, without which nobody could sign in.
func Base() (map[string][]byte, error) {
	out := map[string][]byte{}
	helpers, err := fs.Glob(files, "lib/*.rego")
	if err != nil {
		return nil, err
	}
	for _, name := range append(helpers, SchemaFile) {
		if out[name], err = fs.ReadFile(files, name); err != nil {
			return nil, err
		}
	}
	text, err := fs.ReadFile(files, DataFile)
	if err != nil {
		return nil, err
	}
	if out[DataFile], err = baseOf(text); err != nil {
		return nil, fmt.Errorf("%s: %w", path.Base(DataFile), err)
	}
	return out, nil
}

// baseOf keeps comments: they say what may be changed.
func baseOf(text []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	root := value(doc.Content[0], "neosc")
	if root == nil {
		return nil, fmt.Errorf("there is no neosc")
	}
	keep(root, baseData)
	routes := value(root, "routes")
	if routes == nil {
		return nil, fmt.Errorf("there are no routes")
	}
	keep(routes, baseRoutes)
	doc.Content[0].HeadComment, doc.HeadComment = "", "What the gate's own pages need, and what else the rules here decide by."
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// value is that of a key in a mapping, nil without.
func value(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

// keep takes the other keys out of a mapping.
func keep(m *yaml.Node, keys []string) {
	var kept []*yaml.Node
	for i := 0; i+1 < len(m.Content); i += 2 {
		if slices.Contains(keys, m.Content[i].Value) {
			kept = append(kept, m.Content[i], m.Content[i+1])
		}
	}
	m.Content = kept
}
