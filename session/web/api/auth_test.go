package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

const noraSignsIn = `{"email": "nora@kappa4.com", "password": "SecurePassword123"}`

func TestSigningInGivesTokensAndTheSixFields(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	got := read[SignedIn](x.do("POST", "/api/auth/login", "", noraSignsIn), http.StatusOK)
	want := User{ID: "usr_nora", Email: "nora@kappa4.com", Name: "Nora", Organization: "Acme", Role: "neosc", MFA: true}
	if got.User != want || got.TokenType != "bearer" || got.ExpiresIn != 1800 {
		t.Errorf("%+v", got)
	}
	if me := read[User](x.do("GET", "/api/auth/me", got.AccessToken, ""), http.StatusOK); me != want {
		t.Errorf("me: %+v", me)
	}
	if head := x.do("HEAD", "/api/auth/me", got.AccessToken, ""); head.Code != http.StatusOK {
		t.Errorf("HEAD: %d", head.Code)
	}
	next := read[SignedIn](x.do("POST", "/api/auth/refresh", "", `{"refresh_token": "`+got.RefreshToken+`"}`), http.StatusOK)
	if next.User != want || next.AccessToken == got.AccessToken || next.RefreshToken == got.RefreshToken {
		t.Errorf("refreshed: %+v", next)
	}
	x.do("POST", "/api/auth/refresh", "", `{"refresh_token": "`+got.RefreshToken+`"}`).reason(401, "refresh_token_invalid")
	x.do("GET", "/api/auth/me", next.AccessToken, "").reason(401, "unauthenticated")
	if !slices.Equal(x.signIns, []string{"true <nil>"}) {
		t.Errorf("told of %q", x.signIns)
	}
	kept := x.trail.actions()
	if len(kept) < 2 || kept[0] != "token_issued success usr_nora by usr_nora" || kept[1] != "login success usr_nora by usr_nora" {
		t.Errorf("the trail: %q", kept)
	}
}

func TestSignInsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		email, password string
		status          int
		reason, retry   string
	}{
		"Unknown":       {"nobody@kappa4.com", "SecurePassword123", 401, "credentials", ""},
		"WrongPassword": {"nora@kappa4.com", "not this one", 401, "credentials", ""},
		"Guessed":       {"guessed@kappa4.com", "x", 429, "too_many_guesses", "90"},
		"Busy":          {"busy@kappa4.com", "x", 429, "busy", "1"},
		"Away":          {"away@kappa4.com", "x", 503, "unavailable", "1"},
		"Panic":         {"panic@kappa4.com", "x", 503, "internal_error", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newHouse(t)
			a := x.do("POST", "/api/auth/login", "", `{"email": "`+c.email+`", "password": "`+c.password+`"}`)
			a.reason(c.status, c.reason)
			if a.Header().Get("Retry-After") != c.retry || (c.status == 401) != (a.Header().Get("WWW-Authenticate") != "") {
				t.Errorf("%v", a.Header())
			}
			if strings.Contains(a.Body.String(), "sector 7") || strings.Contains(a.Body.String(), c.email) || strings.Contains(x.log.String(), c.password+" ") {
				t.Errorf("it tells too much: %s\n%s", a.Body, x.log)
			}
		})
	}
}

func TestAnUnknownAccountAndAWrongPasswordGetTheSameReply(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	one := x.do("POST", "/api/auth/login", "", `{"email": "nobody@kappa4.com", "password": "wrong password"}`)
	two := x.do("POST", "/api/auth/login", "", `{"email": "nora@kappa4.com", "password": "wrong password"}`)
	if one.Body.String() != two.Body.String() || len(one.Header()) != len(two.Header()) {
		t.Errorf("%s\n%s", one.Body, two.Body)
	}
}

func TestASignInThatTheTrailCannotKeepGivesNothing(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.trail.down = true
	x.do("POST", "/api/auth/login", "", noraSignsIn).reason(503, "unavailable")
	if found, err := x.sessions.List(t.Context(), session.Query{}); err != nil || len(found) != 0 {
		t.Errorf("%d sessions, %v", len(found), err)
	}
}

func TestSigningOutEndsTheSession(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	tokens := x.signIn("nora")
	x.do("POST", "/api/auth/logout", tokens.Access, "").status(http.StatusNoContent)
	x.do("GET", "/api/auth/me", tokens.Access, "").reason(401, "unauthenticated")
	x.do("POST", "/api/auth/refresh", "", `{"refresh_token": "`+tokens.Refresh+`"}`).reason(401, "refresh_token_invalid")
	if kept := x.trail.actions(); kept[len(kept)-1] != "logout success usr_nora by usr_nora" {
		t.Errorf("the trail: %q", kept)
	}
}

func TestCookiesChangeThingsOnlyFromPagesOfTheEdge(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	_, value, err := x.sessions.Create(t.Context(), x.accounts.identity(x.accounts.users["usr_nora"]), session.Browser, 0)
	if err != nil {
		t.Fatal(err)
	}
	cookie := func(r *http.Request) { r.Header.Set("Cookie", "a=b; _pomerium="+value) }
	from := func(origins ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["Origin"] = origins }
	}
	read[User](x.do("GET", "/api/auth/me", "", "", cookie), http.StatusOK)
	for name, edit := range map[string]func(*http.Request){"none": from(), "foreign": from("https://evil.example"), "null": from("null"), "two": from(portal, portal)} {
		t.Run(name, func(*testing.T) {
			x.do("POST", "/api/auth/logout", "", "", cookie, edit).reason(403, "origin_mismatch")
		})
	}
	// A token beside it counts alone, right or wrong.
	x.do("GET", "/api/auth/me", "junk", "", cookie).reason(401, "unauthenticated")
	x.do("GET", "/api/auth/me", "", "", cookie, func(r *http.Request) { r.Header.Set("Authorization", "Basic bm9yYTp4") }).reason(401, "unauthenticated")
	x.do("GET", "/api/auth/me", "", "", cookie, func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer a", "Bearer b"} }).reason(401, "unauthenticated")
	a := x.do("POST", "/api/auth/logout", "", "", cookie, from(portal))
	a.status(http.StatusNoContent)
	if lines := a.Header().Values("Set-Cookie"); len(lines) == 0 || !strings.Contains(lines[0], "_pomerium=;") {
		t.Errorf("cookies %q", lines)
	}
	x.do("GET", "/api/auth/me", "", "", cookie).reason(401, "unauthenticated")
}

func TestASecondFactorFinishesASignIn(t *testing.T) {
	t.Parallel()
	for method, code := range map[string]string{"otp": "123456", "recovery": "ABCDE-23456"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			x := newHouse(t)
			a := x.do("POST", "/api/auth/login", "", `{"email": "two@kappa4.com", "password": "x"}`)
			a.reason(401, "mfa_required")
			p := read[Problem](a, 401)
			if p.Type != "urn:neosc:problem:mfa_required" || p.MFAToken == "" || !slices.Equal(p.MFAMethods, []string{"totp", "recovery_code"}) {
				t.Fatalf("%+v", p)
			}
			step := func(token, code string) answer {
				return x.do("POST", "/api/auth/login/second-factor", "", `{"mfa_token": "`+token+`", "code": "`+code+`"}`)
			}
			step(p.MFAToken, "654321").reason(401, "mfa_code_wrong")
			step("other", code).reason(401, "mfa_token_invalid")
			got := read[SignedIn](step(p.MFAToken, code), http.StatusOK)
			s, err := x.sessions.ByBearer(t.Context(), got.AccessToken, x.clock())
			if err != nil || !slices.Equal(s.Identity.AMR, []string{"pwd", method, "mfa"}) {
				t.Fatalf("%v %v", s, err)
			}
			step(p.MFAToken, code).reason(401, "mfa_token_invalid")
			var kept []string
			for _, k := range x.trail.actions() {
				kept = append(kept, strings.Fields(k)[0])
			}
			if !slices.Equal(kept, []string{"mfa_failed", "mfa_verified", "token_issued", "login"}) {
				t.Errorf("the trail: %q", kept)
			}
		})
	}
}

func TestAnAccountThatWasChangedMeanwhileIsNotSignedInByItsSecondFactor(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	p := read[Problem](x.do("POST", "/api/auth/login", "", `{"email": "two@kappa4.com", "password": "x"}`), 401)
	u := x.accounts.users["usr_two"]
	u.CreatedAt = base.Add(time.Second) // of the change, to the fake
	x.accounts.users["usr_two"] = u
	x.do("POST", "/api/auth/login/second-factor", "", `{"mfa_token": "`+p.MFAToken+`", "code": "123456"}`).reason(401, "mfa_token_invalid")
}

func TestFactorsThatTheAPICannotAskFor(t *testing.T) {
	t.Parallel()
	without := newHouse(t, func(o *Options) { o.Factors = nil })
	without.do("POST", "/api/auth/login", "", `{"email": "two@kappa4.com", "password": "x"}`).reason(403, "mfa_unavailable")
	passkey := newHouse(t)
	passkey.factors.has = session.Factors{Passkeys: []session.Factor{{ID: "k"}}}
	passkey.do("POST", "/api/auth/login", "", `{"email": "two@kappa4.com", "password": "x"}`).reason(403, "mfa_unavailable")
	tried := newHouse(t)
	p := read[Problem](tried.do("POST", "/api/auth/login", "", `{"email": "two@kappa4.com", "password": "x"}`), 401)
	tried.factors.tries = 5
	tried.do("POST", "/api/auth/login/second-factor", "", `{"mfa_token": "`+p.MFAToken+`", "code": "123456"}`).reason(401, "mfa_token_invalid")
}

func TestRegisteringIsTheSameForEverybody(t *testing.T) {
	t.Parallel()
	x := newHouse(t, func(o *Options) {
		o.Mark = func(id *session.Identity) { id.Claims = map[string]any{"neosc:mfa": "required"} }
	})
	got := read[SignedIn](x.do("POST", "/api/auth/register", "", `{"email": "user@example.com", "password": "SecurePassword123", "name": "John Doe", "organization": "Acme Corporation"}`), http.StatusCreated)
	want := User{ID: "usr_new", Email: "user@example.com", Name: "John Doe", Organization: "Default Organization", Role: "user", MFA: true}
	if got.User != want || got.TokenType != "bearer" {
		t.Errorf("%+v", got)
	}
	s, err := x.sessions.ByBearer(t.Context(), got.AccessToken, x.clock())
	if err != nil || len(s.Identity.Roles) != 0 || s.Identity.Claims["neosc:mfa"] != "required" {
		t.Errorf("%v %v", s, err)
	}
	if me := read[User](x.do("GET", "/api/auth/me", got.AccessToken, ""), http.StatusOK); me != want {
		t.Errorf("me: %+v", me)
	}
	if p := read[Account](x.do("GET", "/api/users/me", got.AccessToken, ""), http.StatusOK); p.User != want || p.EmailVerified || len(p.Roles) != 0 {
		t.Errorf("profile: %+v", p)
	}
	if asked := x.accounts.asked[0]; asked != "register user@example.com Acme Corporation  203.0.113.9" {
		t.Errorf("asked %q", asked)
	}
	in := read[SignedIn](x.do("POST", "/api/auth/verify-email", "", `{"token": "t1", "password": "SecurePassword123"}`), http.StatusOK)
	if in.User.Role != "neosc" {
		t.Errorf("%+v", in)
	}
}

func TestRegistrationsAndLinksThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		status int
		reason string
	}{
		"Closed":    {session.ErrRegistrationClosed, 403, "registration_closed"},
		"NoMail":    {session.ErrNoMail, 403, "mail_unavailable"},
		"Link":      {session.ErrLink, 422, "link_invalid"},
		"Password":  {errors.Join(session.ErrCredentials), 401, "credentials"},
		"BadUser":   {errors.Join(errors.New("accounts"), session.ErrBadUser), 422, "request_invalid"},
		"Exists":    {session.ErrUserExists, 409, "conflict"},
		"Budget":    {&session.TooManyGuessesError{RetryAfter: time.Second}, 429, "too_many_guesses"},
		"Somewhere": {errors.New("sector 7"), 503, "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newHouse(t)
			x.accounts.fail = c.err
			for path, body := range map[string]string{
				"/api/auth/register":               `{"email": "a@b.example", "password": "SecurePassword123"}`,
				"/api/auth/verify-email":           `{"token": "t", "password": "SecurePassword123"}`,
				"/api/auth/password-reset":         `{"email": "a@b.example"}`,
				"/api/auth/password-reset/confirm": `{"token": "t", "password": "SecurePassword123"}`,
			} {
				x.do("POST", path, "", body).reason(c.status, c.reason)
			}
			if found, err := x.sessions.List(t.Context(), session.Query{}); err != nil || len(found) != 0 {
				t.Errorf("%d sessions, %v", len(found), err)
			}
		})
	}
}

func TestResettingAPassword(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.do("POST", "/api/auth/password-reset", "", `{"email": "nora@kappa4.com"}`).status(http.StatusAccepted)
	x.do("POST", "/api/auth/password-reset/confirm", "", `{"token": "t", "password": "AnotherPassword1"}`).status(http.StatusNoContent)
	if !slices.Equal(x.accounts.asked, []string{"reset nora@kappa4.com", "confirm t AnotherPassword1"}) {
		t.Errorf("asked %q", x.accounts.asked)
	}
}

func TestWithoutAccountsNobodySignsInWithAPassword(t *testing.T) {
	t.Parallel()
	x := newHouse(t, func(o *Options) { o.NoAccounts = true })
	for _, path := range []string{"/api/auth/login", "/api/auth/register", "/api/auth/password-reset"} {
		x.do("POST", path, "", noraSignsIn).reason(404, "unknown_route")
	}
}
