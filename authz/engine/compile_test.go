package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/engine"
)

func TestForbiddenBuiltinsDoNotCompile(t *testing.T) {
	for name, body := range map[string]string{
		"http.send":          `decision := http.send({"method": "GET", "url": "http://127.0.0.1/"}).status_code == 200`,
		"net.lookup_ip_addr": `decision := count(net.lookup_ip_addr("localhost")) > 0`,
		"opa.runtime":        `decision := opa.runtime().env.HOME == ""`,
		"rand.intn":          `decision := rand.intn("a", 2) == 0`,
		"uuid.rfc4122":       `decision := uuid.rfc4122("a") != ""`,
		"uuid.parse":         "decision := true if {\n\tx := [y | y := uuid.parse(\"a\")]\n\tx != []\n}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := engine.Compile(rego(body), testEdge())
			if err == nil {
				t.Fatal("compiled")
			}
			for _, want := range []string{"p.rego:", "built-in " + name + " is not available", ": "} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not name %q: %v", want, err)
				}
			}
		})
	}
}

func TestForbiddenBuiltinsCannotBeReachedByWith(t *testing.T) {
	_, err := engine.Compile(rego("decision := true if {\n\tcount(\"a\") == 200 with count as http.send\n}"), testEdge())
	if err == nil || !strings.Contains(err.Error(), "http.send") {
		t.Fatalf("got %v", err)
	}
}

func TestRefusedSourcesSayWhereAndWhy(t *testing.T) {
	for _, c := range []struct {
		name, body, entry string
		names             []string
	}{
		{"SyntaxError", "decision := {", "", []string{"p.rego:3"}},
		{"OldSyntax", "decision { true }", "", []string{"p.rego:3", "`if`"}},
		{"MisspeltField", `decision := true if input.sesion.id == ""`, "", []string{"p.rego:3", "input.sesion", "session"}},
		{"WrongType", `decision := true if input.session.roles == "admin"`, "", []string{"p.rego:3"}},
		{"UnusedVariable", "decision := true if {\n\tx := 1\n}", "", []string{"p.rego:4", "x"}},
		{"Recursion", "decision := a\n\na := b\n\nb := a", "", []string{"recursive"}},
		{"NoEntryPoint", "allow := true", "", []string{"data.neosc.authz.decision", "policy.entrypoint"}},
		{"OtherEntryPoint", "decision := true", "data.neosc.authz.allow", []string{"data.neosc.authz.allow"}},
		{"BadEntryPoint", "decision := true", "neosc/authz/x[y]", []string{"entry point"}},
		{"RuleAndDataAtOnePath", "decision := true\n\nhours := 1", "", []string{"p.rego:5", "neosc/authz/hours"}},
		{"UnknownFunction", "decision := nosuch(1)", "", []string{"p.rego:3", "nosuch"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			src := rego(c.body)
			src.EntryPoint = c.entry
			src.Data = map[string]any{"neosc": map[string]any{"authz": map[string]any{"hours": map[string]any{"from": 8}}}}
			_, err := engine.Compile(src, testEdge())
			if err == nil {
				t.Fatal("compiled")
			}
			for _, want := range c.names {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not name %q: %v", want, err)
				}
			}
		})
	}
}

func TestNoModulesAreRefused(t *testing.T) {
	if _, err := engine.Compile(engine.Source{}, testEdge()); err == nil {
		t.Fatal("compiled")
	}
}

func TestEdgesThatWouldLetPolicyReframeMessagesAreRefused(t *testing.T) {
	for name, change := range map[string]func(*engine.Edge){
		"ContentLength": func(e *engine.Edge) { e.Settable = []string{"content-length"} },
		"Host":          func(e *engine.Edge) { e.ResponseSettable = []string{"host"} },
		"AnyHeader":     func(e *engine.Edge) { e.Settable = []string{"*"} },
		"UpperCase":     func(e *engine.Edge) { e.Forwarded = []string{"Accept"} },
		"PseudoHeader":  func(e *engine.Edge) { e.Settable = []string{":path"} },
	} {
		t.Run(name, func(t *testing.T) {
			e := testEdge()
			change(&e)
			if _, err := engine.Compile(rego("decision := true"), e); err == nil {
				t.Error("accepted")
			}
		})
	}
	e := testEdge()
	e.Settable = []string{"t*"} // covers te, trailer, transfer-encoding
	p, err := engine.Compile(rego(`decision := {"allowed": true, "headers": {["transfer-encoding"][0]: "chunked"}}`), e)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := p.Decide(context.Background(), testRequest()); err == nil {
		t.Errorf("transfer-encoding was set: %+v", d)
	}
}

func TestRevisionIsAHashOfTheContentUnlessGiven(t *testing.T) {
	a, b, c := rego("decision := true"), rego("decision := true"), rego("decision := false")
	d := rego("decision := true")
	d.Data = map[string]any{"x": 1}
	revisions := map[string]bool{}
	for _, s := range []engine.Source{a, b, c, d} {
		revisions[mustCompile(t, s).Revision()] = true
	}
	if len(revisions) != 3 {
		t.Errorf("got %v, want the same for the first two and others for the rest", revisions)
	}
	a.Revision = "v1.2.3"
	if got := mustCompile(t, a).Revision(); got != "v1.2.3" {
		t.Errorf("got %q", got)
	}
	a.Revision = "a\nb"
	if _, err := engine.Compile(a, testEdge()); err == nil {
		t.Error("a revision with a line break was accepted")
	}
}

func TestPolicySeesTheRequestsClock(t *testing.T) {
	p := mustCompile(t, rego(`decision := {"allowed": open, "reasons": [lower(day)]}

day := time.weekday([time.now_ns(), "America/Mexico_City"])

default open := false

open if {
	time.format(time.now_ns()) == input.attributes.request.time
	time.clock([time.now_ns(), "America/Mexico_City"]) < [20, 0, 0]
}`))
	for at, want := range map[string]struct {
		allowed bool
		day     string
	}{
		"2026-03-06T19:59:59-06:00": {true, "friday"},
		"2026-03-06T20:00:00-06:00": {false, "friday"},
		"2026-03-08T00:00:00-06:00": {true, "sunday"},
	} {
		r := testRequest()
		var err error
		if r.Time, err = time.Parse(time.RFC3339, at); err != nil {
			t.Fatal(err)
		}
		d, err := p.Decide(context.Background(), r)
		if err != nil || d.Allowed != want.allowed || d.Reasons[0] != want.day {
			t.Errorf("%s: %+v, %v", at, d, err)
		}
	}
}

func TestSlowPoliciesAreStopped(t *testing.T) {
	src := rego("decision := count([1 | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); i == -j]) == 0")
	src.Modules["p.rego"] = strings.ReplaceAll(src.Modules["p.rego"], "; ", "\n\t")
	src.Timeout = 20 * time.Millisecond
	p := mustCompile(t, src)
	_, err := p.Decide(context.Background(), testRequest())
	if e, ok := errors.AsType[*engine.Error](err); !ok || e.Kind != engine.Timeout {
		t.Fatalf("got %v", err)
	}
	src.Timeout = time.Hour
	p = mustCompile(t, src)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = p.Decide(ctx, testRequest())
	if e, ok := errors.AsType[*engine.Error](err); !ok || e.Kind != engine.Timeout {
		t.Fatalf("got %v after the caller gave up", err)
	}
}

func TestPrintDoesNothing(t *testing.T) {
	d, err := decide(t, "decision := true if {\n\tprint(\"secret\", input.session.id)\n}")
	if err != nil || !d.Allowed {
		t.Fatal(d, err)
	}
}
