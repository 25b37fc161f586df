package switches

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/neosc/gate/session"
)

// Where a policy set's data has the switches' values and what they are.
const (
	root   = "neosc"
	values = "switches"
	about  = "switch_info"
)

// Bounds of what a set may declare.
const (
	maxSwitches = 100
	maxName     = 64
	maxTitle    = 80
	maxText     = 500
)

// declared is what one policy set declares, by name.
type declared map[string]session.Switch

// declaredIn reads the switches of a set's data: none if it has none. Every
// value must be described and every description have its value, or a switch
// that was misspelt in one of the two would never do anything.
func declaredIn(data map[string]any) (declared, error) {
	top, _ := data[root].(map[string]any)
	given, err := object(top, values)
	if err != nil {
		return nil, err
	}
	info, err := object(top, about)
	if err != nil {
		return nil, err
	}
	if len(given) > maxSwitches {
		return nil, fmt.Errorf("data.neosc.switches has %d switches, more than %d", len(given), maxSwitches)
	}
	out := declared{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		s, err := declaration(name, given[name], info[name])
		if err != nil {
			errs = append(errs, fmt.Errorf("data.neosc.switch_info.%.64s: %w", name, err))
		}
		out[name] = s
	}
	for _, name := range slices.Sorted(maps.Keys(info)) {
		if _, ok := given[name]; !ok {
			errs = append(errs, fmt.Errorf("data.neosc.switch_info.%.64s: there is no data.neosc.switches.%.64s, its default; add it there", name, name))
		}
	}
	return out, errors.Join(errs...)
}

func object(top map[string]any, name string) (map[string]any, error) {
	v, ok := top[name]
	if !ok {
		return nil, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("data.neosc.%s is no object; write it as names and values", name)
	}
	return m, nil
}

func declaration(name string, value, info any) (s session.Switch, err error) {
	m, ok := info.(map[string]any)
	if !ok {
		return s, errors.New("missing, or no object; give it a type (boolean, number or integer) and a title")
	}
	s.Name = name
	for key, v := range m {
		switch key {
		case "type":
			s.Type, ok = v.(string)
		case "title":
			s.Title, ok = v.(string)
		case "description":
			s.Description, ok = v.(string)
		case "min":
			s.Min, ok = bound(v)
		case "max":
			s.Max, ok = bound(v)
		default:
			return s, fmt.Errorf("there is no %.64q; there are type, title, description, min and max", key)
		}
		if !ok {
			return s, fmt.Errorf("%s is of the wrong type", key)
		}
	}
	if err := wellFormed(s); err != nil {
		return s, err
	}
	if s.Default, ok = valueOf(value); !ok {
		return s, fmt.Errorf("data.neosc.switches.%s is neither a boolean nor a number of at most 2^53", name)
	}
	s.Value = s.Default
	if err := check(s, s.Default); err != nil {
		return s, fmt.Errorf("the default: %w", err)
	}
	return s, nil
}

func wellFormed(s session.Switch) error {
	switch {
	case !named(s.Name):
		return fmt.Errorf("the name must be 1 to %d of a-z, 0-9 and _, beginning with a letter", maxName)
	case s.Type != session.SwitchBoolean && s.Type != session.SwitchNumber && s.Type != session.SwitchInteger:
		return fmt.Errorf("type is %.64q; it must be boolean, number or integer", s.Type)
	case s.Title == "" || len(s.Title) > maxTitle || len(s.Description) > maxText:
		return fmt.Errorf("title must be there, of at most %d bytes, and description have at most %d", maxTitle, maxText)
	case s.Type == session.SwitchBoolean && (s.Min != nil || s.Max != nil):
		return errors.New("a boolean has no min and max")
	case s.Type != session.SwitchBoolean && (s.Min == nil || s.Max == nil):
		return errors.New("a number needs min and max: whoever changes it must not be able to open everything by it")
	case s.Min != nil && *s.Min > *s.Max:
		return errors.New("min is more than max")
	}
	return nil
}

func named(s string) bool {
	if s == "" || len(s) > maxName || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// check says whether a switch may stand at v.
func check(s session.Switch, v session.SwitchValue) error {
	n, number := v.Number()
	switch {
	case number != (s.Type != session.SwitchBoolean):
		want := "a number"
		if !number {
			want += ", not true or false"
		} else {
			want = "true or false, not a number"
		}
		return fmt.Errorf("%w: %s is %s", session.ErrBadSwitch, s.Name, want)
	case !number:
		return nil
	case math.IsNaN(n) || n < *s.Min || n > *s.Max:
		return fmt.Errorf("%w: %s must be from %s to %s, and %s is not", session.ErrBadSwitch, s.Name, session.NumberValue(*s.Min), session.NumberValue(*s.Max), v)
	case s.Type == session.SwitchInteger && n != math.Trunc(n):
		return fmt.Errorf("%w: %s is a whole number, and %s is not", session.ErrBadSwitch, s.Name, v)
	}
	return nil
}

func bound(v any) (*float64, bool) {
	x, ok := valueOf(v)
	n, number := x.Number()
	return &n, ok && number
}

// valueOf reads a JSON value as Rego's data has it.
func valueOf(v any) (session.SwitchValue, bool) {
	switch v := v.(type) {
	case bool:
		return session.BooleanValue(v), true
	case json.Number:
		x, err := session.ParseSwitchValue(v.String())
		return x, err == nil
	case float64:
		return session.NumberValue(v), math.Abs(v) <= session.MaxSwitchNumber
	}
	return session.SwitchValue{}, false
}
