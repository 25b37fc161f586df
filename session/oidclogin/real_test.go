package oidclogin

import (
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/test/idp"
)

// authorizeAs signs in at a real provider's page and returns the callback's query.
func authorizeAs(t *testing.T, to, login string) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back *url.URL
	c := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), gateOrigin) {
			back = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	page, err := c.Get(to)
	if err != nil {
		t.Fatal(err)
	}
	_ = page.Body.Close()
	done, err := c.PostForm(page.Request.URL.String(), url.Values{"login": {login}})
	if err != nil {
		t.Fatal(err)
	}
	_ = done.Body.Close()
	if back == nil {
		t.Fatalf("the provider did not send the browser back, but answered %d", done.StatusCode)
	}
	return back.Query()
}

func TestARealProviderRotatesAndRefusesReuse(t *testing.T) {
	t.Parallel()
	real := idp.Start(t, idp.Settings{
		Alg: "ES256", Accounts: map[string]map[string]any{"nora": {"email": "nora@kappa4.com", "email_verified": true, "roles": []string{"neosc"}}},
		Clients: []idp.Client{{"client_id": "gate", "client_secret": "a secret of the tests", "redirect_uris": []string{gateOrigin + "/callback/one"},
			"grant_types": []string{"authorization_code", "refresh_token"}}},
	})
	r := newRig(t, func(o *Options) {
		o.Providers = []Provider{{ID: "one", Issuer: real.Issuer, ClientID: "gate", ClientSecret: "a secret of the tests", Scopes: []string{"openid", "profile", "offline_access"}}}
	})
	r.clock.ns.Store(time.Now().UnixNano()) // the provider's clock is the real one
	to, err := r.Start(t.Context(), session.StartLogin{Provider: "one", ReturnTo: portal, Browser: browser})
	if err != nil {
		t.Fatal(err)
	}
	l, err := r.finish(t.Context(), "one", authorizeAs(t, to, "nora"))
	if err != nil {
		t.Fatal(err)
	}
	g := r.replica(t)
	r.clock.add(due)
	first := &refresh{Logins: r.Logins, p: r.byID["one"], key: l.Session.Key, note: noteKey(tokensPurpose, l.Session.Key.String())}
	if o, err := first.prepare(t.Context(), l.Cookie); o != "" || err != nil {
		t.Fatal(o, err)
	}
	r.clock.add(lockLife)
	g.settle(t, l.Cookie)
	s := g.settle(t, l.Cookie)
	if s == nil || s.Fence != 1 || !slices.Equal(s.Identity.Roles, []string{"neosc"}) {
		t.Fatalf("%+v", s)
	}
	m, err := r.byID["one"].discovery.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = r.byID["one"].refresh(t.Context(), m, first.kept.Refresh)
	if e, ok := errors.AsType[*tokenError](err); !ok || !e.spent {
		t.Fatalf("the token of before: %v, want a refusal", err)
	}
	// The provider has taken what came of it too, which ends the session.
	r.clock.add(due)
	g.settle(t, l.Cookie)
	if g.live(t, l.Cookie) || g.counted(t, refused) != 1 {
		t.Error("the session outlived the provider's refusal")
	}
}
