package pages

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"pgregory.net/rapid"
)

// thursday is 20:14:09 on a Thursday in Mexico City.
var thursday = time.Date(2026, 3, 6, 2, 14, 9, 0, time.UTC)

func renderer(t testing.TB) *Renderer {
	t.Helper()
	mexico, err := time.LoadLocation("America/Mexico_City")
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{
		GateOrigin: "https://gate.kappa4.com", Of: "kappa4.com", Location: mexico, Place: "Mexico City",
		FormTargets: []string{"https://portal.kappa4.com", "https://admin.portal.kappa4.com"}, Demos: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func nora(status int, reasons ...string) RefusalView {
	return RefusalView{
		Status: status, Reasons: reasons, Host: "portal.kappa4.com", Path: "/users?x=1", Method: "GET", Origin: "https://portal.kappa4.com",
		UserEmail: "nora@kappa4.com", Roles: []string{"neosc"}, RequestID: "6f1c2a9e-5d0b-4e57-9a41-0c7d3be8f2a4", Now: thursday,
	}
}

func week() *Hours {
	mexico, err := time.LoadLocation("America/Mexico_City")
	if err != nil {
		return nil
	}
	return &Hours{Days: []time.Weekday{1, 2, 3, 4, 5}, Open: 480, Close: 1200, Location: mexico, Place: "Mexico City"}
}

// every returns one page of each kind, by name.
func every(r *Renderer) map[string]Page {
	ps := map[string]Page{
		"signin":        r.SignIn(SignInView{CSRF: "tok"}),
		"signin-open":   r.SignIn(SignInView{CSRF: "tok", Register: true, Forgot: true}),
		"signin-to":     r.SignIn(SignInView{Target: "portal.kappa4.com", ReturnTo: "https://portal.kappa4.com/a", CSRF: "tok"}),
		"signin-wrong":  r.SignIn(SignInView{Status: 422, Email: "nora@kappa4.com", Wrong: true, CSRF: "tok", Notice: &Notice{"bad", "Email or password is wrong."}}),
		"signin-guess":  r.SignIn(SignInView{Status: 429, Email: "nora@kappa4.com", CSRF: "tok", Notice: &Notice{"warn", "Too many guesses came for this account or from this address. The next one is looked at in 4 minutes."}}),
		"signout":       r.SignOut(SignOutView{Email: "nora@kappa4.com", CSRF: "tok", ReturnTo: "https://portal.kappa4.com/"}),
		"signedout":     r.SignedOut("/oauth2/sign_in"),
		"unknown-empty": r.Refusal(RefusalView{Now: thursday}),
	}
	maps.Copy(ps, factorPages(r))
	for _, w := range byReason {
		ps[w.code] = r.Refusal(nora(statusOf(w.code), w.code))
	}
	v := nora(403, "outside_business_hours")
	v.Hours, v.Path = week(), "/"
	ps["hours-table"] = r.Refusal(v)
	v = nora(403, "role_required")
	v.Explain, v.Why = true, []WhyItem{
		{"good", "Signed in, session valid until 18:04", "session"}, {"bad", `Role neosc is not in ["admin"], what the route admin asks for`, "role_required"}, {"", "Business hours: this route does not ask", "not evaluated"},
	}
	ps["why"] = r.Refusal(v)
	v = nora(429, "rate_limited")
	v.RetryAfter, v.Limit = 7500*time.Millisecond, &LimitView{10, 20, []Header{{"RateLimit-Policy", `"user";q=20;w=2`}, {"RateLimit", `"user";r=0;t=8`}}}
	ps["limit"] = r.Refusal(v)
	ps["policy-own"] = r.Refusal(nora(451, "not_in_this_country"))
	ps["switches"] = r.Switches(switchesView())
	ps["policy"], ps["policy-folder"] = r.Policy(policyView()), r.Policy(PolicyView{Viewer: amara(nil)})
	maps.Copy(ps, consolePages(r))
	maps.Copy(ps, demoPages(r))
	ps["landing"] = r.Landing(LandingView{
		Email: "nora@kappa4.com", Name: "Nora Villaseñor", Organization: "Kappa4", Roles: []string{"neosc"}, CSRF: "tok", Now: thursday, ExpiresAt: thursday.Add(4 * time.Hour),
		Apps: []App{
			{Title: "Portal", Description: "Where the working day begins", URL: "https://portal.kappa4.com/", Host: "portal.kappa4.com", Icon: "grid", Open: true},
			{Title: "API", Description: "Who you are, as the services see it", URL: "https://api.portal.kappa4.com/", Host: "api.portal.kappa4.com", Icon: "braces", Open: true},
			{Title: "Workspace", Description: "A desktop in the browser", URL: "https://workspace.portal.kappa4.com/", Host: "workspace.portal.kappa4.com", Icon: "screen", Reasons: []string{"demo_required"}},
			{Title: "Payroll", Description: "Salaries and contracts", URL: "https://pay.kappa4.com/", Host: "pay.kappa4.com", Reasons: []string{"outside_business_hours"}, OpensAt: thursday.Add(12 * time.Hour)},
			{Title: "Admin", Description: "Users, sessions, policies", URL: "https://admin.portal.kappa4.com/", Host: "admin.portal.kappa4.com", Icon: "gear", Reasons: []string{"role_required"}},
		},
	})
	return ps
}

func statusOf(reason string) int {
	for status, code := range byStatus {
		if code == reason {
			return status
		}
	}
	if strings.HasSuffix(reason, "unavailable") || reason == "policy_error" {
		return 503
	}
	return 403
}

func TestEveryPageIsOneCleanDocument(t *testing.T) {
	t.Parallel()
	for name, p := range every(renderer(t)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkPage(t, p)
			if strings.Contains(string(p.Body), "<no value>") || strings.Contains(string(p.Body), "ZgotmplZ") {
				t.Error("a template value is missing or was refused")
			}
			// Kept for looking at: PAGES_OUT=folder go test ./session/web/pages
			if dir := os.Getenv("PAGES_OUT"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, name+".html"), p.Body, 0o600); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// checkPage holds what is true of all pages.
func checkPage(t interface {
	Errorf(string, ...any)
	Fatalf(string, ...any)
}, p Page) {
	doc, err := html.Parse(bytes.NewReader(p.Body))
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	count := map[string]int{}
	ids := map[string]int{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		for _, a := range n.Attr {
			switch {
			case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
				t.Errorf("<%s> has the attribute %s", n.Data, a.Key)
			case a.Key == "id":
				ids[a.Val]++
			case a.Key == "href" || a.Key == "action" || a.Key == "src":
				checkLink(t, n.Data, a.Val)
			case a.Key == "aria-describedby" || a.Key == "popovertarget" || a.Key == "aria-labelledby":
				ids[a.Val] += 0
			}
		}
	}
	scripts := 0
	if strings.Contains(p.CSP, "script-src 'self'") {
		scripts = 1
	}
	for tag, want := range map[string]int{"h1": 1, "main": 1, "title": 1, "style": 0, "script": scripts, "iframe": 0, "base": 0} {
		if count[tag] != want {
			t.Errorf("%d <%s>, want %d", count[tag], tag, want)
		}
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("id %q stands %d times", id, n)
		}
	}
	// Refusals alone go through Envoy's buffers; they have links and no forms.
	if len(p.Body) > MaxRefusal && strings.Contains(p.CSP, "form-action 'none'") {
		t.Errorf("%d bytes, at most %d", len(p.Body), MaxRefusal)
	}
}

// checkLink knows every place to which a page may lead.
func checkLink(t interface{ Errorf(string, ...any) }, tag, link string) {
	u, err := url.Parse(link)
	if err != nil {
		t.Errorf("<%s> leads to %q: %v", tag, link, err)
		return
	}
	switch u.Host {
	case "", "gate.kappa4.com":
		switch u.Path {
		case "", "/", "/oauth2/sign_in", "/oauth2/sign_out", "/admin/switches", "/admin/policy", "/assets/gate.css", "/assets/favicon.svg":
		case "/account", "/account/profile", "/account/password", "/account/sessions/end", "/account/verify", "/account/reset", "/account/invitation", "/account/forgot", "/register",
			"/admin", "/admin/sessions", "/admin/sessions/end", "/admin/sessions/everybody", "/admin/users", "/admin/organizations", "/admin/audit", "/api/audit-logs":
		case "/oauth2/second_factor", "/oauth2/passkey", "/account/security", "/account/security/app", "/account/security/app/remove", "/account/security/codes",
			"/account/security/passkey", "/account/security/passkey/rename", "/account/security/passkey/remove", "/assets/passkey.js", "/assets/demo.js", "/account/theme", "/demo", "/admin/demos", "/admin/demos/all":
		default:
			if ownPage.MatchString(u.Path) || grantPage.MatchString(u.Path) {
				break
			}
			t.Errorf("<%s> leads to %q, which the gate does not serve", tag, link)
		}
	case "portal.kappa4.com", "api.portal.kappa4.com", "workspace.portal.kappa4.com":
	default:
		t.Errorf("<%s> leads to %q", tag, link)
	}
	if u.Fragment != "" && u.Fragment != "main" {
		t.Errorf("<%s> leads to the fragment %q", tag, link)
	}
}

func TestPoliciesNameWhatAPageNeedsAndNothingElse(t *testing.T) {
	t.Parallel()
	ps := every(renderer(t))
	for name, want := range map[string]string{
		"signin":        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' https://portal.kappa4.com https://admin.portal.kappa4.com; base-uri 'none'; frame-ancestors 'none'",
		"role_required": "default-src 'none'; style-src https://gate.kappa4.com; img-src https://gate.kappa4.com; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
	} {
		if got := ps[name].CSP; got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
	for name, p := range ps {
		remote := strings.Contains(p.CSP, "style-src https://gate.kappa4.com")
		if linked := bytes.Contains(p.Body, []byte(`href="https://gate.kappa4.com/assets/gate.css?v=`)); linked != remote {
			t.Errorf("%s: the stylesheet's address and the policy do not fit", name)
		}
	}
}

func TestRefusalsSayWhatHappenedAndWhy(t *testing.T) {
	t.Parallel()
	r := renderer(t)
	hours := nora(403, "outside_business_hours")
	hours.Hours = week()
	unsafe := nora(403, "read_only")
	unsafe.Method = "POST"
	norole := nora(403, "role_required")
	norole.Roles = nil
	stranger := RefusalView{Status: 401, Host: "portal.kappa4.com", Path: "/a?b=c", Origin: "https://portal.kappa4.com", Now: thursday}
	tests := map[string]struct {
		v        RefusalView
		has, not []string
	}{
		"WrongRole":         {nora(403, "role_required"), []string{"403 · portal.kappa4.com/users", "nora@kappa4.com</strong> with role <strong>neosc", "Switch account", "sign_out?rd=https%3A%2F%2Fportal.kappa4.com%2Fusers%3Fx%3D1", "6f1c2a9e"}, []string{"?x=1<", "Why?"}},
		"RoleBeforeHours":   {nora(403, "outside_business_hours", "role_required"), []string{"Your role does not open this page."}, []string{"Closed"}},
		"NoRoleAtAll":       {norole, []string{"You have no role yet"}, []string{"with role"}},
		"HoursUnknown":      {nora(403, "outside_business_hours"), []string{"Closed at this hour.", "It is Thursday, 20:14 in Mexico City"}, []string{"<table"}},
		"HoursKnown":        {hours, []string{"Closed until tomorrow, 08:00.", "Monday to Friday", "08:00 to 20:00", "Saturday, Sunday", `datetime="2026-03-05T20:14:09-06:00"`}, nil},
		"ReadOnlyByPost":    {unsafe, []string{"You may read here", `href="https://portal.kappa4.com/"`}, []string{"Try again"}},
		"Stranger":          {stranger, []string{"Sign in first.", "sign_in?rd=https%3A%2F%2Fportal.kappa4.com%2Fa%3Fb%3Dc"}, []string{"You are signed in", "Switch account"}},
		"StoreAway":         {nora(503, "session_store_unavailable"), []string{"We could not check who you are.", `href=""`}, []string{"/oauth2/sign_in"}},
		"UnknownReason503":  {nora(503, "weird"), []string{"Something failed on our side."}, nil},
		"PolicyOwnStatus":   {nora(451, "not_in_this_country"), []string{"451 ·", "This page is not open to you."}, nil},
		"StatusOutOfBounds": {nora(200, "role_required"), []string{"403 ·"}, nil},
		"WhyNotPermitted":   {RefusalView{Why: []WhyItem{{"bad", "secret rule", ""}}}, nil, []string{"secret rule"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := string(r.Refusal(tt.v).Body)
			for _, s := range tt.has {
				if !strings.Contains(body, s) {
					t.Errorf("page lacks %q:\n%s", s, body)
				}
			}
			for _, s := range tt.not {
				if strings.Contains(body, s) {
					t.Errorf("page has %q", s)
				}
			}
		})
	}
}

func TestLimitPageCountsDown(t *testing.T) {
	t.Parallel()
	body := string(every(renderer(t))["limit"].Body)
	for _, s := range []string{
		"10 requests a second, with bursts of 20", "You can continue in 8 seconds.", "20:14:17, Mexico City", "Retry-After: 8", "RateLimit: &#34;user&#34;;r=0;t=8",
		`dur="3600s" begin="-3591s" end="8.5s"`, `dur="600s" begin="-591s"`, `dur="60s" begin="-51s"`, `dur="10s" begin="-1s"`,
	} {
		if !strings.Contains(body, s) {
			t.Errorf("page lacks %q", s)
		}
	}
	v := nora(429)
	v.RetryAfter = 2 * time.Hour
	if body := string(renderer(t).Refusal(v).Body); strings.Contains(body, `class="clock"`) || !strings.Contains(body, "2 hours") {
		t.Error("a wait of hours must be said without the clock, which has two digits of minutes")
	}
}

func TestHostileValuesStayTextAndSmall(t *testing.T) {
	t.Parallel()
	r := renderer(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			`"><script>alert(1)</script>`, `' onload='x`, "a\u202eb\x00\x1b[31m\r\nSet-Cookie: x", strings.Repeat("'", 20000), strings.Repeat("<", 3000), "javascript:alert(1)", "\xff\xfe",
		}))
		reasons := []string{rapid.SampledFrom(byReason).Draw(t, "reason").code, text.Draw(t, "code")}
		v := RefusalView{
			Status: rapid.IntRange(0, 700).Draw(t, "status"), Reasons: reasons, Host: text.Draw(t, "host"), Path: "/" + text.Draw(t, "path"), Method: text.Draw(t, "method"),
			Origin: "https://portal.kappa4.com", UserEmail: text.Draw(t, "email"), Roles: rapid.SliceOf(text).Draw(t, "roles"), RequestID: text.Draw(t, "id"),
			RetryAfter: time.Duration(rapid.Int64().Draw(t, "retry")), Limit: &LimitView{10, 20, []Header{{text.Draw(t, "name"), text.Draw(t, "value")}}}, Explain: true, Hours: week(), Now: thursday,
		}
		for i := range rapid.IntRange(0, 20).Draw(t, "whys") {
			v.Why = append(v.Why, WhyItem{rapid.SampledFrom([]string{"good", "bad", "", `"x`}).Draw(t, fmt.Sprint("tone", i)), text.Draw(t, "text"), text.Draw(t, "sub")})
		}
		p := r.Refusal(v)
		checkPage(t, p)
		if bytes.ContainsAny(p.Body, "\x00\x1b\r\u202e") {
			t.Fatalf("a control character is on the page")
		}
		checkPage(t, r.SignIn(SignInView{Target: text.Draw(t, "target"), Email: text.Draw(t, "typed"), CSRF: "tok"}))
		checkPage(t, r.SignOut(SignOutView{Email: text.Draw(t, "who"), CSRF: "tok"}))
	})
}

func TestHoursOpenAgain(t *testing.T) {
	t.Parallel()
	h := week()
	at := func(s string) time.Time {
		x, err := time.ParseInLocation("2006-01-02 15:04:05", s, h.Location)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for now, want := range map[string]string{
		"2026-03-05 20:00:00": "tomorrow, 08:00",
		"2026-03-05 07:59:59": "08:00",
		"2026-03-06 20:00:00": "Monday, 08:00",
		"2026-03-07 12:00:00": "Monday, 08:00",
		"2026-03-08 23:59:59": "tomorrow, 08:00",
		"2026-03-05 08:00:00": "tomorrow, 08:00",
	} {
		if got := opens(h.OpensAfter(at(now)), at(now)); got != want {
			t.Errorf("at %s: opens %q, want %q", now, got, want)
		}
	}
	if never := (&Hours{Open: 1, Close: 2, Location: time.UTC}).OpensAfter(thursday); !never.IsZero() {
		t.Errorf("hours without a day open at %s", never)
	}
}

func TestNewRefusesWhatIsNoOrigin(t *testing.T) {
	t.Parallel()
	for _, o := range []string{"", "gate.kappa4.com", "https://gate.kappa4.com/", "ftp://gate.kappa4.com", "https://a b", "https://x; script-src *", "https://u@gate.kappa4.com/x"} {
		if _, err := New(Options{GateOrigin: o}); err == nil {
			t.Errorf("New accepted the gate origin %q", o)
		}
		if _, err := New(Options{GateOrigin: "https://gate.kappa4.com", FormTargets: []string{o}}); err == nil {
			t.Errorf("New accepted the form target %q", o)
		}
	}
}

func TestAssetsAreWhatPagesLink(t *testing.T) {
	t.Parallel()
	assets, err := Assets()
	if err != nil {
		t.Fatal(err)
	}
	body := string(renderer(t).KeySetup(KeySetupView{}).Body) + string(every(renderer(t))["demo-active"].Body)
	for _, a := range assets {
		// A page is one round trip and its stylesheet another one.
		if len(a.Body) > 14_000 {
			t.Errorf("%s has %d bytes, at most 14,000", a.Name, len(a.Body))
		}
		if !strings.Contains(body, "/assets/"+a.Name+"?v="+a.Version) {
			t.Errorf("no page links %s under its version", a.Name)
		}
		if regexp.MustCompile(`url\(|@import`).Match(a.Body) {
			t.Errorf("%s loads something else, which no policy permits", a.Name)
		}
	}
}

func BenchmarkRefusal(b *testing.B) {
	r := renderer(b)
	v := nora(403, "role_required")
	for b.Loop() {
		r.Refusal(v)
	}
}
