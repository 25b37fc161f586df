package extauthz

import (
	"errors"
	"testing"

	"github.com/neosc/gate/authz"
)

const assertionHeader = "x-pomerium-jwt-assertion"

func TestTheSignedIdentityGoesWhereIdentityIsPassed(t *testing.T) {
	for name, tc := range map[string]struct {
		route string
		world func(*fixture)
		want  string
	}{
		"PassesIdentity":   {"told", nil, "signed for u-1 at told.example.com 12:00:00"},
		"PassesNoIdentity": {"portal", nil, ""},
		"Nobody":           {"told", func(f *fixture) { f.session = nil }, ""},
		"TheGateItself":    {"gate", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			if tc.world != nil {
				tc.world(f)
			}
			ok := mustCheck(t, f.server(t), check(tc.route, "GET", "/", "cookie", "_pomerium=s")).GetOkResponse()
			if ok == nil {
				t.Fatal("not allowed")
			}
			if got := header(ok.Headers, assertionHeader); got != tc.want {
				t.Errorf("the assertion is %q, want %q", got, tc.want)
			}
		})
	}
}

func TestWhatCannotBeSignedIsNotLetThrough(t *testing.T) {
	f := newFixture()
	f.unsigned = errors.New("no key")
	s := f.server(t)
	if got := mustCheck(t, s, check("told", "GET", "/", "cookie", "_pomerium=s")).GetErrorResponse().GetStatus().GetCode(); got != 503 {
		t.Errorf("status %d, want 503", got)
	}
	if mustCheck(t, s, check("portal", "GET", "/", "cookie", "_pomerium=s")).GetOkResponse() == nil {
		t.Error("a route that passes no identity was refused for it")
	}
}

func TestPolicyCannotSetTheSignedIdentity(t *testing.T) {
	f := newFixture()
	f.decide = func(*authz.Request) (*authz.Decision, error) {
		return &authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}, Headers: []authz.Header{{Name: assertionHeader, Value: "forged"}}}, nil
	}
	for _, route := range []string{"told", "portal"} { // also where ours would not be beside it
		if got := mustCheck(t, f.server(t), check(route, "GET", "/", "cookie", "_pomerium=s")).GetErrorResponse().GetStatus().GetCode(); got != 503 {
			t.Errorf("%s: status %d, want 503", route, got)
		}
	}
}
