package machine

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"maps"
)

// MaxDepth is how deep values may be nested, the bound of encoding/json.
const MaxDepth = 10_000

// Of makes a value that may be shared of JSON values: nil, bool, string, int,
// int64, float64, json.Number, []string, []any, map[string]any; a *Value is
// returned as it is, if it is shared already. It copies composites, not strings.
func Of(x any) (*Value, error) {
	v, err := of(x, 0)
	if err != nil {
		return nil, err
	}
	return v.freeze(), nil
}

func of(x any, depth int) (*Value, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("%w: more than %d levels", ErrDepth, MaxDepth)
	}
	switch x := x.(type) {
	case nil:
		return nullValue, nil
	case bool:
		return boolValue(x), nil
	case string:
		return &Value{kind: String, s: x}, nil
	case int:
		return &Value{kind: Number, isInt: true, n: int64(x)}, nil
	case int64:
		return &Value{kind: Number, isInt: true, n: x}, nil
	case float64:
		return ofFloat(x)
	case json.Number:
		return ofNumber(x)
	case []string:
		v := &Value{kind: Array}
		for _, s := range x {
			v.elems = append(v.elems, &Value{kind: String, s: s})
		}
		return v, nil
	case []any:
		v := &Value{kind: Array}
		for i := range x {
			e, err := of(x[i], depth+1)
			if err != nil {
				return nil, err
			}
			v.elems = append(v.elems, e)
		}
		return v, nil
	case map[string]any:
		return ofMap(x, depth)
	case *Value:
		if !x.frozen {
			return nil, fmt.Errorf("a value of an evaluation is not shared")
		}
		return x, nil
	}
	return nil, fmt.Errorf("a value of type %T is not JSON", x)
}

func ofMap(x map[string]any, depth int) (*Value, error) {
	v := &Value{kind: Object, sorted: true}
	for _, k := range slices.Sorted(maps.Keys(x)) {
		e, err := of(x[k], depth+1)
		if err != nil {
			return nil, err
		}
		v.keys = append(v.keys, &Value{kind: String, s: k})
		v.elems = append(v.elems, e)
	}
	return v, nil
}

// ofFloat writes whole numbers as integers, as the engine does for OPA.
func ofFloat(x float64) (*Value, error) {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return nil, fmt.Errorf("%v is not a JSON number", x)
	case x == math.Trunc(x) && math.Abs(x) < 1<<53:
		return &Value{kind: Number, isInt: true, n: int64(x)}, nil
	}
	return &Value{kind: Number, s: strconv.FormatFloat(x, 'g', -1, 64)}, nil
}

// maxNumber is how many characters a number may have. Its exponent is bounded by
// what float64 holds: OPA computes exactly, and would need all digits of
// 1e999999999.
const maxNumber = 1024

func ofNumber(x json.Number) (*Value, error) {
	if _, err := x.Float64(); err != nil || len(x) > maxNumber || !json.Valid([]byte(x)) {
		return nil, fmt.Errorf("%.40q is no JSON number of at most %d characters that float64 can hold", string(x), maxNumber)
	}
	n := numberOf(string(x))
	return &n, nil
}

// rooted returns a copy of a shared value that says of itself that it is the
// base document.
func (v *Value) rooted() *Value {
	if v.kind < Array {
		return v
	}
	n := *v
	n.base = true
	n.elems = make([]*Value, len(v.elems))
	for i, x := range v.elems {
		n.elems[i] = x.rooted()
	}
	return &n
}
