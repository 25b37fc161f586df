package engine

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine/machine"
)

// headers reads an object from name to value or values, or an array of such
// objects (which opa-envoy-plugin takes too), for the response or the request.
func (p *parser) headers(field string, v *machine.Value, response bool) ([]authz.Header, error) {
	out := p.room.headers[:0]
	if len(p.d.Headers)+len(p.d.ResponseHeaders) > 0 {
		out = nil
	}
	add := func(o *machine.Value) error {
		return eachField(o, func(k, v *machine.Value) error {
			name := p.edge.nameOf(k.Text())
			if !name.valid {
				return fmt.Errorf("%s has a key that is no header name", field)
			}
			lower, allowed, on := name.lower, name.settable, "the request"
			if response {
				allowed, on = name.responseSettable, "the response"
			}
			if !allowed {
				return fmt.Errorf("%s sets %s, which policy may not set on %s: name it in set_headers (towards upstreams) or response_headers (towards clients) of the routes file, or take it out", field, lower, on)
			}
			return eachString(field, lower, v, func(value string) error {
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
	switch v.Kind() {
	case machine.Object:
		err := add(v)
		return slices.Clip(orNil(out)), err
	case machine.Array:
		for i := range v.Len() {
			if v.At(i).Kind() != machine.Object {
				return nil, wrongType(fmt.Sprintf("%s[%d]", field, i), v.At(i), "an object")
			}
			if err := add(v.At(i)); err != nil {
				return nil, err
			}
		}
		return slices.Clip(orNil(out)), nil
	default:
		return nil, wrongType(field, v, "an object of header names and values")
	}
}

// validHeaderValue refuses what could end the field and begin another (CR, LF,
// NUL; RFC 9110, 5.5), any other control character, and what protobuf strings
// cannot carry.
func validHeaderValue(s string) bool {
	plain := true
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
		plain = plain && s[i] < utf8.RuneSelf
	}
	return len(s) <= maxHeaderValue && (plain || utf8.ValidString(s))
}

func (p *parser) querySet(v *machine.Value) ([]authz.QueryParameter, error) {
	if v.Kind() != machine.Object {
		return nil, wrongType("query_parameters_to_set", v, "an object")
	}
	var out []authz.QueryParameter
	err := eachField(v, func(k, v *machine.Value) error {
		name, err := boundedString("a name in query_parameters_to_set", k, maxQueryValue)
		if err != nil {
			return err
		}
		return eachString("query_parameters_to_set", "", v, func(value string) error {
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
func (p *parser) charges(v *machine.Value) ([]authz.Charge, error) {
	out := p.room.charges[:0]
	err := eachElement("rate_limits", v, maxCharges, func(i int, t *machine.Value) error {
		if t.Kind() != machine.Object {
			return wrongType(fmt.Sprintf("rate_limits[%d]", i), t, "an object")
		}
		c, err := charge(t)
		if err != nil {
			return fmt.Errorf("rate_limits[%d].%w", i, err)
		}
		out = append(out, c)
		return nil
	})
	return orNil(out), err
}

func charge(o *machine.Value) (c authz.Charge, err error) {
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
	if o.Field("cost") != nil {
		c.Cost, err = whole("cost", o, 0, c.Burst)
	}
	return c, err
}

func bucketName(field string, o *machine.Value) (string, error) {
	t := o.Field(field)
	if t == nil {
		return "", fmt.Errorf("%s is missing", field)
	}
	s, err := boundedString(field, t, maxBucketName)
	if err == nil && (s == "" || !validHeaderValue(s)) {
		err = fmt.Errorf("%s is empty or has a control character", field)
	}
	return s, err
}

func number(field string, o *machine.Value) (float64, error) {
	t := o.Field(field)
	if t == nil {
		return 0, fmt.Errorf("%s is missing", field)
	}
	if t.Kind() != machine.Number {
		return 0, wrongType(field, t, "a number")
	}
	f, ok := float(t)
	if !ok || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, fmt.Errorf("%s is out of range", field)
	}
	return f, nil
}

func whole(field string, o *machine.Value, from, to int) (int, error) {
	f, err := number(field, o)
	if err != nil {
		return 0, err
	}
	if f != math.Trunc(f) || f < float64(from) || f > float64(to) {
		return 0, fmt.Errorf("%s is not a whole number from %d to %d", field, from, to)
	}
	return int(f), nil
}

func boundedString(field string, v *machine.Value, most int) (string, error) {
	if v.Kind() != machine.String {
		return "", wrongType(field, v, "a string")
	}
	s := v.Text()
	if len(s) > most || !utf8.ValidString(s) {
		return "", fmt.Errorf("%s has bad UTF-8 or more than %d bytes", field, most)
	}
	return s, nil
}
