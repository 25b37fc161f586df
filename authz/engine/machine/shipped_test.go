package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/compile"
	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/loader"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/neosc/gate/policies"
)

// pair is one policy on the machine and on OPA's own evaluator.
type pair struct {
	program *Program
	stock   rego.PreparedEvalQuery
}

func shipped(tb testing.TB, change func(data map[string]any)) pair {
	tb.Helper()
	b, err := loader.NewFileLoader().WithFS(policies.Files()).AsBundle(".")
	if err != nil {
		tb.Fatal(err)
	}
	if change != nil {
		change(b.Data)
	}
	options := []func(*rego.Rego){
		rego.Query(policies.Entrypoint),
		rego.Store(inmem.NewFromObjectWithOpts(b.Data, inmem.OptReturnASTValuesOnRead(true), inmem.OptRoundTripOnWrite(false))),
	}
	for _, m := range b.Modules {
		options = append(options, rego.ParsedModule(m.Parsed))
	}
	stock, err := rego.New(options...).PrepareForEval(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	c := compile.New().WithTarget(compile.TargetPlan).WithEntrypoints("neosc/authz/decision").WithPaths(".").WithFS(policies.Files())
	if err := c.Build(context.Background()); err != nil {
		tb.Fatal(err)
	}
	var plan ir.Policy
	if err := json.Unmarshal(c.Bundle().PlanModules[0].Raw, &plan); err != nil {
		tb.Fatal(err)
	}
	p, err := Compile(&plan, b.Data, "neosc/authz/decision", Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return pair{p, stock}
}

// programPair compiles one module, whose rule p decides, for both.
func programPair(tb testing.TB, module string) pair {
	tb.Helper()
	stock, err := rego.New(rego.Query("data.t.p"), rego.Module("t.rego", "package t\n"+module)).PrepareForEval(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return pair{program(tb, module, nil, Options{}), stock}
}

// agree fails unless both evaluators say the same of an input.
func (p pair) agree(tb testing.TB, input any, now time.Time) (*Value, Horizon) {
	tb.Helper()
	v, h := p.run(tb, input, now)
	want := p.want(tb, input, now)
	var got ast.Value
	if v != nil {
		got = asJSON(tb, v)
	}
	if (got == nil) != (want == nil) || got != nil && got.Compare(want) != 0 {
		text, _ := json.Marshal(input)
		tb.Fatalf("at %v for %s\nthe machine says %v\nOPA says         %v", now, text, got, want)
	}
	return v, h
}

// asJSON turns sets into arrays, as OPA's results are.
func asJSON(tb failer, v *Value) ast.Value {
	tb.Helper()
	x, err := ast.JSON(v.AST())
	if err != nil {
		tb.Fatal(err)
	}
	return ast.MustInterfaceToValue(x)
}

func (p pair) run(tb testing.TB, input any, now time.Time) (*Value, Horizon) {
	tb.Helper()
	in, err := Of(input)
	if err != nil {
		tb.Fatal(err)
	}
	f := p.program.Frame()
	f.Fill(in)
	v, h, err := p.program.Run(context.Background(), f, now)
	if err != nil && !strings.Contains(err.Error(), "undefined") {
		tb.Fatalf("%v: %+v", err, input)
	}
	return v, h
}

func (p pair) want(tb testing.TB, input any, now time.Time) ast.Value {
	tb.Helper()
	in, err := ast.InterfaceToValue(input)
	if err != nil {
		tb.Fatal(err)
	}
	rs, err := p.stock.Eval(context.Background(), rego.EvalParsedInput(in), rego.EvalTime(now))
	if err != nil {
		tb.Fatal(err)
	}
	if len(rs) == 0 {
		return nil
	}
	want, err := ast.InterfaceToValue(rs[0].Expressions[0].Value)
	if err != nil {
		tb.Fatal(err)
	}
	return want
}

// chooser makes inputs of the schema's shape, mostly plausible ones.
type chooser struct{ *rand.Rand }

func newChooser(seed uint64) chooser { return chooser{rand.New(rand.NewPCG(seed, 7))} }

func (c chooser) one(xs ...any) any { return xs[c.IntN(len(xs))] }

func (c chooser) some(xs ...string) []any {
	out := []any{}
	for range c.IntN(4) {
		out = append(out, xs[c.IntN(len(xs))])
	}
	return out
}

// odd is a value of any kind.
func (c chooser) odd() any {
	return c.one(nil, true, false, 0, 1, -7, json.Number("1.5"), "", "x", "admin", []any{}, []any{"admin"},
		map[string]any{}, map[string]any{"name": "portal"}, []any{map[string]any{}})
}

func (c chooser) path() (string, any) {
	p := c.one("/", "/api/auth/login", "/api/auth/me", "/api/sessions/7", "/api/sessions", "/assets/gate.css",
		"/callback/x", "/oauth2/sign_in", "/api/workspaces/7/launch", "/api/workspaces/7/launch/", "/api/users/7",
		"/favicon.ico", "//api/auth/login", "/a;b/c", "/api/demo-sessions/1").(string)
	segments := []any{}
	for s := range strings.SplitSeq(strings.TrimPrefix(p, "/"), "/") {
		segments = append(segments, s)
	}
	if c.IntN(4) == 0 {
		p += "?rd=/x"
	}
	return p, segments
}

func (c chooser) input() map[string]any {
	path, segments := c.path()
	route := c.one("portal", "api", "admin", "workspace", "gate-api", "gate", "nowhere").(string)
	in := map[string]any{
		"version": map[string]any{"encoding": "protojson", "ext_authz": "v3"},
		"attributes": map[string]any{
			"source": map[string]any{"address": map[string]any{"socketAddress": map[string]any{"address": "203.0.113.9", "portValue": 4711}}},
			"request": map[string]any{"time": "2026-03-05T10:15:30Z", "http": map[string]any{
				"id": "1", "method": c.one("GET", "POST", "DELETE", "PUT", "TRACE"), "path": path, "host": "portal.kappa4.com",
				"scheme": "https", "protocol": "HTTP/1.1", "headers": map[string]any{"accept": "text/html"},
			}},
		},
		"parsed_path": segments, "parsed_query": map[string]any{}, "parsed_body": nil,
		"route": map[string]any{"name": route, "policy": map[string]any{}},
	}
	settings := in["route"].(map[string]any)["policy"].(map[string]any)
	for _, name := range []string{"business_hours", "rate_limit"} {
		if c.IntN(2) == 0 {
			settings[name] = c.one(true, true, false, "yes", nil)
		}
	}
	if c.IntN(3) > 0 {
		in["route"].(map[string]any)["identity_headers"] = map[string]any{"prefix": c.one("x-pomerium-", "x-")}
	}
	if c.IntN(6) > 0 {
		in["session"] = c.session()
	}
	for range c.IntN(3) * c.IntN(2) {
		c.spoil(in)
	}
	return in
}

func (c chooser) session() map[string]any {
	claims := map[string]any{}
	if c.IntN(2) == 0 {
		claims["neosc:demo_session_id"] = c.one("demo-1", "", 7, "a b")
	}
	if c.IntN(2) == 0 {
		claims["neosc:demo_expires_at"] = c.one("2026-03-05T12:30:00Z", 1772713800, "1772713800", json.Number("1772713800.5"),
			"1772713800.25", "soon", nil, 1, json.Number("99999999999"))
	}
	if c.IntN(2) == 0 {
		claims["neosc:workspace_type"] = c.one("linux", "")
	}
	return map[string]any{
		"id": "5c1e", "user": map[string]any{
			"id": c.one("user-7", "user-7", ""), "email": c.one("ana@kappa4.com", ""), "email_verified": c.one(true, false),
		},
		"roles": c.some("admin", "neosc", "user", "demo-user", "other"), "groups": c.some("field", "ops"),
		"claims": claims, "provider": "local", "amr": []any{"pwd"}, "kind": "browser",
	}
}

// spoil removes something or puts an odd value in its place.
func (c chooser) spoil(m map[string]any) {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	if len(names) == 0 {
		return
	}
	name := names[c.IntN(len(names))]
	if inner, ok := m[name].(map[string]any); ok && c.IntN(4) > 0 {
		c.spoil(inner)
		return
	}
	if c.IntN(2) == 0 {
		delete(m, name)
		return
	}
	m[name] = c.odd()
}

var epoch = time.Date(2026, 3, 5, 12, 29, 0, 0, time.UTC)

// instant is near something that matters.
func (c chooser) instant() time.Time {
	base := c.one(epoch, epoch.Add(90*time.Second), epoch.Add(7*24*time.Hour), time.Date(2026, 3, 5, 14, 0, 0, 0, time.UTC),
		time.Date(2026, 3, 6, 2, 0, 0, 0, time.UTC), time.Date(2026, 3, 7, 6, 0, 0, 0, time.UTC)).(time.Time)
	return base.Add(time.Duration(c.Int64N(int64(2*time.Hour))) - time.Hour)
}

func TestShippedPolicyAgreesWithOPA(t *testing.T) {
	p, c := shipped(t, nil), newChooser(1)
	n := 3000
	if testing.Short() {
		n = 500
	}
	for range n {
		p.agree(t, c.input(), c.instant())
	}
	p.agree(t, map[string]any{}, epoch)
	p.agree(t, []any{}, epoch)
	p.agree(t, "text", epoch)
	p.agree(t, map[string]any{"session": false, "route": false}, epoch)
}

func TestShippedPolicyReadsSinglePaths(t *testing.T) {
	p := shipped(t, nil)
	for _, s := range p.program.Slots() {
		t.Log(s, s.Whole)
		if s.Whole && len(s.Segments) < 2 && fmt.Sprint(s) != "input.parsed_path" {
			t.Errorf("%v is needed as a whole", s)
		}
	}
}
