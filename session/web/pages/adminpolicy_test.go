package pages

import (
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func policyView() PolicyView {
	at := time.Date(2026, 3, 5, 17, 2, 11, 0, time.UTC)
	return PolicyView{Viewer: amara(nil), State: session.PolicyState{
		Place: "https://bundles.kappa4.com/gate.tar.gz", Revision: "2026-03-05.2", Generation: 48, LoadedAt: at, LastAttempt: at,
		LastError: "policy refused:\n  authz.rego:3: <script>alert(1)</script>\n  authz.rego:4: unsafe", SourceError: "gone", SourceSince: at,
		Why: "walk is not supported", Bundle: &session.PolicyBundle{ID: "7f3c9e1b2d4a6f80", Revision: "2026-03-05.2", Signer: "policy-ci-2026", Algorithm: "ES256", Tests: 214},
		Kept:  []session.PolicyBundle{{ID: "7f3c9e1b2d4a6f80", Revision: "2026-03-05.2", Active: true}, {ID: "1b80d4a"}},
		Rules: []session.PolicyRule{{Name: "neosc.authz.open", At: "authz.rego:98", Held: 12345}, {Name: "neosc.authz.stale", At: "authz.rego:7"}}, Evaluations: 12400,
		Shadow: &session.PolicyShadow{Revision: "2026-03-06.1", Share: 0.25, Since: at, Compared: 418207, Disagreed: 96, Dropped: 3, Trouble: "the candidate runs on OPA's evaluator", Differences: []session.PolicyDifference{
			{Kind: "verdict", Route: "api", From: "refused", To: "allowed", Rules: []string{"-data.neosc.authz.read_only", "+data.neosc.authz.open"}, Count: 71, RequestID: "9f3c"},
			{Kind: "limits", From: "10/s", To: "none", Count: 1},
		}},
	}}
}

func TestPolicyPageKeepsTheLinesOfARefusal(t *testing.T) {
	t.Parallel()
	r := renderer(t)
	body := string(r.Policy(policyView()).Body)
	if !strings.Contains(body, "policy refused:\n") || strings.Contains(body, "<script>alert") {
		t.Errorf("the refusal is shown as\n%s", body)
	}
}

func TestPolicyPageListsWhatNeverHeldFirst(t *testing.T) {
	t.Parallel()
	body := string(renderer(t).Policy(policyView()).Body)
	never, held := strings.Index(body, "neosc.authz.stale"), strings.LastIndex(body, "neosc.authz.open")
	if never < 0 || held < never {
		t.Errorf("never at %d, held at %d", never, held)
	}
	v := policyView()
	v.State.Rules = make([]session.PolicyRule, mostRules+5)
	if body := string(renderer(t).Policy(v).Body); !strings.Contains(body, "And 5 more") {
		t.Error("the page does not say that there are more rules")
	}
}
