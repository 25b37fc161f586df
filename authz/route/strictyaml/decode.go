package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds on the input.
const (
	// MaxSize of a file in bytes: room for 10,000 routes with all their
	// settings.
	MaxSize = 8 << 20
	// maxDepth of nesting; our deepest file needs 8.
	maxDepth = 32
)

// Decode reads the one YAML document in data into the struct that into points
// to. file is only for messages.
//
// A struct's keys are its fields' yaml tags; fields without one are left
// alone, but for a field of type Where, which is filled. Tag options:
// "required" refuses a mapping without the key, "oneormany" lets a list be
// given as a single value, and "short" lets a plain value or a list stand for
// the whole mapping. Field types: string, bool, integers, floats,
// time.Duration ("30s", never negative), structs, pointers to structs, slices,
// maps with string keys, any type that implements encoding.TextUnmarshaler,
// and any or map[string]any for free JSON (string, float64, bool, nil, []any,
// map[string]any). An empty file leaves into as it is.
//
// The error is an *Errors. Values are never quoted in it, since they may be
// secrets.
func Decode(file string, data []byte, into any) error {
	d := &decoder{file: file}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("strictyaml: Decode needs a pointer to a struct, not %T", into)
	}
	if len(data) > MaxSize {
		d.fail(0, "the file has %d bytes; the limit is %d", len(data), MaxSize)
		return d.report.Err()
	}
	root := d.parse(data)
	if root != nil {
		d.value(root, v.Elem(), "", 0)
	}
	return d.report.Err()
}

type decoder struct {
	file   string
	report Report
}

func (d *decoder) fail(line int, format string, args ...any) {
	d.report.add(d.file, line, fmt.Sprintf(format, args...))
}

// parse returns the document's root node, nil when there is none or when a
// problem was reported.
func (d *decoder) parse(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		d.syntax(err)
		return nil
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(err)
		return nil
	default:
		d.fail(second.Line, "a second document begins here; one file holds one document, take the --- out")
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	return root
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// syntax reports what the YAML parser itself refused, in our form.
func (d *decoder) syntax(err error) {
	line, text := 0, strings.ReplaceAll(err.Error(), "\n", " ")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	d.fail(line, "this is no valid YAML: %s", text)
}

// plain refuses what none of our files needs: aliases, anchors, tags and
// nesting beyond reason.
func (d *decoder) plain(n *yaml.Node, path string, depth int) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.fail(n.Line, "%sanchors and aliases (& and *) are not allowed here; write the value out", at(path))
	case n.Style&yaml.TaggedStyle != 0:
		d.fail(n.Line, "%stags (!) are not allowed here; write the plain value", at(path))
	case depth > maxDepth:
		d.fail(n.Line, "nested more than %d deep", maxDepth)
	default:
		return true
	}
	return false
}

// at puts a key's path before a message.
func at(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

// join builds the path of a key for messages, as in "hosts[0].routes[2].name".
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// pairs calls f for each key of a mapping, once per name; other kinds of key
// and repeated keys are reported.
func (d *decoder) pairs(n *yaml.Node, path string, f func(key string, k, v *yaml.Node)) {
	first := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if !d.plain(k, path, 0) {
			continue
		}
		if k.Kind != yaml.ScalarNode || k.Tag != "!!str" {
			d.fail(k.Line, "%sa key must be text; put it in quotes", at(path))
			continue
		}
		if line, dup := first[k.Value]; dup {
			d.fail(k.Line, "%sthe key %s is given twice, first on line %d; take one out", at(path), quote(k.Value), line)
			continue
		}
		first[k.Value] = k.Line
		f(k.Value, k, v)
	}
}

// quote shows a key, cut to a sensible length.
func quote(key string) string {
	if r := []rune(key); len(r) > 60 {
		key = string(r[:60]) + "…"
	}
	return strconv.Quote(key)
}
