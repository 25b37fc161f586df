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
	SessionCookie: "_pomerium", IdentityPrefix: "x-pomerium-", Forwarded: []string{"accept", "cookie", "x-*", "origin", "access-control-request-*"},
	Settable: []string{"x-pomerium-*", "x-session-id", "x-neosc-*"}, ResponseSettable: []string{"x-*", "www-authenticate"},
}

func shippedSource(tb testing.TB) Source {
	tb.Helper()
	b, err := loader.NewFileLoader().WithFS(policies.Files()).AsBundle(".")
	if err != nil {
		tb.Fatal(err)
	}
	src := Source{Modules: map[string]string{}, Data: b.Data, EntryPoint: "neosc/authz/decision", Timeout: 5 * time.Second}
	for _, m := range b.Modules {
		src.Modules[m.Path] = string(m.Raw)
	}
	return src
}

func shippedProgram(tb testing.TB) *Program {
	tb.Helper()
	p, err := Compile(shippedSource(tb), shippedEdge)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// trialOf compares a program on n inputs.
func trialOf(tb testing.TB, p *Program, n int) *trial {
	tb.Helper()
	t := &trials{opt: MachineOptions{Logger: slog.New(slog.DiscardHandler), Inputs: n, Dir: tb.TempDir()}, metrics: newMeters("x_"), now: time.Now}
	x, err := t.prepare(&activation{program: p})
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func TestTheShippedPolicyAgreesOnGeneratedRequests(t *testing.T) {
	t.Parallel()
	n := 1000
	if testing.Short() || slow {
		n = 150
	}
	x := trialOf(t, shippedProgram(t), n)
	if err := x.compareAll(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d outcomes, %d requests kept, %d agreed", x.settled.Reached, x.settled.Outcomes, len(x.steer.corpus), x.agreed)
	if r := x.settled.Reach; n == 1000 && 4*r.Reached < 3*r.Outcomes {
		t.Errorf("%d of %d outcomes only", r.Reached, r.Outcomes)
	}
	for _, m := range x.settled.Missed {
		t.Log(m)
	}
}
