package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/neosc/gate/authz/engine/machine"
	"github.com/open-policy-agent/opa/v1/ast"
)

// Bounds of one JSON-like value that comes in (claims, route settings) or goes
// out (dynamic metadata). A provider's claims have some dozens of values.
const (
	maxValues = 10_000
	maxDepth  = 64
)

var errTooLarge = errors.New("too large or too deep")

// converter counts while it converts, so that hostile claims cost a bounded
// amount of time and stack.
type converter struct{ left int }

// objectTerm converts a JSON object; nil is the empty one.
func objectTerm(m map[string]any) (*ast.Term, error) {
	if len(m) == 0 {
		return ast.InternedEmptyObject, nil
	}
	c := converter{left: maxValues}
	return c.object(m, 0)
}

func (c *converter) object(m map[string]any, depth int) (*ast.Term, error) {
	items := make([]item, 0, len(m))
	for k, v := range m {
		t, err := c.term(v, depth+1)
		if err != nil {
			return nil, err
		}
		items = append(items, item{ast.StringTerm(k), t})
	}
	return ast.ObjectTerm(items...), nil
}

func (c *converter) term(x any, depth int) (*ast.Term, error) {
	if c.left--; c.left < 0 || depth > maxDepth {
		return nil, errTooLarge
	}
	switch x := x.(type) {
	case nil:
		return ast.InternedNullTerm, nil
	case bool:
		return ast.InternedTerm(x), nil
	case string:
		return ast.StringTerm(x), nil
	case int:
		return ast.IntNumberTerm(x), nil
	case int64:
		return ast.NewTerm(ast.Number(strconv.FormatInt(x, 10))), nil
	case float64:
		return floatTerm(x)
	case json.Number:
		return numberTerm(x)
	case map[string]any:
		return c.object(x, depth)
	case []string:
		if c.left -= len(x); c.left < 0 {
			return nil, errTooLarge
		}
		return stringsTerm(x), nil
	case []any:
		terms := make([]*ast.Term, len(x))
		for i := range x {
			t, err := c.term(x[i], depth+1)
			if err != nil {
				return nil, err
			}
			terms[i] = t
		}
		return ast.ArrayTerm(terms...), nil
	default:
		return nil, fmt.Errorf("a value of type %T is not JSON", x)
	}
}

// floatTerm writes whole numbers as integers, as JSON texts do: epoch seconds
// must not become 1.78e+09 when a policy prints or splits them.
func floatTerm(x float64) (*ast.Term, error) {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return nil, fmt.Errorf("%v is not a JSON number", x)
	case x == math.Trunc(x) && math.Abs(x) < 1<<53:
		return ast.NewTerm(ast.Number(strconv.FormatInt(int64(x), 10))), nil
	default:
		return ast.NewTerm(ast.Number(strconv.FormatFloat(x, 'g', -1, 64))), nil
	}
}

// numberTerm takes a number's text as it stands.
func numberTerm(x json.Number) (*ast.Term, error) {
	if !ValidNumber(x) {
		return nil, fmt.Errorf("a number is out of range")
	}
	return ast.NewTerm(ast.Number(x)), nil
}

// ValidNumber reports whether x is a JSON number that float64 can hold roughly
// and that has at most 64 characters. OPA computes exactly, and would need all
// digits of one like 1e999999999 or 1e-999999999.
func ValidNumber(x json.Number) bool {
	f, err := x.Float64()
	if err != nil || len(x) > 64 || !json.Valid([]byte(x)) {
		return false
	}
	digits, _, _ := strings.Cut(strings.ToLower(string(x)), "e")
	return f != 0 || !strings.ContainsAny(digits, "123456789")
}

// native converts a value of a decision to JSON values: sets become arrays,
// numbers float64.
func (c *converter) native(v *machine.Value, depth int) (any, error) {
	if c.left--; c.left < 0 || depth > maxDepth {
		return nil, errTooLarge
	}
	switch v.Kind() {
	case machine.Bool:
		return v.Bool(), nil
	case machine.String:
		return v.Text(), nil
	case machine.Number:
		f, ok := float(v)
		if !ok || math.IsInf(f, 0) {
			return nil, fmt.Errorf("a number is out of range")
		}
		return f, nil
	case machine.Array, machine.Set:
		v.Sort()
		out := make([]any, 0, min(v.Len(), c.left))
		for i := range v.Len() {
			x, err := c.native(v.At(i), depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
		return out, nil
	case machine.Object:
		return c.nativeObject(v, depth)
	default:
		return nil, nil
	}
}

func (c *converter) nativeObject(o *machine.Value, depth int) (map[string]any, error) {
	out := make(map[string]any, min(o.Len(), c.left))
	err := eachField(o, func(k, v *machine.Value) error {
		if k.Kind() != machine.String {
			return fmt.Errorf("a key of type %s is not JSON", kindName(k))
		}
		x, err := c.native(v, depth+1)
		out[k.Text()] = x
		return err
	})
	return out, err
}
