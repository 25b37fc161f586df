package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/neosc/gate/test/kit"
)

// TestSecondFactorsThroughTheEdge has a gate ask everybody for a second factor:
// one person sets up an app, another a passkey in a browser, a third shows one again.
func TestSecondFactorsThroughTheEdge(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: freshPolicy(t), Env: []string{"GATE_ACCOUNTS_MFA=required"}})
	t.Run("App", func(t *testing.T) { t.Parallel(); withAnApp(t, d) })
	t.Run("Passkey", func(t *testing.T) { t.Parallel(); withAPasskey(t, d) })
	t.Run("Fresh", func(t *testing.T) { t.Parallel(); freshAgain(t, d) })
	t.Run("API", func(t *testing.T) { t.Parallel(); byTheAPI(t, d) })
}

func withAnApp(t *testing.T, d *kit.Demo) {
	gate, portal := d.Origin("gate"), d.Origin("portal")
	w := d.SignedIn(t, "neosc")
	before := w.Session()
	leads := func(r *kit.Reply, status int, to string) {
		t.Helper()
		if r.StatusCode != status || r.Header.Get("Location") != to {
			t.Fatalf("%s to %q, want %d to %q\n%s", r.Status, r.Header.Get("Location"), status, to, r.Text)
		}
	}
	// Before it is set up nothing opens but the page where it is.
	leads(w.Get(t, portal+"/a?b=1"), http.StatusFound, gate+"/oauth2/second_factor?rd="+url.QueryEscape(portal+"/a?b=1"))
	leads(w.Get(t, gate+"/oauth2/second_factor?rd="+url.QueryEscape(portal+"/a?b=1")), http.StatusSeeOther, gate+"/account/security?rd="+url.QueryEscape(portal+"/a?b=1"))
	leads(w.Get(t, gate+"/"), http.StatusFound, gate+"/oauth2/second_factor?rd="+url.QueryEscape(gate+"/"))
	r := w.Do(t, http.MethodGet, d.Origin("api.portal")+"/api/whoami", nil, "Accept", "application/json")
	if r.StatusCode != http.StatusUnauthorized || !strings.Contains(r.Text, `"mfa_required"`) || !strings.Contains(r.Header.Get("WWW-Authenticate"), "insufficient_user_authentication") {
		t.Errorf("a program is told %s %q %s", r.Status, r.Header.Get("WWW-Authenticate"), r.Text)
	}
	key, codes := w.EnrolApp(t, -1)
	if w.Session() == before {
		t.Error("the session has the id that it had before it had a second factor")
	}
	leads(w.Get(t, portal+"/"), http.StatusOK, "")

	// The password alone signs nobody in.
	w = d.Stranger(t)
	password := d.Passwords["neosc@"+kit.Domain]
	signIn := func() {
		t.Helper()
		leads(w.SignIn(t, "neosc@"+kit.Domain, password, portal+"/x?y=1"), http.StatusSeeOther, gate+"/oauth2/second_factor")
	}
	signIn()
	if w.Session() != "" {
		t.Error("there is a session before the second factor")
	}
	if r := w.Get(t, portal+"/"); r.StatusCode != http.StatusFound || !strings.HasPrefix(r.Header.Get("Location"), gate+"/oauth2/sign_in") {
		t.Errorf("between the factors the portal answers %s", r.Status)
	}
	code := kit.TOTP(t, key, time.Now(), 0)
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	answer := func(with, code string) *kit.Reply {
		t.Helper()
		return w.Send(t, "/oauth2/second_factor?with="+with, "/oauth2/second_factor", "with", with, "code", code)
	}
	leads(answer("app", wrong), http.StatusUnprocessableEntity, "")
	leads(answer("app", code), http.StatusSeeOther, portal+"/x?y=1")
	leads(w.Get(t, portal+"/"), http.StatusOK, "")

	// Neither a code nor a recovery code works twice.
	w = d.Stranger(t)
	signIn()
	leads(answer("app", code), http.StatusUnprocessableEntity, "")
	leads(answer("recovery", codes[0]), http.StatusSeeOther, gate+"/account/security?rd="+url.QueryEscape(portal+"/x?y=1"))
	leads(w.Get(t, portal+"/"), http.StatusOK, "")
	w = d.Stranger(t)
	signIn()
	leads(answer("recovery", codes[0]), http.StatusUnprocessableEntity, "")
	if w.Session() != "" {
		t.Error("a recovery code gave a session twice")
	}
	trail := d.Run(t, "audit", "list")
	for _, want := range []string{"mfa_enrolled", "mfa_recovery_codes", "mfa_verified", "mfa_failed"} {
		if !strings.Contains(trail, want) {
			t.Errorf("the trail lacks %s:\n%s", want, trail)
		}
	}
}

// authenticator adds one to the browser that unlocks by itself, as a phone does
// under its owner's finger; remove loses it.
func (b *browser) authenticator() (remove func()) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
	added, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: "ctap2", Transport: "internal", HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	return func() {
		if _, err := chromedp.Call(b.ctx, webauthn.RemoveVirtualAuthenticator, webauthn.RemoveVirtualAuthenticatorParams(added)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// arrives waits for a whole page at an address that begins so.
func (b *browser) arrives(address string) {
	b.t.Helper()
	b.becomes(fmt.Sprintf(`location.href.startsWith(%q) && document.readyState === "complete"`, address))
}

const useKey = "form[data-passkey] button:not([disabled])"

func withAPasskey(t *testing.T, d *kit.Demo) {
	b := startBrowser(t)
	gate, portal := d.Origin("gate"), d.Origin("portal")
	email := "admin@" + kit.Domain
	lose := b.authenticator()

	b.open(portal + "/")
	b.signIn(email, d.Passwords[email])
	b.arrives(gate + "/account/security?rd=")
	b.reads(gate, "Set up your second factor", email)
	b.shootAll("20-security-none", true)
	b.do(chromedp.Click("p.pager a"), chromedp.WaitVisible(useKey))
	b.shootAll("21-add-passkey", true)
	b.do(chromedp.SetValue("#name", "Phone of Ada"), chromedp.Click(useKey))
	b.becomes(`document.querySelectorAll(".codes li").length === 10 && document.readyState === "complete"`)
	b.shootAll("22-recovery-codes", true)
	code, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector(".codes li").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Click("a.primary"))
	b.arrives(portal + "/")
	b.reads(portal, "Welcome, "+email)

	b.leave(d)
	b.open(gate + "/oauth2/sign_in?rd=" + url.QueryEscape(portal+"/"))
	b.do(chromedp.Click(`a[href^="/oauth2/passkey"]`), chromedp.WaitVisible(useKey))
	b.shootAll("23-passkey-sign-in", true)
	b.do(chromedp.Click(useKey))
	b.arrives(portal + "/")
	b.reads(portal, "Welcome, "+email)

	b.leave(d)
	b.open(portal + "/")
	b.signIn(email, d.Passwords[email])
	b.arrives(gate + "/oauth2/second_factor")
	b.shootAll("24-second-factor", true)
	b.do(chromedp.WaitVisible(useKey), chromedp.Click(useKey))
	b.arrives(portal + "/")

	// The phone is lost.
	lose()
	b.leave(d)
	b.open(portal + "/")
	b.signIn(email, d.Passwords[email])
	b.arrives(gate + "/oauth2/second_factor")
	b.do(chromedp.Click(`a[href*="with=recovery"]`), chromedp.WaitVisible("#code"))
	b.do(chromedp.SetValue("#code", strings.ToLower(code)), chromedp.Click("button.primary"))
	b.arrives(gate + "/account/security")
	b.reads(gate, "Phone of Ada", "9 of 10 left", "You signed in with a recovery code")
	b.shootAll("25-security", true)
	b.do(chromedp.Click("details summary"), chromedp.WaitVisible("details button.danger"), chromedp.Click("details button.danger"))
	b.becomes(`document.body.innerText.includes("The passkey is removed") && document.readyState === "complete"`)
	b.open(portal + "/")
	b.reads(portal, "Welcome, "+email)

	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		t.Errorf("the console says %s", f)
	}
}

// leave signs out by the gate's own page.
func (b *browser) leave(d *kit.Demo) {
	b.t.Helper()
	b.open(d.Origin("gate") + "/oauth2/sign_out")
	b.do(chromedp.Click("button.primary"))
	b.becomes(`document.body.innerText.includes("You are signed out") && document.readyState === "complete"`)
}
