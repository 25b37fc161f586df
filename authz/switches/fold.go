package switches

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neosc/gate/session"
)

// folded is a set's switches with the values that were put in.
type folded struct {
	revision string
	switches []session.Switch // by name
	ignored  []session.IgnoredSwitch
}

// Fold puts stored values in the place of a set's defaults, as a Keeper does for
// a running gate.
func Fold(data map[string]any, revision string, stored []session.StoredSwitch) (map[string]any, string, error) {
	data, f, err := fold(data, revision, stored)
	if err != nil {
		return nil, "", err
	}
	return data, f.revision, nil
}

// Fits reports the first of some values that a set has no place for: what is
// stored and ignored in a running gate is a slip where somebody names it.
func Fits(data map[string]any, given []session.StoredSwitch) error {
	_, f, err := fold(data, "", given)
	if err != nil || len(f.ignored) == 0 {
		return err
	}
	names := make([]string, 0, len(f.switches))
	for _, s := range f.switches {
		names = append(names, s.Name)
	}
	there := "it declares none"
	if len(names) > 0 {
		there = "it has " + strings.Join(names, ", ")
	}
	bad := f.ignored[0]
	return fmt.Errorf("the switch %q cannot be %s: %s; %s", bad.Name, bad.Value, bad.Why, there)
}

// fold puts stored values in the place of a set's defaults. data is not
// changed; what comes back shares all but the path to the switches with it. The revision gets a
// mark, "+" and 8 hex digits of a hash over the values, where one is not the
// default: so each log line and decision tells what the switches stood at.
func fold(data map[string]any, revision string, stored []session.StoredSwitch) (map[string]any, *folded, error) {
	set, err := declaredIn(data)
	if err != nil {
		return nil, nil, err
	}
	out := &folded{revision: revision, switches: []session.Switch{}, ignored: []session.IgnoredSwitch{}}
	for _, x := range stored {
		s, ok := set[x.Name]
		if ok {
			s.Version, s.ChangedAt, s.ChangedBy = x.Version, x.ChangedAt, x.ChangedBy
		}
		switch {
		case x.Value == nil:
		case !ok:
			out.ignored = append(out.ignored, session.IgnoredSwitch{Name: x.Name, Value: *x.Value, Version: x.Version, Why: "the policy declares no such switch"})
		default:
			if err := check(s, *x.Value); err != nil {
				out.ignored = append(out.ignored, session.IgnoredSwitch{Name: x.Name, Value: *x.Value, Version: x.Version, Why: err.Error()})
				break
			}
			s.Value, s.Set = *x.Value, true
		}
		if ok {
			set[x.Name] = s
		}
	}
	turned := map[string]any{}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		s := set[name]
		out.switches = append(out.switches, s)
		if s.Value != s.Default {
			turned[name] = plain(s.Value)
			fmt.Fprintf(h, "%s=%s\n", name, s.Value)
		}
	}
	if len(turned) == 0 {
		return data, out, nil
	}
	out.revision += "+" + hex.EncodeToString(h.Sum(nil)[:4])
	data = maps.Clone(data)
	top := maps.Clone(data[root].(map[string]any)) // declaredIn found switches in it
	now := maps.Clone(top[values].(map[string]any))
	maps.Copy(now, turned)
	data[root], top[values] = top, now
	return data, out, nil
}

// plain is a value as Rego's data has it.
func plain(v session.SwitchValue) any {
	if on, ok := v.Boolean(); ok {
		return on
	}
	return json.Number(v.String())
}
