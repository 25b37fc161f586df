package web

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOvertakenSignInsBeginAnewUntilTheErrorIsShown: a code that the provider
// took back, for another tab's sign-in, is worth another round; one that it
// refuses always has its own page in the end, not that of a loop.
func TestOvertakenSignInsBeginAnewUntilTheErrorIsShown(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]struct {
		status int
		text   string
	}{"login_superseded": {503, "does not answer."}, "code_refused": {502, "does not hold."}} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			x, _ := newInn(t, true, "one", "two")
			b := x.browser()
			next := "/oauth2/sign_in?rd=" + url.QueryEscape(portal+"/x") + "&provider=one"
			for turn := range 2 { // "Sign in again" has rounds of its own
				for i := range maxAnew {
					status(t, b.do("GET", next, nil), 302)
					resp := b.do("GET", "/callback/one?code=c&state="+state, nil)
					if to := resp.Header.Get("Location"); resp.StatusCode != 302 || to != gateOrigin+next {
						t.Fatalf("turn %d, round %d: answered %d to %q, want the beginning at the same provider", turn, i, resp.StatusCode, to)
					}
				}
				status(t, b.do("GET", next, nil), 302)
				resp := b.do("GET", "/callback/one?code=c&state="+state, nil)
				if body := text(t, resp); resp.StatusCode != want.status || !strings.Contains(body, want.text) || !strings.Contains(body, "req-1") {
					t.Errorf("turn %d: %d\n%s", turn, resp.StatusCode, body)
				}
			}
			if len(x.sessions.values()) != 0 {
				t.Error("there is a session")
			}
		})
	}
}

// TestAnOvertakenTabGoesWhereItWantedOnceAnotherSignedIn asks the provider no
// more.
func TestAnOvertakenTabGoesWhereItWantedOnceAnotherSignedIn(t *testing.T) {
	t.Parallel()
	x, f := newInn(t, false, "one")
	b := x.browser()
	b.do("GET", wayIn, nil)
	status(t, b.do("GET", "/callback/one?code=c&state=0", nil), 303)
	resp := b.do("GET", "/callback/one?code=c&state=code_refused", nil)
	status(t, resp, 302)
	resp = b.do("GET", strings.TrimPrefix(resp.Header.Get("Location"), gateOrigin), nil)
	if to := resp.Header.Get("Location"); to != portal+"/x" || len(f.started) != 1 {
		t.Errorf("to %q, %d starts", to, len(f.started))
	}
}

// TestTabsThatSignInTogetherDoNotEndEachOther: the first is still on its way to
// its application when the second's callback comes.
func TestTabsThatSignInTogetherDoNotEndEachOther(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sent time.Time
		who  string
		want []string
	}{
		"BegunMeanwhile":       {noon.Add(700 * time.Microsecond), "", []string{"sealed-1", "sealed-2"}},
		"BegunBefore":          {noon.Add(time.Millisecond), "", []string{"sealed-2"}},
		"AnotherPerson":        {noon.Add(-time.Minute), "idp-2", []string{"sealed-2"}},
		"NobodyKnowsSinceWhen": {time.Time{}, "", []string{"sealed-2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, f := newInn(t, false, "one")
			f.sent = c.sent
			b := x.browser()
			b.do("GET", wayIn, nil)
			b.do("GET", wayIn, nil)
			status(t, b.do("GET", "/callback/one?code=c&state=0", nil), 303)
			status(t, b.do("GET", "/callback/one?code=c&state=1&who="+c.who, nil), 303)
			live := x.sessions.values()
			slices.Sort(live)
			if !slices.Equal(live, c.want) || b.cookies["_pomerium"] != "sealed-2" {
				t.Errorf("live: %q, want %q; cookies %v", live, c.want, b.cookies)
			}
			if s := x.sessions.live["sealed-1"]; s != nil && !s.ExpiresAt.Equal(noon.Add(overlap)) {
				t.Errorf("the first one ends at %s", s.ExpiresAt)
			}
		})
	}
}
