package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/mfa"
)

const (
	atFactor   = gateOrigin + "/oauth2/second_factor"
	atSecurity = gateOrigin + "/account/security"
)

func TestThereIsNoSessionBeforeTheSecondFactor(t *testing.T) {
	t.Parallel()
	x := newFactorHouse(t)
	key := x.enrol(t, x.browser())
	b := x.browser()
	n := len(x.sessions.values())
	leads(t, b.signIn(portal+"/a"), 303, atFactor)
	if len(x.sessions.values()) != n || b.cookies["_pomerium"] != "" {
		t.Error("the password alone gave a session")
	}
	if b.cookies["__Host-pomerium_pending"] == "" {
		t.Fatalf("no cookie of the pending sign-in: %v", b.cookies)
	}
	leads(t, b.form("/oauth2/second_factor", "/oauth2/second_factor", "with", "app", "code", "000000"), 422, "")
	leads(t, b.form("/oauth2/second_factor", "/oauth2/second_factor", "with", "app", "code", x.code(t, key), "rd", "https://evil.example/"), 303, portal+"/a")
	s := x.sessions.live[b.cookies["_pomerium"]]
	if s == nil || strings.Join(s.Identity.AMR, " ") != "pwd otp mfa" || s.Identity.Claims[mfa.RuleClaim] != "required" {
		t.Errorf("the session is %+v", s)
	}
	if b.cookies["__Host-pomerium_pending"] != "" {
		t.Error("the cookie of the pending sign-in is still there")
	}
	for _, a := range []session.Action{session.ActionFactorAdded, session.ActionRecoveryCodes, session.ActionFactorFailed, session.ActionFactorUsed, session.ActionLogin} {
		if !x.trail.has(a) {
			t.Errorf("the trail lacks %s", a)
		}
	}
	if n := x.metric("pomerium_authenticate_outcomes_total", "second_factor local"); n != 1 {
		t.Errorf("%v refused second factors are counted", n)
	}
}

func TestAPendingSignInIsNotPassedOn(t *testing.T) {
	t.Parallel()
	x := newFactorHouse(t)
	key := x.enrol(t, x.browser())
	b, other := x.browser(), x.browser()
	b.signIn(portal + "/")
	good := url.Values{"with": {"app"}, "code": {x.code(t, key)}}
	// Another browser, without the cookie; this one, without the form's token or from another site.
	if r := other.do("POST", "/oauth2/second_factor", good); r.StatusCode != 403 {
		t.Errorf("another browser: %s", r.Status)
	}
	if r := b.do("POST", "/oauth2/second_factor", good); r.StatusCode != 403 {
		t.Errorf("without a token: %s", r.Status)
	}
	form := url.Values{"with": {"app"}, "code": {x.code(t, key)}, "csrf": {token(t, text(t, b.do("GET", "/oauth2/second_factor", nil)))}}
	if r := b.do("POST", "/oauth2/second_factor", form, func(r *http.Request) { r.Header.Set("Origin", portal) }); r.StatusCode != 403 {
		t.Errorf("from another origin: %s", r.Status)
	}
	// A token of the form of one sign-in is none of another's.
	other.signIn(portal + "/")
	if r := other.do("POST", "/oauth2/second_factor", form); r.StatusCode != 403 {
		t.Errorf("with another's token: %s", r.Status)
	}
	for i, want := range []int{422, 422, 422, 422, 422, 403} {
		r := b.form("/oauth2/second_factor", "/oauth2/second_factor", "with", "app", "code", "000000")
		if i == 4 {
			// The page of the fifth has no form any more.
			if r.StatusCode != 422 && r.StatusCode != 303 {
				t.Errorf("attempt 5: %s", r.Status)
			}
			break
		}
		if r.StatusCode != want {
			t.Errorf("attempt %d: %s", i+1, r.Status)
		}
	}
	leads(t, b.do("GET", "/oauth2/second_factor", nil), 302, gateOrigin+"/oauth2/sign_in")
	if len(x.sessions.values()) != 1 {
		t.Error("somebody got in")
	}
}

func TestAnAccountThatChangedMeanwhileSignsInAnew(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*noras, time.Time){
		"Disabled":        func(n *noras, _ time.Time) { n.gone = true },
		"PasswordChanged": func(n *noras, at time.Time) { n.changed = at },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newFactorHouse(t)
			key := x.enrol(t, x.browser())
			b := x.browser()
			b.signIn(portal + "/")
			x.turn(time.Second)
			x.noras.mu.Lock()
			change(x.noras, x.clock())
			x.noras.mu.Unlock()
			if r := b.form("/oauth2/second_factor", "/oauth2/second_factor", "with", "app", "code", x.code(t, key)); r.StatusCode != 403 || b.cookies["_pomerium"] != "" {
				t.Errorf("%s, cookies %v", r.Status, b.cookies)
			}
		})
	}
}

func TestASecondFactorThatCannotBeKeptGivesNoSession(t *testing.T) {
	t.Parallel()
	x := newFactorHouse(t)
	key := x.enrol(t, x.browser())
	b := x.browser()
	b.signIn(portal + "/")
	x.trail.down = true
	if r := b.form("/oauth2/second_factor", "/oauth2/second_factor", "with", "app", "code", x.code(t, key)); r.StatusCode != 503 || b.cookies["_pomerium"] != "" {
		t.Errorf("%s, cookies %v", r.Status, b.cookies)
	}
	if n := len(x.sessions.values()); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

func TestAnAppThatCannotBeKeptIsNotSetUp(t *testing.T) {
	t.Parallel()
	x := newFactorHouse(t)
	b := x.browser()
	b.signIn(portal + "/")
	key := keyOn(t, text(t, b.do("GET", "/account/security/app", nil)))
	x.trail.down = true
	if r := b.form("/account/security/app", "/account/security/app", "code", x.code(t, key)); r.StatusCode != 503 {
		t.Errorf("%s", r.Status)
	}
	if f, err := x.factors.Factors(t.Context(), "u1"); err != nil || f.Enrolled() {
		t.Errorf("%+v, error %v", f, err)
	}
}

func TestAStepUpGivesANewSessionThatEndsWithTheOld(t *testing.T) {
	t.Parallel()
	x := newFactorHouse(t)
	b := x.browser()
	key := x.enrol(t, b)
	before := b.cookies["_pomerium"]
	old := x.sessions.live[before]
	x.turn(time.Hour)
	leads(t, b.form("/oauth2/second_factor?rd="+url.QueryEscape(portal+"/pay"), "/oauth2/second_factor", "with", "app", "code", x.code(t, key), "rd", portal+"/pay"), 303, portal+"/pay")
	after := b.cookies["_pomerium"]
	s := x.sessions.live[after]
	if after == before || x.sessions.live[before] != nil || s == nil {
		t.Fatalf("the session is the one before")
	}
	if !s.ExpiresAt.Equal(old.ExpiresAt) || strings.Join(s.Identity.AMR, " ") != "otp mfa" || !s.Identity.AuthenticatedAt.Equal(x.clock()) {
		t.Errorf("the session ends at %v, before at %v; %v at %v", s.ExpiresAt, old.ExpiresAt, s.Identity.AMR, s.Identity.AuthenticatedAt)
	}
	for _, rd := range []string{"https://evil.example/", gateOrigin + "/oauth2/sign_out", gateOrigin + "/account/security/../x", "//evil.example"} {
		x.turn(time.Minute)
		leads(t, b.form("/oauth2/second_factor", "/oauth2/second_factor", "with", "app", "code", x.code(t, key), "rd", rd), 303, gateOrigin+"/")
	}
}

func TestFactorsAreChangedByWhoHasJustProvedThemselves(t *testing.T) {
	t.Parallel()
	x := newFactorHouse(t)
	b := x.browser()
	leads(t, b.do("GET", "/account/security", nil), 303, gateOrigin+"/oauth2/sign_in")
	b.signIn(portal + "/")
	x.turn(11 * time.Minute)
	// Without a second factor it is the password that is asked for again.
	to := atFactor + "?rd=" + url.QueryEscape(atSecurity)
	leads(t, b.do("GET", "/account/security/app", nil), 303, to)
	again := strings.TrimPrefix(to, gateOrigin)
	leads(t, b.form(again, "/oauth2/second_factor", "with", "password", "password", "wrong", "rd", atSecurity), 422, "")
	leads(t, b.form(again, "/oauth2/second_factor", "with", "password", "password", "right & long", "rd", atSecurity), 303, atSecurity)
	key := keyOn(t, text(t, b.do("GET", "/account/security/app", nil)))
	b.form("/account/security/app", "/account/security/app", "code", x.code(t, key))

	// With one, the password is not enough.
	x.turn(11 * time.Minute)
	for _, path := range []string{"/app/remove", "/codes", "/passkey/remove", "/passkey/rename", "/passkey"} {
		leads(t, b.form("/account/security", "/account/security"+path, "id", "x", "name", "y"), 303, to)
	}
	leads(t, b.form(again, "/oauth2/second_factor", "with", "password", "password", "right & long", "rd", atSecurity), 422, "")
	leads(t, b.form(again, "/oauth2/second_factor", "with", "app", "code", x.code(t, key), "rd", atSecurity), 303, atSecurity)
	if r := b.do("POST", "/account/security/app/remove", url.Values{}); r.StatusCode != 403 {
		t.Errorf("without a token: %s", r.Status)
	}
	page := text(t, b.form("/account/security", "/account/security/app/remove"))
	if !strings.Contains(page, "is removed") {
		t.Errorf("removed:\n%s", page)
	}
	if f, err := x.factors.Factors(t.Context(), "u1"); err != nil || f.Enrolled() || f.RecoveryMade != 0 {
		t.Errorf("left is %+v, error %v", f, err)
	}
	if !x.trail.has(session.ActionFactorRemoved) {
		t.Error("the trail does not tell of the removal")
	}
}

func TestPeopleOfProvidersHaveTheirSecondFactorThere(t *testing.T) {
	t.Parallel()
	x := newFactorHouse(t)
	b := x.browser()
	_, value, err := x.sessions.Create(t.Context(), session.Identity{Provider: "one", UserID: "idp-1", Email: "x@kappa4.com"}, session.Browser, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.cookies["_pomerium"] = value
	for _, path := range []string{"/account/security", "/account/security/app", "/account/security/passkey", "/oauth2/second_factor"} {
		if r := b.do("GET", path, nil); r.StatusCode != 403 || !strings.Contains(text(t, r), "second factor") {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
}

func TestAPasskeySignInIsThisBrowsers(t *testing.T) {
	t.Parallel()
	x := newFactorHouse(t)
	b := x.browser()
	// Without a seed there is nothing that a challenge could belong to.
	if page := text(t, b.do("GET", "/oauth2/passkey", nil)); strings.Contains(page, "data-passkey") || !strings.Contains(page, `action="/oauth2/sign_in"`) {
		t.Errorf("a browser without cookies is shown:\n%s", page)
	}
	r := b.do("GET", "/oauth2/passkey", nil)
	page := text(t, r)
	if !strings.Contains(page, `data-passkey="get"`) || !strings.Contains(r.Header.Get("Content-Security-Policy"), "script-src 'self'") {
		t.Fatalf("%s\n%s", r.Header.Get("Content-Security-Policy"), page)
	}
	for name, form := range map[string]url.Values{
		"no token": {"credential": {"{}"}}, "no reply": {"csrf": {token(t, page)}}, "nonsense": {"csrf": {token(t, page)}, "credential": {`{"id":"x"}`}},
	} {
		if r := b.do("POST", "/oauth2/passkey", form); r.StatusCode != 403 && r.StatusCode != 422 {
			t.Errorf("%s: %s", name, r.Status)
		}
	}
	if len(x.sessions.values()) != 0 {
		t.Error("somebody got in")
	}
}
