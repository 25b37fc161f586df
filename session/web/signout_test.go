package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/neosc/gate/session"
)

func TestSignOutEndsTheSessionEverywhere(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	b := x.browser()
	b.signIn("")
	// Neither an image nor a foreign form has an effect.
	status(t, b.do("GET", "/oauth2/sign_out", nil), 200)
	status(t, b.do("POST", "/oauth2/sign_out", url.Values{}, func(r *http.Request) { r.Header.Set("Origin", portal) }), 403)
	status(t, b.do("POST", "/oauth2/sign_out", url.Values{}, func(r *http.Request) { r.Header.Del("Origin") }), 403)
	if len(x.sessions.values()) != 1 {
		t.Fatal("the session ended without being asked to")
	}
	tok := token(t, text(t, b.do("GET", "/oauth2/sign_out?rd="+url.QueryEscape(portal+"/"), nil)))
	resp := b.do("POST", "/oauth2/sign_out", url.Values{"csrf": {tok}, "rd": {portal + "/"}}, func(r *http.Request) { r.Header.Del("Origin") })
	status(t, resp, 200)
	if body := text(t, resp); !strings.Contains(body, "You are signed out.") || !strings.Contains(body, "/oauth2/sign_in?rd=https%3A%2F%2Fportal.kappa4.com%2F") {
		t.Errorf("page:\n%s", body)
	}
	if len(x.sessions.values()) != 0 || b.cookies["_pomerium"] != "" {
		t.Errorf("left: %v, cookie %q", x.sessions.values(), b.cookies["_pomerium"])
	}
	// Again, without a session: the same page.
	status(t, b.do("POST", "/oauth2/sign_out", url.Values{}), 200)
	status(t, b.do("GET", "/oauth2/sign_out", nil), 200)
}

func TestSignOutTokenIsBoundToTheSession(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	b := x.browser()
	b.signIn("")
	old := token(t, text(t, b.do("GET", "/oauth2/sign_out", nil)))
	x.sessions.mu.Lock()
	x.sessions.live[b.cookies["_pomerium"]] = &session.Session{Key: session.ID{99}.Key()}
	x.sessions.mu.Unlock()
	status(t, b.do("POST", "/oauth2/sign_out", url.Values{"csrf": {old}}, func(r *http.Request) { r.Header.Del("Origin") }), 403)
}
