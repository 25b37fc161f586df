package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// logins is a provider that answers by the state and token that it is sent.
type logins struct {
	sessions *sessions
	infos    []session.ProviderInfo

	mu      sync.Mutex
	started []session.StartLogin
	sent    time.Time // of all of them
	signed  []string  // cookies at SignOut
	endAt   string
}

func (f *logins) Providers() []session.ProviderInfo { return f.infos }

func (f *logins) Start(_ context.Context, r session.StartLogin) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Provider == "away" {
		return "", &session.LoginError{Reason: session.LoginAway, Provider: r.Provider, ReturnTo: r.ReturnTo, Err: errors.New("no route")}
	}
	if !slices.ContainsFunc(f.infos, func(i session.ProviderInfo) bool { return i.ID == r.Provider }) {
		return "", &session.LoginError{Reason: session.LoginUnknown, Provider: r.Provider, Err: errors.New("none")}
	}
	f.started = append(f.started, r)
	return fmt.Sprintf("https://idp.example/auth?state=%d", len(f.started)-1), nil
}

func (f *logins) Finish(ctx context.Context, r session.FinishLogin) (*session.Login, error) {
	switch state := r.Query.Get("state"); state {
	case "down":
		return nil, fmt.Errorf("login state: %w", session.ErrUnavailable)
	case "login_superseded", "code_refused":
		e := &session.LoginError{Reason: session.LoginReason(state), Provider: r.Provider, ReturnTo: portal + "/x", Anew: true, Err: errors.New("so it is")}
		if state == "code_refused" {
			e.Reason = session.LoginReply
		}
		return nil, e
	case "provider_unavailable", "login_denied", "provider_reply_invalid", "clock_off", "identity_refused", "login_ended", "login_state_invalid":
		return nil, &session.LoginError{Reason: session.LoginReason(state), Provider: r.Provider, ReturnTo: portal + "/x", Err: errors.New("so it is")}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, s := range f.started {
		if r.Query.Get("state") == fmt.Sprint(i) && slices.Contains(r.Browsers, s.Browser) {
			id := session.Identity{Provider: r.Provider, UserID: "idp-1", Email: "nora@kappa4.com"}
			if who := r.Query.Get("who"); who != "" {
				id.UserID = who
			}
			made, value, err := f.sessions.Create(ctx, id, session.Browser, 0)
			return &session.Login{Session: made, Cookie: value, ReturnTo: s.ReturnTo, Started: f.sent}, err
		}
	}
	return nil, &session.LoginError{Reason: session.LoginState, Provider: r.Provider, Err: errors.New("unknown")}
}

func (f *logins) SignOut(_ context.Context, _ *session.Session, cookie string) string {
	f.signed = append(f.signed, cookie)
	return f.endAt
}

func (f *logins) LogOut(_ context.Context, provider, token string) error {
	switch token {
	case "good":
		return nil
	case "down":
		return session.ErrUnavailable
	case "away":
		return &session.LoginError{Reason: session.LoginAway, Provider: provider, Err: errors.New("keys")}
	}
	return &session.LoginError{Reason: session.LoginReply, Provider: provider, Err: session.ErrReplayed}
}

// newInn is a house with providers; passwords says whether it has accounts.
func newInn(t *testing.T, passwords bool, ids ...string) (*house, *logins) {
	t.Helper()
	f := &logins{}
	for _, id := range ids {
		f.infos = append(f.infos, session.ProviderInfo{ID: id, Name: "Name of " + id, Note: "<b>"})
	}
	x := newHouse(t, func(o *Options) { o.Logins, o.NoAccounts = f, !passwords })
	f.sessions = x.sessions
	return x, f
}

const wayIn = "/oauth2/sign_in?rd=https%3A%2F%2Fportal.kappa4.com%2Fa"

func TestWhereSignInLeads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		passwords bool
		ids       []string
		query     string
		status    int
		want      string
	}{
		{"OneProvider", false, []string{"one"}, "", 302, "https://idp.example/auth?state=0"},
		{"OneProviderAndPasswords", true, []string{"one"}, "", 200, "Where is your account?"},
		{"TwoProviders", false, []string{"one", "two"}, "", 200, "provider=two&amp;rd=https%3A%2F%2Fportal.kappa4.com%2Fa"},
		{"ChosenProvider", true, []string{"one", "two"}, "&provider=two", 302, "https://idp.example/auth?state=0"},
		{"ChosenPasswords", true, []string{"one"}, "&provider=local", 200, `name="password"`},
		{"PasswordsAreOff", false, []string{"one", "two"}, "&provider=local", 404, "There is no such place to sign in."},
		{"Unknown", true, []string{"one"}, "&provider=<script>", 404, "There is no such place to sign in."},
		{"Away", true, []string{"one", "away"}, "&provider=away", 503, "Name of away does not answer."},
		{"NoProviders", true, nil, "", 200, `name="password"`},
		{"NoProvidersButOneChosen", true, nil, "&provider=one", 200, `name="password"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x, _ := newInn(t, c.passwords, c.ids...)
			resp := x.browser().do("GET", wayIn+c.query, nil)
			body := text(t, resp)
			if resp.StatusCode != c.status || !strings.Contains(body+resp.Header.Get("Location"), c.want) || strings.Contains(body, "<script>") || strings.Contains(body, "<b>") {
				t.Errorf("%d %s\n%s", resp.StatusCode, resp.Header.Get("Location"), body)
			}
		})
	}
}

func TestTheCallbackLeadsBackWithANewSession(t *testing.T) {
	t.Parallel()
	x, f := newInn(t, false, "one")
	b := x.browser()
	b.raw = "_pomerium=junk"
	b.do("GET", wayIn, nil)
	resp := b.do("GET", "/callback/one?code=c&state=0", nil)
	status(t, resp, 303)
	if to := resp.Header.Get("Location"); to != portal+"/a" || b.cookies["_pomerium"] != "sealed-1" {
		t.Errorf("to %q with %v", to, b.cookies)
	}
	// A second one replaces the first, whose cookie somebody may have planted.
	b.raw = ""
	delete(b.cookies, "_pomerium")
	b.do("GET", wayIn, nil)
	b.cookies["_pomerium"] = "sealed-1"
	status(t, b.do("GET", "/callback/one?code=c&state=1", nil), 303)
	if got := x.sessions.values(); len(got) != 1 || got[0] != "sealed-2" {
		t.Errorf("live: %v", got)
	}
	if f.started[0].Browser != f.started[1].Browser {
		t.Error("the browser's secret changed between two sign-ins")
	}
	if n := x.metric("pomerium_authenticate_success_total", "one"); n != 2 {
		t.Errorf("%v successes", n)
	}
}

func TestTabsThatBeginTogetherAllArrive(t *testing.T) {
	t.Parallel()
	x, _ := newInn(t, false, "one")
	jar := map[string]string{}
	for range 5 { // none of them has seen another's answer
		tab := x.browser()
		status(t, tab.do("GET", wayIn, nil), 302)
		for name, value := range tab.cookies {
			jar[name] = value
		}
	}
	b := x.browser()
	b.cookies = jar
	for i := range 5 {
		status(t, b.do("GET", fmt.Sprintf("/callback/one?code=c&state=%d", i), nil), 303)
	}
	stranger := x.browser()
	status(t, stranger.do("GET", "/callback/one?code=c&state=0", nil), 400)
}

func TestBindingCookiesAreTheBrowsersAlone(t *testing.T) {
	t.Parallel()
	x, _ := newInn(t, false, "one")
	resp := x.browser().do("GET", wayIn, nil)
	found := false
	for _, line := range resp.Header.Values("Set-Cookie") {
		if strings.HasPrefix(line, "__Host-pomerium_login-") {
			found = true
			for _, want := range []string{"; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
				if !strings.Contains(line, want) {
					t.Errorf("%s lacks %s", line, want)
				}
			}
			if strings.Contains(line, "Domain") {
				t.Error(line)
			}
		}
	}
	if !found {
		t.Errorf("no binding cookie: %q", resp.Header.Values("Set-Cookie"))
	}
}

func TestFailedSignInsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]struct {
		status int
		text   string
	}{
		"provider_unavailable": {503, "does not answer."}, "login_denied": {403, "did not let you in."}, "provider_reply_invalid": {502, "does not hold."},
		"clock_off": {503, "Two clocks disagree."}, "identity_refused": {403, "Your account cannot be used here."},
		"login_ended": {400, "ended this sign-in."}, "login_state_invalid": {400, "This sign-in is too old."}, "down": {503, "We could not check who you are."},
		"": {400, "This sign-in is too old."},
	} {
		t.Run("Reason_"+state, func(t *testing.T) {
			t.Parallel()
			x, _ := newInn(t, false, "one")
			b := x.browser()
			resp := b.do("GET", "/callback/one?error_description=%3Cscript%3E&state="+state, nil)
			body := text(t, resp)
			if resp.StatusCode != want.status || !strings.Contains(body, want.text) || !strings.Contains(body, "req-1") || strings.Contains(body, "<script>") {
				t.Errorf("%d\n%s", resp.StatusCode, body)
			}
			if b.cookies["_pomerium"] != "" || resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%v", resp.Header)
			}
		})
	}
}

func TestCirclesEndWithAPage(t *testing.T) {
	t.Parallel()
	x, _ := newInn(t, false, "one")
	b := x.browser()
	for i := range 20 {
		resp := b.do("GET", wayIn, nil)
		if resp.StatusCode != 302 {
			body := text(t, resp)
			if i != maxRounds || resp.StatusCode != 409 || !strings.Contains(body, "You were sent here again and again.") || !strings.Contains(body, "req-1") {
				t.Errorf("round %d: %d\n%s", i, resp.StatusCode, body)
			}
			status(t, b.do("GET", wayIn, nil), 302) // "Sign in again" works
			return
		}
		status(t, b.do("GET", fmt.Sprintf("/callback/one?code=c&state=%d", i), nil), 303)
		delete(b.cookies, "_pomerium") // what makes the circle
	}
	t.Error("20 rounds without an end")
}

func TestSignOutGoesOnAtTheProvider(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, endAt string
		status      int
		want        string
	}{
		{"FormsMayLeadThere", portal + "/end?x=1", 303, portal + "/end?x=1"},
		{"FormsMayNot", "https://elsewhere.example/end?x=1", 200, `href="https://elsewhere.example/end?x=1"`},
		{"ProviderHasNoEnd", "", 200, "You are signed out."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x, f := newInn(t, false, "one")
			f.endAt = c.endAt
			b := x.browser()
			b.do("GET", wayIn, nil)
			b.do("GET", "/callback/one?code=c&state=0", nil)
			resp := b.do("POST", "/oauth2/sign_out", url.Values{"x": {"1"}})
			body := text(t, resp)
			if resp.StatusCode != c.status || !strings.Contains(body+resp.Header.Get("Location"), c.want) {
				t.Errorf("%d %s\n%s", resp.StatusCode, resp.Header.Get("Location"), body)
			}
			if !slices.Equal(f.signed, []string{"sealed-1"}) || len(x.sessions.values()) != 0 || b.cookies["_pomerium"] != "" {
				t.Errorf("signed out %v, live %v, cookies %v", f.signed, x.sessions.values(), b.cookies)
			}
			status(t, b.do("GET", "/oauth2/signed_out", nil), 200)
		})
	}
}

func TestLogoutTokensAreAnsweredAsProvidersExpect(t *testing.T) {
	t.Parallel()
	x, _ := newInn(t, false, "one")
	for token, want := range map[string]int{"good": 200, "forged": 400, "down": 503, "away": 503} {
		resp := x.browser().do("POST", "/backchannel-logout/one", url.Values{"logout_token": {token}}, func(r *http.Request) { r.Header.Del("Origin") })
		if resp.StatusCode != want || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", token, resp.StatusCode, resp.Header)
		}
	}
	status(t, x.browser().do("GET", "/backchannel-logout/one", nil), 405)
	status(t, x.browser().do("POST", "/backchannel-logout/one", url.Values{"logout_token": {strings.Repeat("x", 9<<10)}}), 413)
	bare := newHouse(t)
	status(t, bare.browser().do("POST", "/backchannel-logout/one", url.Values{"logout_token": {"good"}}), 404)
	status(t, bare.browser().do("GET", "/callback/one?code=c&state=0", nil), 404)
}

func TestPasswordsCanBeOff(t *testing.T) {
	t.Parallel()
	x, _ := newInn(t, false, "one")
	resp := x.browser().do("POST", "/oauth2/sign_in", url.Values{"email": {"nora@kappa4.com"}, "password": {"right & long"}, "csrf": {"x"}})
	status(t, resp, 404)
}

func TestOddRoundsCookiesCountForNothing(t *testing.T) {
	t.Parallel()
	x, _ := newInn(t, false, "one")
	for _, v := range []string{"", "x", "-", ".", "aaaaaaaa.x", "aaaaaaaa.-1", strings.Repeat("aaaaaaaa.9-", 50), "aaaaaaaa.99999999999999999999"} {
		b := x.browser()
		b.cookies["__Host-pomerium_rounds"] = v
		status(t, b.do("GET", wayIn, nil), 302)
	}
}
