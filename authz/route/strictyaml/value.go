package strictyaml

import (
	"encoding"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	whereType    = reflect.TypeFor[Where]()
)

// value decodes node n into v, which is settable.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string, depth int) {
	if !d.plain(n, path, depth) {
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(n, u, path)
		return
	}
	switch {
	case v.Type() == durationType:
		d.duration(n, v, path)
	case v.Kind() == reflect.Pointer:
		elem := reflect.New(v.Type().Elem())
		d.value(n, elem.Elem(), path, depth)
		v.Set(elem)
	case v.Kind() == reflect.Struct:
		d.structure(n, v, path, depth)
	case v.Kind() == reflect.Slice:
		d.slice(n, v, path, depth)
	case v.Kind() == reflect.Map:
		d.mapping(n, v, path, depth)
	case v.Kind() == reflect.Interface:
		if free := d.free(n, path, depth); free != nil {
			v.Set(reflect.ValueOf(free))
		}
	default:
		d.scalar(n, v, path)
	}
}

// field is one key of a struct.
type field struct {
	index               int
	required, oneOrMany bool
	// short: a plain value or a list in the mapping's place means this key.
	short bool
}

// fields lists a struct's keys in the order of declaration.
func fields(t reflect.Type) (names []string, byName map[string]field) {
	byName = make(map[string]field, t.NumField())
	for i := range t.NumField() {
		name, opts, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		names = append(names, name)
		byName[name] = field{i, strings.Contains(opts, "required"), strings.Contains(opts, "oneormany"), strings.Contains(opts, "short")}
	}
	return names, byName
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string, depth int) {
	names, byName := fields(v.Type())
	n = written(n, names, byName)
	if n.Kind != yaml.MappingNode {
		d.wrong(n, path, "a mapping (key: value)")
		return
	}
	where := Where{file: d.file, line: n.Line, keys: make(map[string]int, len(n.Content)/2)}
	d.pairs(n, path, func(key string, k, val *yaml.Node) {
		f, known := byName[key]
		if !known {
			d.unknown(k, path, names)
			return
		}
		where.keys[key] = k.Line
		for i, el := range val.Content {
			switch {
			case val.Kind == yaml.SequenceNode:
				where.keys[key+"["+strconv.Itoa(i)+"]"] = el.Line
			case val.Kind == yaml.MappingNode && i%2 == 0:
				where.keys[key+"."+el.Value] = el.Line
			}
		}
		if f.oneOrMany && val.Kind == yaml.ScalarNode {
			val = &yaml.Node{Kind: yaml.SequenceNode, Line: val.Line, Content: []*yaml.Node{val}}
		}
		d.value(val, v.Field(f.index), join(path, key), depth+1)
	})
	for _, name := range names {
		if _, has := where.keys[name]; byName[name].required && !has {
			d.fail(n.Line, "%sthe key %q is missing", at(path), name)
		}
	}
	for i := range v.NumField() {
		if v.Type().Field(i).Type == whereType && v.Field(i).CanSet() {
			v.Field(i).Set(reflect.ValueOf(where))
		}
	}
}

// written gives the mapping that a plain value or list is short for, if the
// struct has a key for it.
func written(n *yaml.Node, names []string, byName map[string]field) *yaml.Node {
	if n.Kind != yaml.ScalarNode && n.Kind != yaml.SequenceNode || n.Tag == "!!null" {
		return n
	}
	for _, name := range names {
		if byName[name].short {
			key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name, Line: n.Line}
			return &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Content: []*yaml.Node{key, n}}
		}
	}
	return n
}

func (d *decoder) unknown(k *yaml.Node, path string, names []string) {
	if near, ok := Nearest(k.Value, names); ok {
		d.fail(k.Line, "%sunknown key %s; did you mean %q?", at(path), quote(k.Value), near)
		return
	}
	d.fail(k.Line, "%sunknown key %s; the keys here are %s", at(path), quote(k.Value), strings.Join(names, ", "))
}

func (d *decoder) slice(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, path, "a list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, el := range n.Content {
		d.value(el, out.Index(i), path+"["+strconv.Itoa(i)+"]", depth+1)
	}
	v.Set(out)
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, path, "a mapping (key: value)")
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	d.pairs(n, path, func(key string, _, val *yaml.Node) {
		el := reflect.New(v.Type().Elem()).Elem()
		d.value(val, el, join(path, key), depth+1)
		out.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), el)
	})
	v.Set(out)
}

// wrong reports a value of the wrong kind, without the value.
func (d *decoder) wrong(n *yaml.Node, path, expected string) {
	if path == "" {
		path = "the file"
	}
	d.fail(n.Line, "%s: expected %s, found %s", path, expected, kind(n))
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date (put it in quotes to make it text)"
	default:
		return "text"
	}
}

func (d *decoder) text(n *yaml.Node, u encoding.TextUnmarshaler, path string) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.wrong(n, path, "text")
		return
	}
	if err := u.UnmarshalText([]byte(n.Value)); err != nil {
		d.fail(n.Line, "%s: %v", path, err)
	}
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, path string) {
	dur, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || err != nil || dur < 0 {
		d.wrong(n, path, `a duration such as "30s", "5m" or "0s"`)
		return
	}
	v.SetInt(int64(dur))
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	isScalar := n.Kind == yaml.ScalarNode
	switch v.Kind() {
	case reflect.String:
		if !isScalar || n.Tag != "!!str" {
			expected := "text"
			if isScalar && n.Tag != "!!null" {
				expected = "text (put it in quotes)"
			}
			d.wrong(n, path, expected)
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		var b bool
		if !isScalar || n.Tag != "!!bool" || n.Decode(&b) != nil {
			d.wrong(n, path, "true or false")
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var i int64
		if !isScalar || n.Tag != "!!int" || n.Decode(&i) != nil || v.OverflowInt(i) {
			d.wrong(n, path, "a whole number")
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var u uint64
		if !isScalar || n.Tag != "!!int" || n.Decode(&u) != nil || v.OverflowUint(u) {
			d.wrong(n, path, "a whole number, 0 or more")
			return
		}
		v.SetUint(u)
	case reflect.Float32, reflect.Float64:
		f, ok := number(n)
		if !ok || v.OverflowFloat(f) {
			d.wrong(n, path, "a number")
			return
		}
		v.SetFloat(f)
	default:
		d.fail(n.Line, "%s: this key cannot be set from a file", path)
	}
}

// number reads a finite number.
func number(n *yaml.Node) (float64, bool) {
	var f float64
	if n.Kind != yaml.ScalarNode || (n.Tag != "!!int" && n.Tag != "!!float") || n.Decode(&f) != nil {
		return 0, false
	}
	return f, !math.IsNaN(f) && !math.IsInf(f, 0)
}

// maxExact is the largest whole number that every JSON reader keeps exact.
const maxExact = 1 << 53

// free decodes free JSON.
func (d *decoder) free(n *yaml.Node, path string, depth int) any {
	if !d.plain(n, path, depth) {
		return nil
	}
	switch {
	case n.Kind == yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		d.pairs(n, path, func(key string, _, val *yaml.Node) {
			m[key] = d.free(val, join(path, key), depth+1)
		})
		return m
	case n.Kind == yaml.SequenceNode:
		l := make([]any, 0, len(n.Content))
		for i, el := range n.Content {
			l = append(l, d.free(el, path+"["+strconv.Itoa(i)+"]", depth+1))
		}
		return l
	case n.Tag == "!!null":
		return nil
	case n.Tag == "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	case n.Tag == "!!int" || n.Tag == "!!float":
		if f, ok := number(n); ok && math.Abs(f) <= maxExact {
			return f
		}
		d.wrong(n, path, "a finite number of at most 2^53")
		return nil
	}
	return n.Value // text, and dates as they are written
}
