package engine

import (
	"fmt"

	"github.com/neosc/gate/authz/engine/machine"
	"github.com/open-policy-agent/opa/v1/ast"
)

// stringList appends the strings of an array or set to out.
func stringList(field string, v *machine.Value, out []string, most, length int) ([]string, error) {
	err := eachElement(field, v, most, func(i int, t *machine.Value) error {
		s, err := boundedString(field, t, length)
		if err != nil { // the place is put together for errors alone
			_, err = boundedString(fmt.Sprintf("%s[%d]", field, i), t, length)
		}
		out = append(out, s)
		return err
	})
	return orNil(out), err
}

// orNil returns nil for an empty list, whose room is somebody else's.
func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// eachElement calls f with each element of an array or set, sets in sorted order.
func eachElement(field string, v *machine.Value, most int, f func(int, *machine.Value) error) error {
	if v.Kind() != machine.Array && v.Kind() != machine.Set {
		return wrongType(field, v, "an array or a set")
	}
	if v.Len() > most {
		return fmt.Errorf("%s has %d elements, at most %d are taken", field, v.Len(), most)
	}
	v.Sort()
	for i := range v.Len() {
		if err := f(i, v.At(i)); err != nil {
			return err
		}
	}
	return nil
}

// eachField calls f with each key and value of an object in the keys' order.
func eachField(o *machine.Value, f func(k, v *machine.Value) error) error {
	o.Sort()
	for i := range o.Len() {
		if err := f(o.Key(i), o.At(i)); err != nil {
			return err
		}
	}
	return nil
}

// eachString calls f with a string, or with each string of an array. What it is
// of is field, or field.name.
func eachString(field, name string, v *machine.Value, f func(string) error) error {
	wrong := func(v *machine.Value, want string) error {
		if name != "" {
			field += "." + name
		}
		return wrongType(field, v, want)
	}
	switch v.Kind() {
	case machine.String:
		return f(v.Text())
	case machine.Array:
		for i := range v.Len() {
			if v.At(i).Kind() != machine.String {
				return wrong(v.At(i), "a string")
			}
			if err := f(v.At(i).Text()); err != nil {
				return err
			}
		}
		return nil
	default:
		return wrong(v, "a string or an array of strings")
	}
}

// float returns a Number as OPA reads it; false when float64 cannot hold it.
func float(v *machine.Value) (float64, bool) {
	if n, ok := v.Int(); ok {
		return float64(n), true
	}
	n, ok := v.AST().(ast.Number)
	if !ok {
		return 0, false
	}
	return n.Float64()
}

// kindName names a value's type as OPA does.
func kindName(v *machine.Value) string {
	return [...]string{"null", "boolean", "number", "string", "array", "object", "set"}[v.Kind()]
}
