package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// MaxSize bounds a configuration: 10,000 routes take some 8 MiB.
const MaxSize = 64 << 20

// maxDepth bounds how deep it may be nested; Envoy's own are some 30 deep.
const maxDepth = 200

var (
	errTooLarge = fmt.Errorf("is larger than %d MiB", MaxSize>>20)
	errTooDeep  = fmt.Errorf("is nested deeper than %d", maxDepth)
	errNoTree   = errors.New("is no configuration: want a YAML or JSON object")
)

// parse reads YAML or JSON into maps with keys in snake_case, as protobuf reads
// both spellings of a field.
func parse(data []byte) (node, error) {
	if len(data) > MaxSize {
		return node{}, errTooLarge
	}
	var v any
	if b := bytes.TrimSpace(data); len(b) > 0 && b[0] == '{' && json.Valid(b) {
		if err := json.Unmarshal(b, &v); err != nil { // bounds its own depth
			return node{}, fmt.Errorf("is no JSON: %w", err)
		}
	} else if err := yaml.Unmarshal(data, &v); err != nil { // bounds what aliases grow to
		return node{}, fmt.Errorf("is no YAML: %w", err)
	}
	v, err := plain(v, 0)
	if err != nil {
		return node{}, err
	}
	if _, ok := v.(map[string]any); !ok {
		return node{}, errNoTree
	}
	return node{v: v}, nil
}

func plain(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	var err error
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, el := range x {
			if out[snake(k)], err = plain(el, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[any]any:
		out := make(map[string]any, len(x))
		for k, el := range x {
			if out[snake(fmt.Sprint(k))], err = plain(el, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i, el := range x {
			if out[i], err = plain(el, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// snake turns a field's lowerCamelCase into snake_case and leaves names of other
// things (with dots, dashes or capitals first) alone.
func snake(k string) string {
	if k == "" || !unicode.IsLower(rune(k[0])) || strings.ContainsAny(k, ".-/ ") || strings.ToLower(k) == k {
		return k
	}
	var b strings.Builder
	for _, r := range k {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// node is a place in the tree. What is not there has a nil value and a path all
// the same, so that a finding can say what is missing.
type node struct {
	path string
	v    any
}

func (n node) there() bool { return n.v != nil }

// at goes down by names of fields.
func (n node) at(keys ...string) node {
	for _, k := range keys {
		m, _ := n.v.(map[string]any)
		path := k
		if n.path != "" {
			path = n.path + "." + k
		}
		if strings.ContainsAny(k, ". ") {
			path = fmt.Sprintf("%s[%q]", n.path, k)
		}
		n = node{path: path, v: m[k]}
	}
	return n
}

// list is the elements of a list.
func (n node) list() []node {
	s, _ := n.v.([]any)
	out := make([]node, len(s))
	for i, el := range s {
		out[i] = node{path: fmt.Sprintf("%s[%d]", n.path, i), v: el}
	}
	return out
}

func (n node) text() string {
	switch x := n.v.(type) {
	case string:
		return x
	case nil:
		return ""
	default:
		return fmt.Sprint(x)
	}
}

// yes reads a bool, also a wrapped one ({value: true}).
func (n node) yes() bool {
	if m, ok := n.v.(map[string]any); ok {
		return node{v: m["value"]}.yes()
	}
	return n.text() == "true"
}

// number reads a number, also a wrapped or quoted one; ok is false for anything
// else.
func (n node) number() (float64, bool) {
	switch x := n.v.(type) {
	case int:
		return float64(x), true
	case int64:
		return float64(x), true
	case uint64:
		return float64(x), true
	case float64:
		return x, true
	case string:
		f, err := strconv.ParseFloat(x, 64)
		return f, err == nil
	case map[string]any:
		return node{v: x["value"]}.number()
	}
	return 0, false
}

// enum reads an enum by name or number; names are in the order of their numbers.
func (n node) enum(names ...string) string {
	if i, ok := n.number(); ok && i >= 0 && int(i) < len(names) {
		return names[int(i)]
	}
	if !n.there() {
		return names[0]
	}
	return n.text()
}

// duration reads a duration; ok is false where there is none.
func (n node) duration() (time.Duration, bool) {
	if !n.there() {
		return 0, false
	}
	d, err := time.ParseDuration(n.text())
	return d, err == nil
}

// typed is the short name of a typed config's type: "ExtAuthz".
func (n node) typed() string {
	t := n.at("@type").text()
	if u := n.at("type_url").text(); u != "" && strings.HasSuffix(t, "TypedStruct") {
		t = u
	}
	return t[strings.LastIndexAny(t, "./")+1:]
}

// body is where a typed config's fields are: a TypedStruct has them in value.
func (n node) body() node {
	if strings.HasSuffix(n.at("@type").text(), "TypedStruct") {
		return n.at("value")
	}
	return n
}
