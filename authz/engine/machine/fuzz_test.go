package machine

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/compile"
	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"pgregory.net/rapid"
)

// failer is a test of testing's or of rapid's.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func grammarData() map[string]any {
	return map[string]any{"d": map[string]any{
		"list": []any{1, "a", "admin", []any{"x"}}, "n": map[string]any{"one": 1, "user": 2, "list": []any{1, 2}},
		"roles": map[string]any{"admin": map[string]any{"can": "all"}, "user": map[string]any{"can": "read"}, "a": true},
	}}
}

// compilePair compiles a module for both, nil if it is none that OPA takes.
func compilePair(tb failer, module string) *pair {
	tb.Helper()
	text := "package t\n" + module
	parsed, err := ast.ParseModuleWithOpts("t.rego", text, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil
	}
	b := &bundle.Bundle{Modules: []bundle.ModuleFile{{URL: "t.rego", Path: "t.rego", Raw: []byte(text), Parsed: parsed}}}
	b.Manifest.Init()
	c := compile.New().WithTarget(compile.TargetPlan).WithEntrypoints("t/p").WithBundle(b)
	if c.Build(context.Background()) != nil {
		return nil
	}
	var plan ir.Policy
	if err := json.Unmarshal(c.Bundle().PlanModules[0].Raw, &plan); err != nil {
		tb.Fatal(err)
	}
	p, err := Compile(&plan, grammarData(), "t/p", Options{Steps: 1 << 18})
	if err != nil {
		tb.Fatalf("%v\n%s", err, text)
	}
	stock, err := rego.New(rego.Query("data.t.p"), rego.Module("t.rego", text), rego.Store(inmem.NewFromObject(grammarData()))).PrepareForEval(context.Background())
	if err != nil {
		return nil
	}
	return &pair{p, stock}
}

// sameOutcome fails unless both give the same value, none, or both an error.
func (p *pair) sameOutcome(tb failer, module string, input any) (errs bool) {
	tb.Helper()
	in, err := Of(input)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f := p.program.Frame()
	defer f.Release()
	f.Fill(in)
	v, _, err := p.program.Run(ctx, f, epoch)
	if errors.Is(err, ErrSteps) || errors.Is(err, ErrMemory) || errors.Is(err, ErrAmbiguous) || errors.Is(err, ErrCancelled) {
		return true // neither needs to be what OPA does
	}
	value, _ := ast.InterfaceToValue(input)
	rs, wantErr := p.stock.Eval(ctx, rego.EvalParsedInput(value), rego.EvalTime(epoch))
	text, _ := json.Marshal(input)
	failed := err != nil && !errors.Is(err, ErrUndefined)
	if topdown.IsCancel(wantErr) {
		return true
	}
	// OPA's planner leaves out a comprehension that stands alone, and evaluates one
	// before it compares it; so a conflict within may be seen by one side only.
	if failed != (wantErr != nil) && (errors.Is(err, ErrConflict) || isConflict(wantErr)) {
		return true
	}
	if failed != (wantErr != nil) {
		tb.Fatalf("the machine fails with %v, OPA with %v, on %s of\n%s", err, wantErr, text, module)
	}
	if failed {
		return true
	}
	var got, want ast.Value
	if v != nil {
		got = asJSON(tb, v)
	}
	if len(rs) > 0 {
		want = ast.MustInterfaceToValue(rs[0].Expressions[0].Value)
	}
	if (got == nil) != (want == nil) || got != nil && got.Compare(want) != 0 {
		tb.Fatalf("the machine says %v\nOPA says         %v\non %s of\n%s", got, want, text, module)
	}
	return false
}

func isConflict(err error) bool {
	e, ok := errors.AsType[*topdown.Error](err)
	return ok && e.Code == topdown.ConflictErr
}

func sameOnAll(tb failer, data []byte) (taken bool) {
	g := &grammar{bytes: data}
	module := g.module()
	p := compilePair(tb, module)
	if p == nil {
		return false
	}
	for range 6 {
		p.sameOutcome(tb, module, g.document())
	}
	return true
}

// Any policy gives on the machine what it gives in OPA's evaluator.
func FuzzPolicies(f *testing.F) {
	c := newChooser(11)
	for range 40 {
		data := make([]byte, 400)
		for i := range data {
			data[i] = byte(c.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 2000 {
			sameOnAll(t, data)
		}
	})
}

func TestRandomPoliciesAgreeWithOPA(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 60, 600).Draw(rt, "data")
		sameOnAll(rt, data)
	})
}
