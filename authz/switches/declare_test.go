package switches

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/neosc/gate/session"
)

func TestDeclarationsThatAreNotWellFormedAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, text, says string }{
		"NotDescribed":       {`"hours": {"type": "boolean", "title": "Hours"},`, ``, "switch_info.hours: missing"},
		"NoValue":            {`"hours": true, `, ``, "switch_info.hours: there is no data.neosc.switches.hours"},
		"NoType":             {`"type": "boolean", `, ``, "type is"},
		"UnknownType":        {`"boolean"`, `"text"`, `type is "text"`},
		"NoTitle":            {`, "title": "Hours"`, ``, "title must be there"},
		"Misspelt":           {`"description"`, `"descripton"`, `"descripton"`},
		"WrongType":          {`"title": "Hours"`, `"title": 3`, "title is of the wrong type"},
		"NoBounds":           {`, "max": 100`, ``, "needs min and max"},
		"BoundsOfABoolean":   {`"title": "Hours"`, `"title": "Hours", "max": 3`, "a boolean has no min"},
		"BoundsTheWrongWay":  {`"min": 1`, `"min": 101`, "min is more than max"},
		"BoundThatIsNone":    {`"min": 1`, `"min": "1"`, "min is of the wrong type"},
		"DefaultOutOfRange":  {`"burst": 20`, `"burst": 200`, "the default"},
		"DefaultOfOtherType": {`"burst": 20`, `"burst": true`, "the default"},
		"DefaultFraction":    {`"burst": 20`, `"burst": 20.5`, "whole number"},
		"DefaultText":        {`"hours": true`, `"hours": "yes"`, "neither a boolean nor a number"},
		"DefaultTooLarge":    {`"burst": 20`, `"burst": 1e300`, "neither a boolean nor a number"},
		"NameInCapitals":     {`"hours": true`, `"Hours": true`, "the name must be"},
		"NoObject":           {`{"hours": true, "burst": 20}`, `[1]`, "data.neosc.switches is no object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			edits := []string{c.old, c.text}
			if name == "NameInCapitals" {
				edits = append(edits, `"hours": {`, `"Hours": {`)
			}
			_, _, err := fold(set(t, edits...), "r", nil)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

func TestASetWithoutSwitchesHasNone(t *testing.T) {
	t.Parallel()
	on := session.BooleanValue(true)
	for _, data := range []map[string]any{nil, {}, {"neosc": map[string]any{}}, {"neosc": 3}} {
		got, f, err := fold(data, "r", []session.StoredSwitch{{Name: "x", Value: &on, Version: 1}})
		if err != nil || f.revision != "r" || len(f.switches) != 0 || len(f.ignored) != 1 || !reflect.DeepEqual(got, data) {
			t.Errorf("%v: %v, %+v, %v", data, got, f, err)
		}
	}
}

func TestSwitchesThatSomebodyNamesHaveToBeThere(t *testing.T) {
	t.Parallel()
	on, n := session.BooleanValue(true), session.NumberValue(7)
	for _, c := range []struct {
		given session.StoredSwitch
		says  string
	}{
		{session.StoredSwitch{Name: "hours", Value: &on}, ""},
		{session.StoredSwitch{Name: "burst", Value: &n}, ""},
		{session.StoredSwitch{Name: "hour", Value: &on}, `the switch "hour" cannot be true: the policy declares no such switch; it has burst, hours`},
		{session.StoredSwitch{Name: "burst", Value: &on}, `the switch "burst" cannot be true: `},
		{session.StoredSwitch{Name: "hours", Value: &n}, `the switch "hours" cannot be 7: `},
	} {
		if err := Fits(set(t), []session.StoredSwitch{c.given}); (err == nil) != (c.says == "") || err != nil && !strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.given, err, c.says)
		}
	}
	if err := Fits(nil, []session.StoredSwitch{{Name: "x", Value: &on}}); err == nil || !strings.HasSuffix(err.Error(), "it declares none") {
		t.Error(err)
	}
}

// Whatever is stored: the set's own data stays as it was, each switch stands at
// what it may stand at, and equal values alone have equal revisions.
func TestFoldKeepsEveryBound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(label string) []session.StoredSwitch {
			var out []session.StoredSwitch
			for _, name := range []string{"hours", "burst", "gone"} {
				x := session.StoredSwitch{Name: name, Version: rapid.Uint64Range(1, 9).Draw(rt, label+name)}
				switch rapid.IntRange(0, 3).Draw(rt, label+"kind of "+name) {
				case 0:
					continue
				case 1:
					v := session.BooleanValue(rapid.Bool().Draw(rt, label+"on"))
					x.Value = &v
				case 2:
					v := session.NumberValue(rapid.Float64Range(-10, 120).Draw(rt, label+"n"))
					if rapid.Bool().Draw(rt, label+"whole") {
						v = session.NumberValue(float64(rapid.IntRange(-10, 120).Draw(rt, label+"i")))
					}
					x.Value = &v
				}
				out = append(out, x)
			}
			return out
		}
		data := set(t)
		values := func(stored []session.StoredSwitch) ([2]any, string) {
			got, f, err := fold(data, "r", stored)
			if err != nil {
				rt.Fatal(err)
			}
			if !reflect.DeepEqual(data, set(t)) {
				rt.Fatal("the set's data was changed")
			}
			now := got["neosc"].(map[string]any)["switches"].(map[string]any)
			if _, ok := now["hours"].(bool); !ok || len(now) != 2 {
				rt.Fatalf("switches %v", now)
			}
			n, err := now["burst"].(json.Number).Int64()
			if err != nil || n < 1 || n > 100 {
				rt.Fatalf("burst %v: %v", now["burst"], err)
			}
			return [2]any{now["hours"], n}, f.revision
		}
		a, ra := values(draw("a "))
		b, rb := values(draw("b "))
		if (a == b) != (ra == rb) {
			rt.Fatalf("%v is %s, %v is %s", a, ra, b, rb)
		}
		if (a == [2]any{true, int64(20)}) != (ra == "r") {
			rt.Fatalf("%v is %s", a, ra)
		}
	})
}

func FuzzSwitchValuesReadAsTheyAreWritten(f *testing.F) {
	for _, s := range []string{"true", "false", "0", "-0", "1e3", "0.1", "9007199254740993", "NaN", "0x1p3", "1_0", " 1", "+1", "null", `"1"`, "1e-400"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := session.ParseSwitchValue(s)
		if err != nil {
			return
		}
		again, err := session.ParseSwitchValue(v.String())
		if err != nil || again != v {
			t.Fatalf("%q is %s, and that is %s, %v", s, v, again, err)
		}
		text, err := json.Marshal(v)
		var back session.SwitchValue
		if err != nil || json.Unmarshal(text, &back) != nil || back != v {
			t.Fatalf("%q is %s in JSON, and that is %s", s, text, back)
		}
	})
}
