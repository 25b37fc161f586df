package web

import (
	"context"
	"encoding/base32"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/session/mfa"
	"github.com/neosc/gate/session/sqlstore"
)

// free lets every guess through.
type free struct{}

func (free) ChargeGuess(context.Context, string, string) error { return nil }
func (free) Take(context.Context, time.Time, string, string, float64, int) (bool, time.Duration, error) {
	return true, 0, nil
}

// noras is the one account that accounts knows.
type noras struct {
	mu      sync.Mutex
	gone    bool
	changed time.Time
}

func (n *noras) Identify(_ context.Context, userID string) (session.Identity, time.Time, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if userID != "u1" || n.gone {
		return session.Identity{}, time.Time{}, session.ErrCredentials
	}
	return session.Identity{Provider: "local", UserID: "u1", Email: "nora@kappa4.com", Name: "Nora Villaseñor", Roles: []string{"neosc"}}, n.changed, nil
}

// keeper keeps events, unless it is down.
type keeper struct {
	mu     sync.Mutex
	down   bool
	events []session.Event
}

func (k *keeper) Append(_ context.Context, events ...session.Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down {
		return fmt.Errorf("%w: disk full", session.ErrUnavailable)
	}
	k.events = append(k.events, events...)
	return nil
}

func (k *keeper) has(action session.Action) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.events {
		if e.Action == action && e.User.ID == "u1" && e.ClientIP == "203.0.113.9" {
			return true
		}
	}
	return false
}

// factorHouse is a house whose accounts have second factors, with a clock.
type factorHouse struct {
	*house
	factors *mfa.Store
	noras   *noras
	trail   *keeper
	mu      sync.Mutex
	now     time.Time
}

func (x *factorHouse) clock() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.now
}

func (x *factorHouse) turn(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now = x.now.Add(d)
}

func newFactorHouse(t testing.TB) *factorHouse {
	t.Helper()
	x := &factorHouse{noras: &noras{}, trail: &keeper{}, now: noon}
	db, err := sqlstore.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "gate.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	x.factors, err = mfa.New(t.Context(), mfa.Options{
		DB: db, Dialect: sqlstore.SQLite(), Notes: memstore.New(), Keys: formKeys(strings.Repeat("r", 32)), Guesses: free{}, Budget: free{},
		Origin: gateOrigin, Name: "NeoSC Gate", Clock: x.clock, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	guard := &mfa.Guard{Accounts: accounts{}, Identifier: x.noras, Factors: x.factors, Rule: mfa.Required}
	x.house = newHouse(t, func(o *Options) {
		o.Accounts, o.Identities, o.Factors, o.Audit, o.Clock = guard, guard, x.factors, x.trail, x.clock
	})
	x.sessions.clock = x.clock
	return x
}

var shownKey = regexp.MustCompile(`id="key">(.*?)</code>`)

// keyOn reads an app's key off its page.
func keyOn(t testing.TB, page string) string {
	t.Helper()
	m := shownKey.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no key on:\n%s", page)
	}
	return regexp.MustCompile(`<[^>]*>|\s`).ReplaceAllString(m[1], "")
}

// code is what the app shows.
func (x *factorHouse) code(t testing.TB, key string) string {
	t.Helper()
	if _, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(key); err != nil {
		t.Fatal(err)
	}
	c, err := totp.GenerateCode(key, x.clock())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// form sends a form with the token of a page.
func (b *browser) form(page, action string, fields ...string) *http.Response {
	b.t.Helper()
	body := text(b.t, b.do("GET", page, nil))
	form := url.Values{"csrf": {token(b.t, body)}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.do("POST", action, form)
}

// enrol signs nora in and sets up an app; the time step of its code is over then.
func (x *factorHouse) enrol(t testing.TB, b *browser) (key string) {
	t.Helper()
	b.signIn(portal + "/")
	key = keyOn(t, text(t, b.do("GET", "/account/security/app", nil)))
	if r := b.form("/account/security/app", "/account/security/app", "code", x.code(t, key)); r.StatusCode != 200 || !strings.Contains(text(t, r), `<ol class="codes code"`) {
		t.Fatalf("set up: %s", r.Status)
	}
	x.turn(time.Minute)
	return key
}

func leads(t testing.TB, r *http.Response, status int, to string) {
	t.Helper()
	if r.StatusCode != status || r.Header.Get("Location") != to {
		t.Errorf("%s to %q, want %d to %q", r.Status, r.Header.Get("Location"), status, to)
	}
}

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
