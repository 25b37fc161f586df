package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/neosc/gate/test/kit"
)

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
	t.Run("AskedByActions", h.testActions)
	t.Run("CheckedOnline", h.testCheck)
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

// testCheck: gate check -online names the provider that is away, and no other.
func (h *house) testCheck(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), h.Bin, "check", "-online", "-config", filepath.Join(h.State, "gate.yaml"))
	cmd.Dir, _ = kit.Root()
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("it found nothing wrong")
	}
	for _, want := range []string{"provider  ok  zitadel_onprem answers", "provider  ok  zitadel_cloud answers", "provider nobody: discovery endpoint"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
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
// begin. Only the browser is asked where they are: a tab that is between two
// sites does not answer.
func (h *house) testTabs(t *testing.T) {
	b := startBrowser(t)
	var all sync.WaitGroup
	for i := range 5 {
		ctx, cancel := chromedp.NewContext(b.ctx)
		t.Cleanup(cancel)
		// The first context that does something owns the tab.
		if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
			t.Fatal(err)
		}
		tab := &browser{t: t, ctx: ctx, shots: b.shots}
		all.Go(func() {
			tab.do(chromedp.Navigate(fmt.Sprintf("%s/?tab=%d", h.Origin("portal"), i)))
			// A tab that came after another's sign-in is asked nothing.
			_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(() => { const i = document.querySelector("input[name=login]");
				if (i) { i.value = "nora"; setTimeout(() => i.form.submit()); } return true; })()`))
			if err != nil {
				t.Errorf("tab %d: %v", i, err)
			}
		})
	}
	all.Wait()
	var seen []string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		tabs, err := chromedp.Targets(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		arrived := 0
		seen = seen[:0]
		for _, x := range tabs {
			seen = append(seen, x.URL+" "+x.Title)
			if strings.HasPrefix(x.URL, h.Origin("portal")+"/?tab=") && strings.HasPrefix(x.Title, "Portal") {
				arrived++
			}
		}
		if arrived == 5 {
			return
		}
	}
	t.Errorf("not all tabs arrived: %q\n%s", seen, h.Output())
}
