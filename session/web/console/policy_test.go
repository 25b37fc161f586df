package console

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/account"
)

// fakePolicy shows state, and notes what is wished.
type fakePolicy struct {
	mu     sync.Mutex
	state  session.PolicyState
	wishes []string
	fail   error
}

func (f *fakePolicy) PolicyState(context.Context) session.PolicyState { return f.state }

func (f *fakePolicy) wish(ctx context.Context, what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wishes = append(f.wishes, what+" by "+session.OriginOf(ctx).Actor.Email)
	return f.fail
}

func (f *fakePolicy) PromoteShadow(ctx context.Context, since time.Time) error {
	return f.wish(ctx, "promote of "+since.UTC().Format(time.RFC3339Nano))
}
func (f *fakePolicy) DropShadow(ctx context.Context) error { return f.wish(ctx, "drop") }
func (f *fakePolicy) GoBack(ctx context.Context, id string) error {
	return f.wish(ctx, "back to "+id)
}

func policyHouse(t *testing.T, f *fakePolicy) (*house, *browser) {
	t.Helper()
	x := newHouse(t, func(o *Options, _ *account.ServiceOptions) { o.Policy = f })
	x.add("amara@kappa4.com", "admin")
	return x, x.as("amara@kappa4.com")
}

func TestThePolicyPageShowsWhatThereIs(t *testing.T) {
	t.Parallel()
	f := &fakePolicy{state: session.PolicyState{
		Place: "/etc/gate/policy.tar.gz", Revision: "2026-03-05.2", Generation: 48, LoadedAt: base.Add(-time.Hour), LastAttempt: base,
		LastError: "policy refused:\n  authz.rego:3: <b>var</b> x is unsafe", Refused: "2026-03-05.3", SourceError: "connection refused", SourceSince: base,
		Machine: true, Reached: 303, Outcomes: 313,
		Bundle:      &session.PolicyBundle{ID: "7f3c9e1", Signer: "policy-ci-2026", Algorithm: "ES256", Tests: 214},
		Kept:        []session.PolicyBundle{{ID: "7f3c9e1", Revision: "2026-03-05.2", Active: true}, {ID: "1b80d4a", Revision: "2026-03-05.1", Signer: "policy-ci-2026", ActivatedAt: base}},
		Rules:       []session.PolicyRule{{Name: "neosc.authz.open", At: "authz.rego:98", Held: 12345}, {Name: "neosc.authz.stale", At: "authz.rego:7"}},
		Evaluations: 12400,
		Shadow: &session.PolicyShadow{Revision: "2026-03-06.1", Share: 0.25, Since: base, Compared: 418207, Disagreed: 96, Differences: []session.PolicyDifference{
			{Kind: "verdict", Route: "api", From: "refused", To: "allowed", Rules: []string{"-data.neosc.authz.read_only"}, Count: 71, RequestID: "r-1"},
		}},
	}}
	_, v := policyHouse(t, f)
	a := v.get("/admin/policy")
	a.wants(t, http.StatusOK,
		"48", "2026-03-05.2", "policy-ci-2026", "ES256", "214", "303 of 313", "The last reload was refused", "2026-03-05.3", "&lt;b&gt;var&lt;/b&gt;",
		"connection refused", "In shadow: revision 2026-03-06.1", "418,207", "0.023%", "read_only", "r-1", "Go back to 2026-03-05.1", "12,345", "1 rules have never held",
	)
	if strings.Contains(a.text, "Go back to 2026-03-05.2") {
		t.Error("the page goes back to what is active")
	}
}

func TestThePolicyPageOfAFolder(t *testing.T) {
	t.Parallel()
	_, v := policyHouse(t, &fakePolicy{state: session.PolicyState{Revision: "7f3c9e1", Generation: 1, Why: "walk is not supported"}})
	v.get("/admin/policy").wants(t, http.StatusOK, "walk is not supported", "it is no bundle", "No policy is watched", "No bundle was active yet", "Nothing is counted")
}

func TestWhatAdministratorsWishOfThePolicy(t *testing.T) {
	t.Parallel()
	f := &fakePolicy{state: session.PolicyState{Shadow: &session.PolicyShadow{Revision: "x", Since: base.Add(7)}}}
	_, v := policyHouse(t, f)
	mark := strconv.FormatInt(base.Add(7).UnixNano(), 10)
	v.get("/admin/policy").wants(t, http.StatusOK, `name="since" value="`+mark+`"`)
	for do, want := range map[string]string{"promote": "What was watched decides now", "drop": "watched no more"} {
		v.follow(v.send("/account", "/admin/policy", "do", do, "since", mark), want)
	}
	v.follow(v.send("/account", "/admin/policy", "do", "back", "to", "1b80d4a"), "The gate went back")
	got := strings.Join(f.wishes, "; ")
	for _, want := range []string{"promote of " + base.Add(7).UTC().Format(time.RFC3339Nano) + " by amara@kappa4.com", "drop by amara@kappa4.com", "back to 1b80d4a by amara@kappa4.com"} {
		if !strings.Contains(got, want) {
			t.Errorf("wishes %q lack %q", got, want)
		}
	}
	before := len(f.wishes)
	for _, odd := range [][]string{{}, {"do", "burn"}, {"do", "promote"}, {"do", "promote", "since", "now"}, {"do", "back"}, {"do", "back", "to", strings.Repeat("x", 200)}} {
		v.send("/account", "/admin/policy", odd...).wants(t, http.StatusConflict, "Nothing has changed.")
	}
	if len(f.wishes) != before {
		t.Errorf("odd forms did something: %q", f.wishes[before:])
	}
	f.fail = fmt.Errorf("%w: no policy is watched", session.ErrPolicyWish)
	v.send("/account", "/admin/policy", "do", "promote", "since", mark).wants(t, http.StatusConflict, "Nothing has changed. No policy is watched.")
}

func TestOthersSeeNothingOfThePolicy(t *testing.T) {
	t.Parallel()
	f := &fakePolicy{}
	x, _ := policyHouse(t, f)
	x.add("ben@kappa4.com", "user")
	v := x.as("ben@kappa4.com")
	v.get("/admin/policy").wants(t, http.StatusForbidden)
	v.send("/account", "/admin/policy", "do", "promote").wants(t, http.StatusForbidden)
	if len(f.wishes) > 0 {
		t.Errorf("somebody else wished %q", f.wishes)
	}
}
