package machine

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

func TestRulesThatHeld(t *testing.T) {
	p := program(t, `
p := {"a": a, "b": b, "c": c, "d": d}
a if input.x > 1
a if input.x > 5
default b := "none"
b := "one" if { input.x == 1 } else := "two" if { input.x == 2 }
c contains "small" if input.x < 3
c contains "large" if input.x > 3
d[k] := 1 if some k in ["u", "v"]
d["w"] := 2 if input.x == 7
`, nil, Options{})
	// The second rule for a is not asked once the first has given the same value.
	for x, want := range map[int]string{2: "[3 4 7 8 10]", 7: "[3 4 6 9 10 11]"} {
		f := p.Frame()
		in, err := Of(map[string]any{"x": x})
		if err != nil {
			t.Fatal(err)
		}
		f.Fill(in)
		if _, _, err := p.Run(context.Background(), f, epoch); err != nil {
			t.Fatal(err)
		}
		var held []int
		for i, r := range p.Rules() {
			if f.Held(i) {
				held = append(held, r.Row)
			}
		}
		slices.Sort(held)
		if fmt.Sprint(held) != want {
			t.Errorf("x = %d: rules of rows %v held, want %v", x, held, want)
		}
	}
}
