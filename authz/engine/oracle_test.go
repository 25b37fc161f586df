package engine

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/neosc/gate/policies"
	"github.com/open-policy-agent/opa/v1/loader"
)

var shippedEdge = Edge{
	SessionCookie: "_pomerium", IdentityPrefix: "x-pomerium-", Forwarded: []string{"accept", "cookie", "x-*"},
	Settable: []string{"x-pomerium-*", "x-session-id", "x-neosc-*"}, ResponseSettable: []string{"x-*", "www-authenticate"},
}

func shippedProgram(tb testing.TB) *Program {
	tb.Helper()
	b, err := loader.NewFileLoader().WithFS(policies.Files()).AsBundle(".")
	if err != nil {
		tb.Fatal(err)
	}
	src := Source{Modules: map[string]string{}, Data: b.Data, EntryPoint: "neosc/authz/decision", Timeout: 5 * time.Second}
	for _, m := range b.Modules {
		src.Modules[m.Path] = string(m.Raw)
	}
	p, err := Compile(src, shippedEdge)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// trialOf compares a program on n inputs.
func trialOf(tb testing.TB, p *Program, n int) *trial {
	tb.Helper()
	f, err := newFast(p)
	if err != nil {
		tb.Fatal(err)
	}
	t := &trials{opt: MachineOptions{Logger: slog.New(slog.DiscardHandler), Inputs: n, Dir: tb.TempDir()}, metrics: newMeters("x_"), now: time.Now}
	return newTrial(t, &activation{program: p}, newRunner(f, 1<<20, newFacts(f.machine.Rules())))
}

func TestTheShippedPolicyAgreesOnGeneratedRequests(t *testing.T) {
	t.Parallel()
	n := 1500
	if testing.Short() {
		n = 500
	}
	x := trialOf(t, shippedProgram(t), n)
	if err := x.compareAll(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d rules held, %d did not, %d ways, %d agreed", x.settled.Held, x.settled.Rules, x.settled.Failed, len(x.shapes), x.agreed)
	for i, r := range x.runner.facts.rules {
		if x.seen[i/64]&(1<<(i%64)) == 0 {
			t.Logf("never held: %s %s:%d", r.Name, r.File, r.Row)
		}
	}
}
