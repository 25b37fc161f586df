package engine

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/neosc/gate/authz"
	"github.com/open-policy-agent/opa/v1/ast"
)

// headers reads an object from name to value or values, or an array of such
// objects (which opa-envoy-plugin takes too).
func (p *parser) headers(field, on string, v *ast.Term, allow func(string) bool) ([]authz.Header, error) {
	var out []authz.Header
	add := func(o ast.Object) error {
		return o.Iter(func(k, v *ast.Term) error {
			name, ok := k.Value.(ast.String)
			if !ok || !validHeaderName(string(name)) {
				return fmt.Errorf("%s has a key that is no header name", field)
			}
			lower := strings.ToLower(string(name))
			if !allow(lower) {
				return fmt.Errorf("%s sets %s, which policy may not set on %s: name it in set_headers (towards upstreams) or response_headers (towards clients) of the routes file, or take it out", field, lower, on)
			}
			return eachString(field+"."+lower, v, func(value string) error {
				if !validHeaderValue(value) {
					return fmt.Errorf("%s.%s has a value with a control character, bad UTF-8 or more than %d bytes", field, lower, maxHeaderValue)
				}
				if len(out) == maxHeaders {
					return fmt.Errorf("%s has more than %d headers", field, maxHeaders)
				}
				out = append(out, authz.Header{Name: lower, Value: value})
				return nil
			})
		})
	}
	switch x := v.Value.(type) {
	case ast.Object:
		return out, add(x)
	case *ast.Array:
		for i := range x.Len() {
			o, ok := x.Elem(i).Value.(ast.Object)
			if !ok {
				return nil, wrongType(fmt.Sprintf("%s[%d]", field, i), x.Elem(i), "an object")
			}
			if err := add(o); err != nil {
				return nil, err
			}
		}
		return out, nil
	default:
		return nil, wrongType(field, v, "an object of header names and values")
	}
}

// validHeaderValue refuses what could end the field and begin another (CR, LF,
// NUL; RFC 9110, 5.5), any other control character, and what protobuf strings
// cannot carry.
func validHeaderValue(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return len(s) <= maxHeaderValue && utf8.ValidString(s)
}

func (p *parser) querySet(v *ast.Term) ([]authz.QueryParameter, error) {
	o, ok := v.Value.(ast.Object)
	if !ok {
		return nil, wrongType("query_parameters_to_set", v, "an object")
	}
	var out []authz.QueryParameter
	err := o.Iter(func(k, v *ast.Term) error {
		name, err := boundedString("a name in query_parameters_to_set", k, maxQueryValue)
		if err != nil {
			return err
		}
		return eachString("query_parameters_to_set", v, func(value string) error {
			if len(out) == maxQueryParameters || len(value) > maxQueryValue || !utf8.ValidString(value) {
				return fmt.Errorf("query_parameters_to_set has more than %d parameters, or a value with bad UTF-8 or more than %d bytes", maxQueryParameters, maxQueryValue)
			}
			out = append(out, authz.QueryParameter{Name: name, Value: value})
			return nil
		})
	})
	return out, err
}

// charges reads rate_limits. Numbers must be in the ranges of authz.Charge: a
// limiter that got an infinite rate or a cost above the burst would never
// refuse, or always.
func (p *parser) charges(v *ast.Term) ([]authz.Charge, error) {
	var out []authz.Charge
	err := eachTerm("rate_limits", v, maxCharges, func(i int, t *ast.Term) error {
		o, ok := t.Value.(ast.Object)
		if !ok {
			return wrongType(fmt.Sprintf("rate_limits[%d]", i), t, "an object")
		}
		c, err := charge(o)
		if err != nil {
			return fmt.Errorf("rate_limits[%d].%w", i, err)
		}
		out = append(out, c)
		return nil
	})
	return out, err
}

func charge(o ast.Object) (c authz.Charge, err error) {
	if c.Name, err = bucketName("name", o); err != nil {
		return c, err
	}
	if c.Key, err = bucketName("key", o); err != nil {
		return c, err
	}
	if c.Rate, err = number("requests_per_second", o); err != nil {
		return c, err
	}
	if !(c.Rate > 0 && c.Rate <= maxRate) {
		return c, fmt.Errorf("requests_per_second is not above 0 and at most %d", int(maxRate))
	}
	if c.Burst, err = whole("burst", o, 1, maxRate); err != nil {
		return c, err
	}
	c.Cost = 1
	if o.Get(ast.InternedTerm("cost")) != nil {
		c.Cost, err = whole("cost", o, 0, c.Burst)
	}
	return c, err
}

func bucketName(field string, o ast.Object) (string, error) {
	t := o.Get(ast.InternedTerm(field))
	if t == nil {
		return "", fmt.Errorf("%s is missing", field)
	}
	s, err := boundedString(field, t, maxBucketName)
	if err == nil && (s == "" || !validHeaderValue(s)) {
		err = fmt.Errorf("%s is empty or has a control character", field)
	}
	return s, err
}

func number(field string, o ast.Object) (float64, error) {
	t := o.Get(ast.InternedTerm(field))
	if t == nil {
		return 0, fmt.Errorf("%s is missing", field)
	}
	n, ok := t.Value.(ast.Number)
	if !ok {
		return 0, wrongType(field, t, "a number")
	}
	f, ok := n.Float64()
	if !ok || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, fmt.Errorf("%s is out of range", field)
	}
	return f, nil
}

func whole(field string, o ast.Object, from, to int) (int, error) {
	f, err := number(field, o)
	if err != nil {
		return 0, err
	}
	if f != math.Trunc(f) || f < float64(from) || f > float64(to) {
		return 0, fmt.Errorf("%s is not a whole number from %d to %d", field, from, to)
	}
	return int(f), nil
}

func boundedString(field string, v *ast.Term, most int) (string, error) {
	s, ok := v.Value.(ast.String)
	if !ok {
		return "", wrongType(field, v, "a string")
	}
	if len(s) > most || !utf8.ValidString(string(s)) {
		return "", fmt.Errorf("%s has bad UTF-8 or more than %d bytes", field, most)
	}
	return string(s), nil
}

// stringList reads an array or set of strings.
func stringList(field string, v *ast.Term, most, length int) ([]string, error) {
	var out []string
	err := eachTerm(field, v, most, func(i int, t *ast.Term) error {
		s, err := boundedString(fmt.Sprintf("%s[%d]", field, i), t, length)
		out = append(out, s)
		return err
	})
	return out, err
}

// eachTerm calls f with each element of an array or set, sets in sorted order.
func eachTerm(field string, v *ast.Term, most int, f func(int, *ast.Term) error) error {
	var n int
	var iter func(func(*ast.Term) error) error
	switch x := v.Value.(type) {
	case *ast.Array:
		n, iter = x.Len(), x.Iter
	case ast.Set:
		n, iter = x.Len(), x.Iter
	default:
		return wrongType(field, v, "an array or a set")
	}
	if n > most {
		return fmt.Errorf("%s has %d elements, at most %d are taken", field, n, most)
	}
	i := -1
	return iter(func(t *ast.Term) error {
		i++
		return f(i, t)
	})
}

// eachString calls f with a string, or with each string of an array.
func eachString(field string, v *ast.Term, f func(string) error) error {
	switch x := v.Value.(type) {
	case ast.String:
		return f(string(x))
	case *ast.Array:
		return x.Iter(func(t *ast.Term) error {
			s, ok := t.Value.(ast.String)
			if !ok {
				return wrongType(field, t, "a string")
			}
			return f(string(s))
		})
	default:
		return wrongType(field, v, "a string or an array of strings")
	}
}
