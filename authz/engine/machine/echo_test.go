package machine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func echoesOf(p *Program) (list []string) {
	for _, e := range p.Echoes() {
		name := p.slots[e.Slot].String()
		if len(e.Texts) > 0 {
			name += fmt.Sprintf(" %q", e.Texts)
		}
		list = append(list, name)
	}
	return list
}

// TestWhatIsOnlyPassedOn: copies, objects, arrays, functions, else, defaults, unions
// and questions of kind and presence pass a text on.
func TestWhatIsOnlyPassedOn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		module string
		want   []string
	}{
		"Value":               {`p := input.a`, []string{"input.a"}},
		"Field":               {`p := {"k": input.a}`, []string{"input.a"}},
		"Nested":              {`p := {"k": [{"l": [input.a, 1]}, input.b]}`, []string{"input.a", "input.b"}},
		"Rules":               {"p := {\"k\": r}\nr := q\nq := input.a", []string{"input.a"}},
		"Function":            {"p := {\"k\": f(input.a)}\nf(x) := [x]", []string{"input.a"}},
		"Else":                {"p := {\"k\": r}\nr := input.a if input.b else := input.c", []string{"input.b", "input.a", "input.c"}},
		"Default":             {"p := {\"k\": r}\ndefault r := \"\"\nr := input.a if input.b == true", []string{"input.b", "input.a"}},
		"FixedKeys":           {"p := r\nr[\"k\"] := input.a\nr[\"l\"] := input.b", []string{"input.a", "input.b"}},
		"Union":               {`p := object.union({"k": input.a}, {"l": input.b})`, []string{"input.a", "input.b"}},
		"UnionOfRules":        {"p := object.union(q, r) if input.c\nq[\"x\"] := input.a\nr := {\"y\": input.b}", []string{"input.c", "input.a", "input.b"}},
		"Kind":                {`p := {"k": input.a} if is_string(input.a)`, []string{"input.a"}},
		"TypeName":            {`p := {"k": input.a, "t": type_name(input.a)}`, []string{"input.a"}},
		"Presence":            {`p := 1 if input.a`, []string{"input.a"}},
		"Absence":             {`p := 1 if not input.a`, []string{"input.a"}},
		"Constant":            {`p := {"k": input.a} if input.a != ""`, []string{`input.a [""]`}},
		"Constants":           {`p := {"k": input.a} if { input.a != "x"; not input.a == "y" }`, []string{`input.a ["x" "y"]`}},
		"ConstantOfData":      {`p := {"k": input.a} if input.a != data.d.n`, []string{`input.a ["n"]`}},
		"Boolean":             {`p := {"k": input.a} if input.a == true`, []string{"input.a"}},
		"Comprehension":       {`p := [x | x := input.a]`, []string{"input.a"}},
		"ConstantInside":      {`p := {"k": input.a} if {"x": input.a} == {"x": "m"}`, []string{`input.a ["m"]`}},
		"Part":                {`p := {"k": {"l": input.a, "m": 1}}["k"]`, []string{"input.a"}},
		"OneOfTwoRules":       {"p := {\"k\": q}\nq := input.a if input.b\nq := input.c if input.d", []string{"input.b", "input.d", "input.a", "input.c"}},
		"TwoUnderOneKey":      {"p := q\nq[\"x\"] := input.a if input.b\nq[\"x\"] := input.c if input.d", []string{"input.b", "input.d", "input.a", "input.c"}},
		"UnderKeysOfALoop":    {"p := q\nq[\"x\"] := input.a if some y in data.d.list", []string{"input.a"}},
		"UnderOtherKeys":      {"p := q\nq[\"x\"] := input.a\nq[input.b] := 1", []string{"input.a"}},
		"ObjectComprehension": {`p := {"x": input.a | some y in data.d.list}`, []string{"input.a"}},
		"Beside":              {`p := {"k": input.a, "n": count(input.b)}`, []string{"input.a"}},
		"ElementByIndex":      {`p := [input.a, input.b][input.c]`, []string{"input.a", "input.b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := program(t, c.module, map[string]any{"d": map[string]any{"n": "n", "list": []any{"x", "y"}}}, Options{})
			slices.Sort(c.want)
			if got := echoesOf(p); !slices.Equal(slices.Sorted(slices.Values(got)), c.want) {
				t.Errorf("%s\npasses on %q, want %q", c.module, got, c.want)
			}
		})
	}
}

// TestWhatIsLookedAt: whatever else is done with a text, also where it lies in an
// array or object by then, makes it one that is looked at.
func TestWhatIsLookedAt(t *testing.T) {
	t.Parallel()
	for name, rest := range map[string]string{
		"Comparison":           `p := {"k": input.a} if input.a == input.b`,
		"Difference":           `p := {"k": input.a} if input.a != input.b`,
		"Order":                `p := {"k": input.a} if input.a < "m"`,
		"ComparisonOfObjects":  `p := {"k": input.a} if {"x": input.a} == {"x": input.b}`,
		"ComparisonWithData":   `p := {"k": input.a} if [input.a] == data.d.list`,
		"Unification":          `p := {"k": input.a} if [input.a, "x"] = [input.b, "x"]`,
		"InAFunction":          "p := {\"k\": f(input.a)}\nf(x) := 1 if x == input.b else := x",
		"ByAFunctionsPattern":  "p := f(input.a)\nf(\"x\") := 1\nf(x) := x if startswith(x, \"y\")",
		"BuiltIn":              `p := {"k": input.a} if startswith(input.a, "m")`,
		"Concatenation":        `p := {"k": concat("", [input.a, "x"])}`,
		"Format":               `p := {"k": sprintf("%v", [input.a])}`,
		"Upper":                `p := {"k": upper(input.a)}`,
		"Count":                `p := {"k": input.a, "n": count(input.a)}`,
		"CountOfArray":         `p := {"k": input.a, "n": count([input.a])}`,
		"Key":                  `p := {input.a: 1}`,
		"KeyOfRule":            `p[input.a] := 1`,
		"LookUp":               `p := {"k": input.a, "l": data.d.names[input.a]}`,
		"LookUpInMade":         `p := {"k": input.a, "l": {"x": 1, "y": 2}[input.a]}`,
		"DynamicCall":          "p := {\"k\": input.a, \"l\": data.t.q[input.a]}\nq.x := 1\nq.y := input.b",
		"Set":                  `p := {"k": {input.a, "x"}}`,
		"PartialSet":           "p := {\"k\": q}\nq contains input.a",
		"SetComprehension":     `p := {x | some x in [input.a, input.b]}`,
		"Iteration":            `p := [x | some x in [input.a, input.b]]`,
		"IterationOfObject":    `p := [k | some k, v in {"x": input.a}]`,
		"Every":                `p := {"k": input.a} if every x in [input.a] { x != "m" }`,
		"Membership":           `p := {"k": input.a} if input.a in ["x", "y"]`,
		"MembershipInData":     `p := {"k": input.a} if input.a in data.d.list`,
		"With":                 "p := {\"k\": r} if r := q with input.b as input.a\nq := input.b",
		"WithElsewhere":        "p := {\"k\": input.a, \"l\": r}\nr := s if s := q with input.b as 1\nq := input.b",
		"Removed":              `p := object.remove({"k": input.a}, [input.b])`,
		"ObjectGet":            `p := object.get({"k": input.a}, "k", 1)`,
		"ArrayConcat":          `p := array.concat([input.a], ["x"])`,
		"Walked":               `p := [x | walk({"k": input.a}, [_, x])]`,
		"Marshalled":           `p := json.marshal({"k": input.a})`,
		"LookedInto":           `p := {"k": input.a, "l": input.a.b}`,
		"OfAnEarlierRule":      "p := {\"k\": q, \"l\": r}\nq := {\"x\": input.a}\nr := count(q.x)",
		"OfAUnion":             `p := {"l": count(object.union({"x": input.a}, {"y": 1}).x)}`,
		"OfAFunctionsArgument": "p := f({\"x\": input.a})\nf(o) := {\"o\": o, \"n\": count(o.x)}",
		"OfADeepElement":       "p := {\"k\": q, \"l\": s}\nq := {\"x\": [[input.a]]}\nr := q.x[0][0]\ns := lower(r)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := program(t, rest, map[string]any{"d": map[string]any{"list": []any{"x", "y"}, "names": map[string]any{"x": 1}}}, Options{})
			for _, e := range p.Echoes() {
				if p.slots[e.Slot].String() == "input.a" {
					t.Errorf("%s\nonly passes it on, it says", rest)
				}
			}
		})
	}
}

// usualTexts are some that the grammar's policies know, and others.
var usualTexts = []string{"a", "admin", "user", "nobody", "", "x/y", "A", "x y", "one", "k", "l", "bob", "1", "true", "null", "zz"}

// spelt is v as text, with texts for marks wherever they are as a whole.
func spelt(v *Value, marks map[string]string) string {
	if text, ok := marks[v.Text()]; ok && v.kind == String {
		return fmt.Sprintf("%q", text)
	}
	if v.kind != Array && v.kind != Object {
		return v.AST().String()
	}
	var b strings.Builder
	fmt.Fprint(&b, v.kind)
	v.Sort()
	for i := range v.Len() {
		if v.kind == Object {
			b.WriteString(v.Key(i).AST().String())
		}
		b.WriteString(":" + spelt(v.At(i), marks) + ",")
	}
	return b.String()
}

// marked evaluates in with texts in slots.
func (p *pair) marked(in *Value, texts map[int]string, marks map[string]string) (said string, err error) {
	f := p.program.Frame()
	defer f.Release()
	f.Fill(in)
	for slot, s := range texts {
		f.SetText(slot, s)
	}
	v, horizon, err := p.program.Run(context.Background(), f, epoch)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(spelt(v, marks), horizon, f.Hits()), nil
}

// TestEchoesOfRandomPolicies: whatever a policy is, with other texts in the slots that
// it is said only to pass on it gives the same as with marks, but for them.
func TestEchoesOfRandomPolicies(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		g := &grammar{bytes: rapid.SliceOfN(rapid.Byte(), 30, 400).Draw(rt, "data"), narrow: true}
		module := strings.Replace(g.module(), `"end": 1`, `"end": [input.s, {"k": input.role, "l": [input.a]}, input.b.c]`, 1)
		p := compilePair(rt, module)
		if p == nil || len(p.program.Echoes()) == 0 {
			return
		}
		for range 3 {
			in, err := Of(g.document())
			if err != nil {
				rt.Fatal(err)
			}
			marks, marked := map[string]string{}, map[int]string{}
			for _, e := range p.program.Echoes() {
				if at(in, p.program.slots[e.Slot].Segments) != nil {
					marked[e.Slot] = fmt.Sprintf("mark-%d-57", e.Slot)
				}
			}
			if _, err := p.marked(in, marked, marks); err != nil {
				continue
			}
			for i := range 2 * len(usualTexts) {
				filled := map[int]string{}
				for j, e := range p.program.Echoes() {
					text := usualTexts[(i+i/len(usualTexts)*j*5)%len(usualTexts)] // all the same one at first, then others
					if mark, there := marked[e.Slot]; there && !slices.Contains(e.Texts, text) {
						filled[e.Slot], marks[mark] = text, text
					} else if there {
						filled[e.Slot], marks[mark] = "neither", "neither"
					}
				}
				want, wantErr := p.marked(in, filled, nil)
				got, _ := p.marked(in, marked, marks)
				if wantErr != nil || got != want {
					rt.Fatalf("%v: %v, %v\nwith marks: %v\n%s", filled, want, wantErr, got, module)
				}
			}
		}
	})
}
