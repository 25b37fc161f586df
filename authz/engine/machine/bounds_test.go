package machine

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/compile"
	"github.com/open-policy-agent/opa/v1/ir"
)

// planOf compiles one module, whose rule p decides, to a plan.
func planOf(tb testing.TB, module string) *ir.Policy {
	tb.Helper()
	m := bundle.ModuleFile{URL: "t.rego", Path: "t.rego", Raw: []byte("package t\n" + module)}
	m.Parsed = mustParse(tb, string(m.Raw))
	b := &bundle.Bundle{Modules: []bundle.ModuleFile{m}}
	b.Manifest.Init()
	c := compile.New().WithTarget(compile.TargetPlan).WithEntrypoints("t/p").WithBundle(b)
	if err := c.Build(context.Background()); err != nil {
		tb.Fatal(err)
	}
	var plan ir.Policy
	if err := json.Unmarshal(c.Bundle().PlanModules[0].Raw, &plan); err != nil {
		tb.Fatal(err)
	}
	return &plan
}

func program(tb testing.TB, module string, data map[string]any, o Options) *Program {
	tb.Helper()
	p, err := Compile(planOf(tb, module), data, "t/p", o)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func eval(ctx context.Context, tb testing.TB, p *Program, input any) (*Value, error) {
	tb.Helper()
	in, err := Of(input)
	if err != nil {
		tb.Fatal(err)
	}
	f := p.Frame()
	f.Fill(in)
	v, _, err := p.Run(ctx, f, epoch)
	return v, err
}

func numbers(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// Policies that would take forever or fill the memory end soon and say why.
func TestBounds(t *testing.T) {
	long := strings.Repeat("a", 60_000)
	for name, x := range map[string]struct {
		module string
		want   error
	}{
		"loops":         {`p := count([1 | some a in input.few; some b in input.few; some c in input.few; a+b+c < 0])`, ErrSteps},
		"functions":     {"p := count([1 | some a in input.few; some b in input.few; f(a, b)])\nf(a, b) if { some c in input.few; c+a+b < 0 }", ErrSteps},
		"elements":      {`p := [x | some a in input.list; some b in input.list; x := [a, b, "text"]]`, ErrMemory},
		"set":           {`p := {x | some a in input.list; some b in input.list; x := [a, b]}`, ErrMemory},
		"object":        {`p := {x: 1 | some a in input.list; some b in input.list; x := [a, b]}`, ErrMemory},
		"concat":        {`p := concat("", [x | some a in input.list; x := input.long])`, ErrMemory},
		"range":         {`p := numbers.range(1, 1000000000000)`, ErrMemory},
		"range back":    {`p := numbers.range(9223372036854775807, -9223372036854775807)`, ErrMemory},
		"range step":    {`p := numbers.range_step(1, 1000000000000, 2)`, ErrMemory},
		"long range":    {`p := numbers.range(1, 100000000000000000000000)`, ErrMemory},
		"networks":      {`p := net.cidr_expand("10.0.0.0/8")`, ErrMemory},
		"shift":         {`p := bits.lsh(1, 1000000000)`, ErrMemory},
		"width":         {`p := sprintf("%999999999d", [1])`, ErrMemory},
		"verbs":         {`p := sprintf(concat("", [x | some a in input.list; x := "%[1]s"]), [input.long])`, ErrMemory},
		"replace":       {`p := replace(input.long, "a", input.long)`, ErrMemory},
		"regex replace": {`p := regex.replace(input.long, "a", input.long)`, ErrMemory},
		"ranges":        {"p := strings.render_template(`{{range .l}}{{range $.l}}{{range $.l}}x{{end}}{{end}}{{end}}`, {\"l\": input.few})", ErrMemory},
		"counted":       {"p := strings.render_template(`{{range .n}}x{{end}}`, {\"n\": 1000000000})", ErrMemory},
		"padded":        {"p := strings.render_template(`{{printf \"%999999999d\" 1}}`, {})", ErrMemory},
		"recursion":     {"p := strings.render_template(`{{define \"x\"}}{{template \"x\" .}}{{template \"x\" .}}{{end}}{{ template \"x\" .}}`, {})", ErrMemory},
		"squares": {"p := x6 if { x0 := 1e300; x1 := x0*x0*x0*x0; x2 := x1*x1*x1*x1; x3 := x2*x2*x2*x2; x4 := x3*x3*x3*x3;" +
			"x5 := x4*x4*x4*x4; x6 := x5*x5*x5*x5 }", ErrBuiltin},
	} {
		p := program(t, x.module, nil, Options{Steps: 1 << 18, Memory: 4 << 20})
		start := time.Now()
		_, err := eval(context.Background(), t, p, map[string]any{"list": numbers(2000), "few": numbers(500), "long": long,
			"as": strings.Repeat("a", 160), "glob": strings.Repeat("{*a,*aa}", 5) + "*[b-d]", "globs": strings.Repeat("[ab]+", 40)})
		if !errors.Is(err, x.want) {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
}

func TestCancellation(t *testing.T) {
	p := program(t, `p := count([1 | some a in input; some b in input; some c in input; a+b+c < 0])`, nil, Options{Steps: 1 << 40, Memory: 1 << 40})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := eval(ctx, t, p, numbers(2000)); !errors.Is(err, ErrCancelled) || !errors.Is(err, context.Canceled) {
		t.Errorf("before it began: %v", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := eval(ctx, t, p, numbers(2000)); !errors.Is(err, ErrCancelled) {
		t.Errorf("at its deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := eval(ctx, t, p, numbers(2000)); !errors.Is(err, context.Canceled) {
		t.Errorf("while it ran: %v", err)
	}
}

func nested(depth int) any {
	var x any = "x"
	for range depth {
		x = []any{x}
	}
	return x
}

func TestDeepInput(t *testing.T) {
	if _, err := Of(nested(MaxDepth + 10)); !errors.Is(err, ErrDepth) {
		t.Errorf("too deep: %v", err)
	}
	p := program(t, `p := {"same": input.a == input.b, "in": input.a in {input.b}, "text": count(json.marshal(input.a))}`, nil, Options{})
	v, err := eval(context.Background(), t, p, map[string]any{"a": nested(MaxDepth - 10), "b": nested(MaxDepth - 10)})
	if err != nil || !v.Field("same").Bool() || !v.Field("in").Bool() {
		t.Errorf("deep: %v, %v", v, err)
	}
	p = program(t, `p := json.unmarshal(input.text)`, nil, Options{})
	text := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	if _, err := eval(context.Background(), t, p, map[string]any{"text": text}); err != nil {
		t.Errorf("deep text: %v", err)
	}
}

// A frame that served a large evaluation is as good as new.
func TestFramesAreUsedAgain(t *testing.T) {
	p := program(t, `p := [x | some x in input.list; x > 0]`, nil, Options{})
	for n := range 300 {
		in, err := Of(map[string]any{"list": numbers(n * 7 % 290)})
		if err != nil {
			t.Fatal(err)
		}
		f := p.Frame()
		f.Fill(in)
		v, _, err := p.Run(context.Background(), f, epoch)
		if err != nil || v.Len() != max(n*7%290-1, 0) {
			t.Fatalf("%d: %v, %v", n, v, err)
		}
		f.Release()
	}
}

// The bounds leave room for what policies do with paths.
func TestBoundsLeaveRoom(t *testing.T) {
	p := program(t, `p := [glob.match("/api/*/users/*/files/*/*.{png,jpg}", ["/"], input.path), glob.match(input.glob, ["/"], input.path),
		regex.globs_match("a.a.", ".b.b"), strings.render_template("{{range .l}}{{.}}, {{end}}", {"l": ["a", "b"]})]`, nil, Options{})
	path := "/api/3f0c2b9e-0d9f-4f9e-9b55/users/ana.maria.lopez@kappa4.com/files/2026-03-04/holiday-picture-0001.png"
	v, err := eval(context.Background(), t, p, map[string]any{"path": path, "glob": "/api/*/users/*/files/**"})
	if err != nil || v.AST().String() != `[true, true, true, "a, b, "]` {
		t.Errorf("%v, %v", v, err)
	}
}
