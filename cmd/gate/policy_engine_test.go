package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session"
)

// gateOf builds a gate's parts for a policy of one module. What edits gets is its
// files, by name.
func gateOf(t *testing.T, dir, policy, rego string, log io.Writer, edits ...func(map[string]string)) *app {
	t.Helper()
	files := map[string]string{
		"gate.yaml": "listen: {authz: a.sock, http: h.sock, admin: admin.sock, ops: \"127.0.0.1:0\"}\ncookie: {domain: .neosc.localhost, insecure: true}\nlog: {access: off}\npolicy: {timeout: 1s, path: policies" + policy + "}\n",
		"routes.yaml": `gate: http://gate.neosc.localhost:8080
listen: 127.0.0.1:8080
set_headers: [x-pomerium-*]
upstreams: {app: "127.0.0.1:3000"}
hosts:
- origin: http://app.neosc.localhost:8080
  routes:
  - {name: app, prefix: /, upstream: app, pass_identity_headers: true}
- origin: http://gate.neosc.localhost:8080
  routes:
  - {name: gate, prefix: /, upstream: gate, pass_authorization: true}
`,
		"policies/authz.rego": rego,
	}
	for _, edit := range edits {
		edit(files)
	}
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "gate.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := newApp(t.Context(), cfg, slog.New(slog.NewTextHandler(log, nil)), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.teardown.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func wordRequest(a *app, word string) *authz.Request {
	s := &session.Session{Kind: session.Browser, ExpiresAt: time.Now().Add(time.Hour), Identity: session.Identity{
		UserID: "u-7", Provider: "local", Claims: map[string]any{"word": word, "api_key": "hush-hush"},
	}}
	return &authz.Request{
		Time: time.Now(), Method: "GET", Scheme: "http", Host: "app.neosc.localhost", Path: "/", Protocol: "HTTP/1.1",
		Route: a.live.File().Route("app"), RouteName: "app", Session: s,
	}
}

// policyPart is what readiness says of policy.
func policyPart(t *testing.T, a *app) observe.PartReport {
	t.Helper()
	for _, p := range a.health.Report(t.Context()).Parts {
		if p.Name == "policy" {
			return p
		}
	}
	t.Fatal("readiness has no part for policy")
	return observe.PartReport{}
}

// metric is one sample of a gate's metrics, as text.
func metric(t *testing.T, a *app, sample string) bool {
	t.Helper()
	families, err := a.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	name, label, _ := strings.Cut(sample, " ")
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
				return m.GetGauge().GetValue()+m.GetCounter().GetValue() > 0
			}
		}
	}
	t.Fatalf("there is no metric %s", sample)
	return false
}

const wordPolicy = `package neosc.authz

decision := {"allowed": indexof(input.session.claims.word, "x") == 0, "reasons": ["told"]}
`

// In a gate as it serves, one decision in ten thousand is compared. One on which
// the two differ moves the policy to OPA's evaluator, which readiness, log and
// metrics say; the request is kept without its secrets, and the next gate does
// not trust the machine with that policy either.
func TestAMismatchMovesTheServingGateToOPA(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	// OPA's own implementation gets a fault, which the machine's has not.
	theirs := topdown.GetBuiltin("indexof")
	topdown.RegisterBuiltinFunc("indexof", func(b topdown.BuiltinContext, terms []*ast.Term, iter func(*ast.Term) error) error {
		if terms[0].Value.Compare(ast.String("x-faulty")) == 0 {
			return iter(ast.IntNumberTerm(7))
		}
		return theirs(b, terms, iter)
	})
	defer topdown.RegisterBuiltinFunc("indexof", theirs)
	a := gateOf(t, dir, "", wordPolicy, &log)
	if s := a.engine.Settled(t.Context()); s.Evaluator != engine.Machine {
		t.Fatalf("%+v", s)
	}
	if p := policyPart(t, a); !p.Ready || p.Detail != "" || !metric(t, a, "pomerium_policy_evaluator machine") {
		t.Fatalf("before: %+v", p)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := wordRequest(a, "x-faulty")
	for a.engine.Evaluator().Evaluator == engine.Machine && ctx.Err() == nil {
		if _, err := a.engine.Decide(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	s := a.engine.Evaluator()
	if s.Evaluator != engine.OPA || !strings.Contains(s.Why, "disagreed on a request, kept in "+dir) {
		t.Fatalf("%+v", s)
	}
	if p := policyPart(t, a); !p.Ready || !strings.Contains(p.Detail, "runs on OPA's evaluator: the machine and OPA's evaluator disagreed") {
		t.Errorf("readiness says %+v", p)
	}
	if !metric(t, a, "pomerium_policy_evaluator opa") || metric(t, a, "pomerium_policy_evaluator machine") || !metric(t, a, "pomerium_policy_comparisons_total disagreed") {
		t.Error("metrics do not say it")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "policy-disagreement-*.json"))
	if len(files) != 1 {
		t.Fatalf("kept %q", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || !bytes.Contains(text, []byte(`"word": "x-faulty"`)) || !bytes.Contains(text, []byte(`"masked": true`)) || bytes.Contains(text, []byte("hush-hush")) {
		t.Errorf("%v: %s", err, text)
	}
	if err := a.engine.Close(ctx); err != nil { // waits until the verdict is written
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "policy moved to OPA's evaluator") || strings.Contains(log.String(), "hush-hush") {
		t.Errorf("the log says %s", &log)
	}
	next := gateOf(t, dir, "", wordPolicy, io.Discard)
	if s := next.engine.Settled(t.Context()); s.Evaluator != engine.OPA || !strings.Contains(s.Why, "disagreed") {
		t.Errorf("the next gate has %+v", s)
	}
}

// policy.engine: opa leaves all to OPA's evaluator, and nothing is amiss then.
func TestPolicyEngineOPA(t *testing.T) {
	a := gateOf(t, t.TempDir(), ", engine: opa", wordPolicy, io.Discard)
	if s := a.engine.Settled(t.Context()); s.Evaluator != engine.OPA || s.Why != "" || s.Pending {
		t.Fatalf("%+v", s)
	}
	d, err := a.engine.Decide(t.Context(), wordRequest(a, "x"))
	if err != nil || !d.Allowed {
		t.Fatalf("%+v, %v", d, err)
	}
	if p := policyPart(t, a); !p.Ready || p.Detail != "" {
		t.Errorf("readiness says %+v", p)
	}
	if !metric(t, a, "pomerium_policy_decisions_total opa") || metric(t, a, "pomerium_policy_decisions_total machine") || !metric(t, a, "pomerium_policy_evaluator opa") {
		t.Error("metrics do not say it")
	}
}
