package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/neosc/gate/session"
)

func status(t *testing.T, resp *http.Response, want int) {
	t.Helper()
	if resp.StatusCode != want {
		t.Fatalf("status %d, want %d\n%s", resp.StatusCode, want, text(t, resp))
	}
}

func TestSignInLeadsBackWithANewSession(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	b := x.browser()
	resp := b.signIn(portal + "/a?b=c")
	status(t, resp, 303)
	if got := resp.Header.Get("Location"); got != portal+"/a?b=c" {
		t.Errorf("Location %q", got)
	}
	set := resp.Header.Values("Set-Cookie")
	want := "_pomerium=sealed-1; Path=/; Domain=.kappa4.com; Secure; HttpOnly; SameSite=Lax; Max-Age=28800"
	if len(set) == 0 || set[len(set)-1] != want {
		t.Errorf("last Set-Cookie:\n got %q\nwant %q", set, want)
	}
	if n := x.metric("pomerium_authenticate_success_total", "local"); n != 1 {
		t.Errorf("success metric is %v", n)
	}
	if log := x.log.String(); !strings.Contains(log, "client_ip=203.0.113.9") || strings.Contains(log, "sealed-1") || strings.Contains(log, "right & long") {
		t.Errorf("log: %s", log)
	}
	// The form for who is signed in already leads on at once.
	if resp := b.do("GET", "/oauth2/sign_in?rd="+url.QueryEscape(portal+"/x"), nil); resp.StatusCode != 302 || resp.Header.Get("Location") != portal+"/x" {
		t.Errorf("second visit: %d %q", resp.StatusCode, resp.Header.Get("Location"))
	}
}

func TestSignInReplacesEverySessionThatCameAlong(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	planted := x.browser()
	planted.signIn("")
	other := x.browser()
	other.signIn("")
	// Both planted sessions come with the victim's sign-in, among junk.
	victim := x.browser()
	victim.raw = `_pomerium=sealed-1; _pomerium="junk; _pomerium=v1.x.y; _pomerium=sealed-2; _pomerium; =; ;;`
	status(t, victim.signIn(""), 303)
	if got := x.sessions.values(); len(got) != 1 || got[0] != "sealed-3" {
		t.Errorf("live sessions after sign-in: %v, want only the new one", got)
	}
}

func TestSignInWorksUnderJunkCookiesAndClearsThem(t *testing.T) {
	t.Parallel()
	for name, junk := range map[string]string{
		"Twenty":        strings.Repeat("_pomerium=junk; ", 20),
		"JunkSeed":      "__Host-pomerium_csrf=x; __Host-pomerium_csrf=AAAA; __Host-pomerium_bounces=-1",
		"Bytes":         "_pomerium=\x7f\xff\x01; \"=; ====",
		"LongAsAllowed": "_pomerium=" + strings.Repeat("a", 30000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newHouse(t).browser()
			b.raw = junk
			resp := b.signIn(portal + "/deep/er")
			status(t, resp, 303)
			all := strings.Join(resp.Header.Values("Set-Cookie"), "\n")
			for _, line := range []string{"_pomerium=; Path=/; Secure", "_pomerium=; Path=/; Domain=gate.kappa4.com;", "_pomerium=; Path=/oauth2/sign_in; Domain=.kappa4.com;"} {
				if !strings.Contains(all, line) {
					t.Errorf("no variant %q among\n%s", line, all)
				}
			}
		})
	}
}

func TestTossedCookieForThePathOfTheTargetIsCleared(t *testing.T) {
	t.Parallel()
	b := newHouse(t).browser()
	b.raw = "_pomerium=a; _pomerium=b"
	all := strings.Join(b.signIn(portal+"/foo/bar?x=1").Header.Values("Set-Cookie"), "\n")
	if !strings.Contains(all, "_pomerium=; Path=/foo; Domain=.kappa4.com;") {
		t.Errorf("Set-Cookie:\n%s", all)
	}
}

func TestFailedSignInsSayEnoughAndNoMore(t *testing.T) {
	t.Parallel()
	for email, want := range map[string]struct {
		status int
		says   string
		metric outcome
		retry  string
	}{
		"nora@kappa4.com":    {422, "Email or password is wrong.", outcomeCredentials, ""},
		"nobody@kappa4.com":  {422, "Email or password is wrong.", outcomeCredentials, ""},
		"guessed@kappa4.com": {429, "looked at in 90 seconds", outcomeGuesses, "90"},
		"busy@kappa4.com":    {429, "Too many people sign in", outcomeBusy, "1"},
		"away@kappa4.com":    {503, "We could not check who you are.", outcomeUnavailable, "1"},
		"odd@kappa4.com":     {503, "Something failed on our side.", outcomeUnavailable, "1"},
	} {
		t.Run(email, func(t *testing.T) {
			t.Parallel()
			x := newHouse(t)
			b := x.browser()
			tok := token(t, text(t, b.do("GET", "/oauth2/sign_in", nil)))
			resp := b.do("POST", "/oauth2/sign_in", url.Values{"email": {email}, "password": {"wrong"}, "csrf": {tok}, "rd": {portal + "/a"}})
			status(t, resp, want.status)
			body := text(t, resp)
			if !strings.Contains(body, want.says) || strings.Contains(body, "sector 7") || strings.Contains(body, "wrong\"") {
				t.Errorf("page:\n%s", body)
			}
			if resp.Header.Get("Retry-After") != want.retry {
				t.Errorf("Retry-After %q, want %q", resp.Header.Get("Retry-After"), want.retry)
			}
			if n := x.metric("pomerium_authenticate_outcomes_total", string(want.metric)+" local"); n != 1 {
				t.Errorf("metric %s is %v", want.metric, n)
			}
			if _, ok := b.cookies["_pomerium"]; ok || strings.Contains(x.log.String(), email) {
				t.Errorf("a cookie was set or the email logged: %s", x.log)
			}
		})
	}
}

func TestUnknownAndKnownAccountsGetTheSameBody(t *testing.T) {
	t.Parallel()
	b := newHouse(t).browser()
	tok := token(t, text(t, b.do("GET", "/oauth2/sign_in", nil)))
	bodies := map[string]bool{}
	for _, email := range []string{"nora@kappa4.com", "nobody@kappa4.com"} {
		body := text(t, b.do("POST", "/oauth2/sign_in", url.Values{"email": {email}, "password": {"wrong"}, "csrf": {tok}}))
		bodies[strings.ReplaceAll(body, email, "EMAIL")] = true
	}
	if len(bodies) != 1 {
		t.Error("the bodies tell a known account from an unknown one")
	}
}

func TestFormsFromElsewhereDoNothing(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	good := x.browser()
	tok := token(t, text(t, good.do("GET", "/oauth2/sign_in", nil)))
	attacker := x.browser()
	attackers := token(t, text(t, attacker.do("GET", "/oauth2/sign_in", nil)))
	form := func(tok string) url.Values {
		return url.Values{"email": {"nora@kappa4.com"}, "password": {"right & long"}, "csrf": {tok}}
	}
	origin := func(o string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Origin", o) }
	}
	tests := map[string]struct {
		form   url.Values
		edit   func(*http.Request)
		status int
	}{
		"NoOrigin":         {form(tok), func(r *http.Request) { r.Header.Del("Origin") }, 403},
		"NullOrigin":       {form(tok), origin("null"), 403},
		"SiblingOrigin":    {form(tok), origin(portal), 403},
		"ForeignOrigin":    {form(tok), origin("https://gate.kappa4.com.evil.example"), 403},
		"TwoOrigins":       {form(tok), func(r *http.Request) { r.Header.Add("Origin", gateOrigin) }, 403},
		"NoToken":          {form(""), origin(gateOrigin), 403},
		"AttackersToken":   {form(attackers), origin(gateOrigin), 403},
		"OtherFormsToken":  {form(x.h.csrf.make(good.cookies["__Host-pomerium_csrf"], "sign out", "")), origin(gateOrigin), 403},
		"NoCookie":         {form(tok), func(r *http.Request) { r.Header.Del("Cookie") }, 403},
		"JSONAsText":       {form(tok), func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		"Multipart":        {form(tok), func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") }, 415},
		"PasswordTwice":    {url.Values{"email": {"nora@kappa4.com"}, "password": {"x", "right & long"}, "csrf": {tok}}, origin(gateOrigin), 400},
		"NotUTF8":          {url.Values{"email": {"nora@kappa4.com\xff"}, "password": {"right & long"}, "csrf": {tok}}, origin(gateOrigin), 400},
		"MegabytePassword": {url.Values{"email": {"nora@kappa4.com"}, "password": {strings.Repeat("a", 1<<20)}, "csrf": {tok}}, origin(gateOrigin), 413},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := x.browser()
			b.cookies["__Host-pomerium_csrf"] = good.cookies["__Host-pomerium_csrf"]
			status(t, b.do("POST", "/oauth2/sign_in", tt.form, tt.edit), tt.status)
		})
	}
	if n := len(x.sessions.values()); n != 0 {
		t.Errorf("%d sessions came of refused forms", n)
	}
	status(t, good.do("POST", "/oauth2/sign_in", form(tok)), 303)
}

func TestTabsShareOneSeed(t *testing.T) {
	t.Parallel()
	b := newHouse(t).browser()
	first := token(t, text(t, b.do("GET", "/oauth2/sign_in", nil)))
	if second := token(t, text(t, b.do("GET", "/oauth2/sign_in", nil))); first != second {
		t.Error("a second tab made the first one's form stale")
	}
}

func TestStoreAwayIsTroubleAndNeverALoop(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	b := x.browser()
	b.signIn("")
	x.sessions.down = fmt.Errorf("store: %w", session.ErrUnavailable)
	for _, target := range []string{"/", "/oauth2/sign_in", "/oauth2/sign_out"} {
		resp := b.do("GET", target, nil)
		status(t, resp, 503)
		if resp.Header.Get("Retry-After") != "1" || len(resp.Header.Values("Set-Cookie")) != 0 {
			t.Errorf("%s: headers %v", target, resp.Header)
		}
	}
	status(t, b.do("POST", "/oauth2/sign_out", url.Values{}), 503)
	if b.cookies["_pomerium"] == "" {
		t.Error("the cookie is gone, but the session may live on")
	}
}

func TestSendingBackAndForthEnds(t *testing.T) {
	t.Parallel()
	b := newHouse(t).browser()
	b.signIn("")
	for i := range maxBounces {
		if resp := b.do("GET", "/oauth2/sign_in?rd="+url.QueryEscape(portal+"/"), nil); resp.StatusCode != 302 {
			t.Fatalf("round %d: %d", i, resp.StatusCode)
		}
	}
	resp := b.do("GET", "/oauth2/sign_in?rd="+url.QueryEscape(portal+"/"), nil)
	status(t, resp, 200)
	body := text(t, resp)
	if !strings.Contains(body, "again and again") {
		t.Errorf("page:\n%s", body)
	}
	status(t, b.do("POST", "/oauth2/sign_in", url.Values{"email": {"nora@kappa4.com"}, "password": {"right & long"}, "csrf": {token(t, body)}, "rd": {portal + "/"}}), 303)
	if _, ok := b.cookies["__Host-pomerium_bounces"]; ok {
		t.Error("the count was not taken back")
	}
}

func TestLandingIsForPeopleWhoAreSignedIn(t *testing.T) {
	t.Parallel()
	b := newHouse(t).browser()
	resp := b.do("GET", "/", nil, func(r *http.Request) { r.Header.Set("X-Forwarded-Host", "evil.example"); r.Host = "evil.example" })
	if resp.StatusCode != 302 || resp.Header.Get("Location") != gateOrigin+"/oauth2/sign_in" {
		t.Errorf("stranger: %d %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	if got := b.signIn("").Header.Get("Location"); got != gateOrigin+"/" {
		t.Errorf("default target %q", got)
	}
	resp = b.do("GET", "/", nil)
	status(t, resp, 200)
	if body := text(t, resp); !strings.Contains(body, "Nora Villaseñor") || !strings.Contains(body, portal) {
		t.Errorf("page:\n%s", body)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8",
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' " + portal + "; base-uri 'none'; frame-ancestors 'none'",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAssetsAreCachedUnderTheirVersion(t *testing.T) {
	t.Parallel()
	b := newHouse(t).browser()
	css := b.h.assets["gate.css"]
	resp := b.do("GET", "/assets/gate.css?v="+css.Version, nil)
	status(t, resp, 200)
	if got := resp.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
		t.Errorf("Cache-Control %q", got)
	}
	if text(t, resp) != string(css.Body) || resp.Header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Error("not the stylesheet")
	}
	resp = b.do("GET", "/assets/gate.css?v=older", nil)
	if got := resp.Header.Get("Cache-Control"); got != "public, no-cache" {
		t.Errorf("under another version: Cache-Control %q", got)
	}
	resp = b.do("GET", "/assets/gate.css", nil, func(r *http.Request) { r.Header.Set("If-None-Match", `"x", W/`+resp.Header.Get("ETag")) })
	status(t, resp, 304)
	status(t, b.do("GET", "/favicon.ico", nil), 200)
	for _, path := range []string{"/assets/", "/assets/..%2fweb.go", "/assets/nothing.css", "/assets/a/b"} {
		status(t, b.do("GET", path, nil), 404)
	}
}

func TestWhatIsNotThereIsAPageAndNoRedirect(t *testing.T) {
	t.Parallel()
	b := newHouse(t).browser()
	for _, path := range []string{"/nothing", "//evil.example", "/a/../oauth2/sign_in", "/oauth2/sign_in/", "/OAUTH2/sign_in", "/oauth2/sign_in/..", "/.well-known/x", "/%2e%2e/x"} {
		resp := b.do("GET", path, nil, func(r *http.Request) {
			u, err := url.ParseRequestURI(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(path, "//") {
				u = &url.URL{Path: path}
			}
			r.URL = u
		})
		status(t, resp, 404)
		if !strings.Contains(text(t, resp), "req-1") {
			t.Errorf("%s: no request id on the page", path)
		}
	}
	for target, allow := range map[string]string{"/": "GET, HEAD", "/oauth2/sign_in": "GET, HEAD, POST", "/assets/gate.css": "GET, HEAD"} {
		resp := b.do("DELETE", target, nil)
		status(t, resp, 405)
		if got := resp.Header.Get("Allow"); got != allow {
			t.Errorf("%s: Allow %q, want %q", target, got, allow)
		}
	}
}

func TestPanicIsAPageAndALogLine(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	b := x.browser()
	tok := token(t, text(t, b.do("GET", "/oauth2/sign_in", nil)))
	resp := b.do("POST", "/oauth2/sign_in", url.Values{"email": {"panic@kappa4.com"}, "password": {"x"}, "csrf": {tok}})
	status(t, resp, 503)
	if strings.Contains(text(t, resp), "a defect") || !strings.Contains(x.log.String(), "a defect") {
		t.Error("the cause belongs into the log and not onto the page")
	}
}

func TestWithoutTLSNamesHaveNoPrefix(t *testing.T) {
	t.Parallel()
	b := newHouse(t, func(o *Options) { o.Cookie.Secure = false }).browser()
	resp := b.signIn("")
	status(t, resp, 303)
	for _, line := range resp.Header.Values("Set-Cookie") {
		if strings.Contains(line, "Secure") || strings.Contains(line, "__Host-") {
			t.Errorf("Set-Cookie %q", line)
		}
	}
	if b.cookies["pomerium_csrf"] == "" {
		t.Errorf("cookies %v", b.cookies)
	}
}
