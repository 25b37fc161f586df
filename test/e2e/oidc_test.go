package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/neosc/gate/test/idp"
	"github.com/neosc/gate/test/kit"
)

// zitadelRoles is the claim that lists roles of a project.
const zitadelRoles = "urn:zitadel:iam:org:project:P1:roles"

// staff are the accounts of the providers.
var staff = map[string]map[string]any{
	"nora": {
		"email": "nora@kappa4.com", "email_verified": true, "name": "Nora Villaseñor", "org": "O1",
		zitadelRoles: map[string]any{"neosc": map[string]any{"O1": "kappa4.com"}}, "groups": []string{"owner"},
	},
	"otto":  {"preferred_username": "ceo@company.com", "roles": []string{"user"}},
	"comma": {"email": "c@kappa4.com", "roles": []string{"user,admin"}},
}

// house is a demo with two providers.
type house struct {
	*kit.Demo
	onprem, cloud *idp.Provider
}

// client registers the demo at a provider.
func client(id string, port int, more idp.Client) idp.Client {
	gate := fmt.Sprintf("http://gate.%s:%d", kit.Domain, port)
	c := idp.Client{
		"client_id": "gate", "client_secret": "a secret of the tests", "grant_types": []string{"authorization_code", "refresh_token"},
		"redirect_uris": []string{gate + "/callback/" + id}, "post_logout_redirect_uris": []string{gate + "/oauth2/signed_out"},
		"backchannel_logout_uri": gate + "/backchannel-logout/" + id, "backchannel_logout_session_required": true,
	}
	for k, v := range more {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

// startHouse runs two providers, one signing with RS256 and one with ES256,
// and a demo that knows both and accounts of its own.
func startHouse(t *testing.T) *house {
	t.Helper()
	port := kit.FreePort(t)
	h := &house{
		onprem: idp.Start(t, idp.Settings{Alg: "RS256", Accounts: staff, Clients: []idp.Client{client("zitadel_onprem", port, nil)}}),
		cloud: idp.Start(t, idp.Settings{Alg: "ES256", Accounts: staff, Clients: []idp.Client{
			client("zitadel_cloud", port, idp.Client{"token_endpoint_auth_method": "client_secret_post"})}}),
	}
	h.Demo = kit.StartDemo(t, kit.DemoOptions{Port: port, Policy: "raised", Providers: fmt.Sprintf(`providers:
  - id: zitadel_onprem
    name: NeoSC on-premise
    note: For staff.
    issuer: %s
    client_id: gate
    client_secret: a secret of the tests
    scopes: [openid, profile, offline_access]
    project_id: P1
  - id: zitadel_cloud
    name: NeoSC cloud
    issuer: %s
    client_id: gate
    client_secret: a secret of the tests
    client_auth: client_secret_post
    domains: [kappa4.com]
    default_role: user
  - id: nobody
    name: Nobody at home
    issuer: http://127.0.0.1:%d
    client_id: gate
`, h.onprem.Issuer, h.cloud.Issuer, kit.FreePort(t))})
	return h
}

// startHome runs one provider, made of the environment, and a demo at which
// nobody has a password.
func startHome(t *testing.T) *house {
	t.Helper()
	port := kit.FreePort(t)
	h := &house{onprem: idp.Start(t, idp.Settings{Alg: "ES256", Accounts: staff, Clients: []idp.Client{
		client("zitadel_onprem", port, idp.Client{"client_secret": nil, "token_endpoint_auth_method": "none"})}})}
	h.Demo = kit.StartDemo(t, kit.DemoOptions{Port: port, Policy: "raised", Env: []string{
		"GATE_ACCOUNTS_PASSWORDS=off", "ZITADEL_AUTHORITY=" + h.onprem.Issuer, "ZITADEL_CLIENT_ID=gate", "ZITADEL_PROJECT_ID=P1"}})
	return h
}

// signInAt is the gate's address that leads to a provider and then to target.
func (h *house) signInAt(provider, target string) string {
	q := url.Values{"rd": {target}}
	if provider != "" {
		q.Set("provider", provider)
	}
	return h.Origin("gate") + "/oauth2/sign_in?" + q.Encode()
}

// arrive goes where a browser would, and signs in at a provider as login (""
// cancels there). It returns the first page that is neither a redirect nor the
// provider's form, and the addresses on the way.
func arrive(t *testing.T, p *kit.Person, from, login string) (*kit.Reply, []string) {
	t.Helper()
	way := []string{from}
	reply := p.Get(t, from)
	for range 20 {
		at := way[len(way)-1]
		switch {
		case reply.StatusCode >= 300 && reply.StatusCode < 400:
			next, err := reply.Request.URL.Parse(reply.Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			way = append(way, next.String())
			reply = p.Get(t, next.String())
		case strings.Contains(reply.Text, `name="login"`):
			form := url.Values{"login": {login}}
			if login == "" {
				form.Set("cancel", "1")
			}
			reply = p.Do(t, http.MethodPost, at, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
		default:
			return reply, way
		}
	}
	t.Fatalf("more than 20 steps: %q", way)
	return nil, nil
}

// signedIn is somebody who has signed in at a provider.
func (h *house) signedIn(t *testing.T, provider, login string) *kit.Person {
	t.Helper()
	p := h.Stranger(t)
	if reply, way := arrive(t, p, h.signInAt(provider, h.Origin("portal")+"/"), login); reply.StatusCode != http.StatusOK {
		t.Fatalf("%s after %q\n%s\n%s", reply.Status, way, reply.Text, h.Output())
	}
	return p
}

func TestSignInAtRealProviders(t *testing.T) {
	t.Parallel()
	h := startHouse(t)
	t.Run("EachOfTwo", h.testEach)
	t.Run("Chooser", h.testChooser)
	t.Run("Denied", h.testDenied)
	t.Run("OddRole", h.testOddRole)
	t.Run("SignOut", h.testSignOut)
	t.Run("SignedOutByTheProvider", h.testBackChannel)
	t.Run("CallbackTwice", h.testCallbackTwice)
	t.Run("SignsInWithAPasswordToo", func(t *testing.T) {
		p := h.Stranger(t)
		page := p.Get(t, h.signInAt("local", h.Origin("portal")+"/"))
		if page.StatusCode != http.StatusOK || !strings.Contains(page.Text, `name="password"`) {
			t.Errorf("%s\n%s", page.Status, page.Text)
		}
	})
	t.Run("OneIsAway", h.testAway)
}

func (h *house) testEach(t *testing.T) {
	for _, c := range []struct{ provider, login, email, groups string }{
		{"zitadel_onprem", "nora", "nora@kappa4.com", "neosc,owner"}, // verified by the provider
		{"zitadel_cloud", "nora", "nora@kappa4.com", "user,owner"},   // no project there: the default role
		{"zitadel_cloud", "otto", "", "user"},                        // says that he is the boss
	} {
		p := h.Stranger(t)
		target := h.Origin("api.portal") + "/api/whoami"
		reply, way := arrive(t, p, h.signInAt(c.provider, target), c.login)
		if reply.StatusCode != http.StatusOK || way[len(way)-1] != target {
			t.Errorf("%s at %s: %s after %q\n%s", c.login, c.provider, reply.Status, way, reply.Text)
			continue
		}
		_, x := ask(t, p, target)
		if got := strings.Join(x.Headers["X-Pomerium-Email"], "|"); got != c.email {
			t.Errorf("%s at %s: email %q, want %q", c.login, c.provider, got, c.email)
		}
		if got := strings.Join(x.Headers["X-Pomerium-Groups"], "|"); got != c.groups {
			t.Errorf("%s at %s: groups %q, want %q", c.login, c.provider, got, c.groups)
		}
		if got := strings.Join(x.Headers["X-Pomerium-User"], "|"); !strings.HasPrefix(got, "idp-") {
			t.Errorf("%s at %s: user %q", c.login, c.provider, got)
		}
	}
}

func (h *house) testChooser(t *testing.T) {
	p := h.Stranger(t)
	page := p.Get(t, h.signInAt("", h.Origin("portal")+"/"))
	for _, want := range []string{"Where is your account?", "NeoSC on-premise", "For staff.", "NeoSC cloud", "provider=zitadel_cloud", "provider=local"} {
		if !strings.Contains(page.Text, want) {
			t.Errorf("the chooser lacks %q:\n%s", want, page.Text)
		}
	}
}

func (h *house) testDenied(t *testing.T) {
	p := h.Stranger(t)
	page, _ := arrive(t, p, h.signInAt("zitadel_onprem", h.Origin("portal")+"/"), "")
	if page.StatusCode != http.StatusForbidden || !strings.Contains(page.Text, "NeoSC on-premise did not let you in.") || strings.Contains(page.Text, "alert(1)") ||
		!strings.Contains(page.Text, `class="id"`) || p.Session() != "" {
		t.Errorf("%s\n%s", page.Status, page.Text)
	}
}

func (h *house) testOddRole(t *testing.T) {
	p := h.Stranger(t)
	page, _ := arrive(t, p, h.signInAt("zitadel_onprem", h.Origin("portal")+"/"), "comma")
	if page.StatusCode != http.StatusForbidden || !strings.Contains(page.Text, "Your account cannot be used here.") || p.Session() != "" {
		t.Errorf("%s\n%s", page.Status, page.Text)
	}
}

// signOut sends the landing page's form.
func (h *house) signOut(t *testing.T, p *kit.Person) *kit.Reply {
	t.Helper()
	return p.Do(t, http.MethodPost, h.Origin("gate")+"/oauth2/sign_out", nil, "Origin", h.Origin("gate"), "Accept", "text/html")
}

func (h *house) testSignOut(t *testing.T) {
	p := h.signedIn(t, "zitadel_onprem", "nora")
	cookie := p.Session()
	reply := h.signOut(t, p)
	to := reply.Header.Get("Location")
	if reply.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, h.onprem.Issuer+"/session/end?") || !strings.Contains(to, "id_token_hint=") {
		t.Fatalf("%s to %q\n%s", reply.Status, to, reply.Text)
	}
	h.onprem.Await(t, "grant.revoked")
	if reply, _ := ask(t, h.Stranger(t), h.Origin("api.portal")+"/api/whoami", "Cookie", "_pomerium="+cookie); reply.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old cookie got %s", reply.Status)
	}
	// The provider asks, and sends back to where the gate is registered.
	page := p.Get(t, to)
	m := xsrf.FindStringSubmatch(page.Text)
	if m == nil {
		t.Fatalf("the provider's page has no form: %s\n%s", page.Status, page.Text)
	}
	done := p.Do(t, http.MethodPost, h.onprem.Issuer+"/session/end/confirm", strings.NewReader(url.Values{"xsrf": {m[1]}, "logout": {"yes"}}.Encode()),
		"Content-Type", "application/x-www-form-urlencoded")
	back := done.Header.Get("Location")
	if back != h.Origin("gate")+"/oauth2/signed_out" {
		t.Fatalf("%s to %q\n%s", done.Status, back, done.Text)
	}
	if page := p.Get(t, back); page.StatusCode != http.StatusOK || !strings.Contains(page.Text, "You are signed out.") {
		t.Errorf("%s\n%s", page.Status, page.Text)
	}
}

var xsrf = regexp.MustCompile(`name="xsrf" value="([^"]+)"`)

// testBackChannel: ending the provider's session ends ours, on every host.
func (h *house) testBackChannel(t *testing.T) {
	p := h.signedIn(t, "zitadel_cloud", "nora")
	stays := h.signedIn(t, "zitadel_onprem", "nora")
	page := p.Get(t, h.cloud.Issuer+"/session/end")
	m := xsrf.FindStringSubmatch(page.Text)
	if m == nil {
		t.Fatalf("%s\n%s", page.Status, page.Text)
	}
	p.Do(t, http.MethodPost, h.cloud.Issuer+"/session/end/confirm", strings.NewReader(url.Values{"xsrf": {m[1]}, "logout": {"yes"}}.Encode()),
		"Content-Type", "application/x-www-form-urlencoded")
	h.cloud.Await(t, "backchannel.success")
	if reply, _ := ask(t, p, h.Origin("api.portal")+"/api/whoami"); reply.StatusCode != http.StatusUnauthorized {
		t.Errorf("the session got %s after the provider ended it\n%s", reply.Status, h.cloud.Output())
	}
	if reply, _ := ask(t, stays, h.Origin("api.portal")+"/api/whoami"); reply.StatusCode != http.StatusOK {
		t.Errorf("a session of the other provider got %s", reply.Status)
	}
}

func (h *house) testCallbackTwice(t *testing.T) {
	p := h.Stranger(t)
	_, way := arrive(t, p, h.signInAt("zitadel_onprem", h.Origin("portal")+"/"), "nora")
	for _, at := range way {
		if strings.Contains(at, "/callback/") {
			page := p.Get(t, at)
			if page.StatusCode != http.StatusBadRequest || !strings.Contains(page.Text, "This sign-in is too old.") {
				t.Errorf("the same callback again: %s\n%s", page.Status, page.Text)
			}
		}
	}
}

// testAway: nobody listens where the third provider should be. The gate has
// started all the same, and the others work.
func (h *house) testAway(t *testing.T) {
	p := h.Stranger(t)
	page, _ := arrive(t, p, h.signInAt("nobody", h.Origin("portal")+"/"), "nora")
	if page.StatusCode != http.StatusServiceUnavailable || !strings.Contains(page.Text, "Nobody at home does not answer.") || !strings.Contains(page.Text, `class="id"`) {
		t.Errorf("%s\n%s", page.Status, page.Text)
	}
	h.signedIn(t, "zitadel_onprem", "nora")
}

// TestTheOnlyProviderIsWhereSignInLeads: without a choice there is no page to
// choose on, and every host knows the session.
func TestTheOnlyProviderIsWhereSignInLeads(t *testing.T) {
	t.Parallel()
	h := startHome(t)
	p := h.Stranger(t)
	target := h.Origin("portal") + "/?deep=1"
	reply, way := arrive(t, p, target, "nora")
	if reply.StatusCode != http.StatusOK || way[len(way)-1] != target {
		t.Fatalf("%s after %q\n%s", reply.Status, way, reply.Text)
	}
	if reply, _ := ask(t, p, h.Origin("api.portal")+"/api/whoami"); reply.StatusCode != http.StatusOK {
		t.Errorf("the api host got %s", reply.Status)
	}
	if reply := p.Get(t, h.signInAt("local", target)); strings.Contains(reply.Text, `name="password"`) {
		t.Error("there is a password form though passwords are off")
	}
	t.Run("Loop", h.testLoop)
	t.Run("FiveTabsAtOnce", h.testTabs)
}

// testLoop: somebody whose browser loses each session is not sent in circles.
func (h *house) testLoop(t *testing.T) {
	p := h.signedIn(t, "zitadel_onprem", "nora")
	for range 20 {
		forget(p, h)
		reply := p.Get(t, h.signInAt("", h.Origin("portal")+"/"))
		if strings.Contains(reply.Text, "You were sent here again and again.") {
			return
		}
		arrive(t, p, reply.Header.Get("Location"), "nora")
	}
	t.Error("20 rounds without an end")
}

// forget loses the session as a browser that drops its cookie does.
func forget(p *kit.Person, h *house) {
	u, _ := url.Parse(h.Origin("portal"))
	p.Jar.SetCookies(u, []*http.Cookie{{Name: "_pomerium", Domain: "." + kit.Domain, Path: "/", MaxAge: -1}})
}

// testTabs: five tabs of a fresh browser, none of which has a cookie when all
// begin.
func (h *house) testTabs(t *testing.T) {
	b := startBrowser(t)
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			ctx, cancel := chromedp.NewContext(b.ctx)
			defer cancel()
			tab := &browser{t: t, ctx: ctx, shots: b.shots}
			target := fmt.Sprintf("%s/?tab=%d", h.Origin("portal"), i)
			tab.do(chromedp.Navigate(target), chromedp.SendKeys(chromedp.CSS(`input[name=login]`), "nora"), chromedp.Click(chromedp.CSS(`form button`)))
			tab.becomes(fmt.Sprintf("location.href === %q && document.body.innerText.includes('nora@kappa4.com')", target))
		})
	}
	all.Wait()
}
