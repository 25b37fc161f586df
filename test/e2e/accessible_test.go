package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/neosc/gate/test/axe"
	"github.com/neosc/gate/test/kit"
)

// checked is a browser whose pages are held against WCAG.
type checked struct {
	*browser
	d      *kit.Demo
	script string
}

// TestEveryPageIsAccessible opens every page that the gate has, as a stranger, as
// somebody with a role and as an administrator, in light and in dark and as wide
// as a phone, and has axe-core look at it.
func TestEveryPageIsAccessible(t *testing.T) {
	t.Parallel()
	script := axe.Script(t)
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised"})
	c := &checked{browser: startBrowser(t), d: d, script: script}
	if c.shots = os.Getenv("SCREENSHOTS"); c.shots == "" { // kept for looking at only where that is asked for
		c.shots = t.TempDir()
	}
	c.strangers()
	c.person()
	c.demos()
	c.administrator()
	c.rendered()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		t.Errorf("the console says %s", f)
	}
}

// page opens one, wants a text on it and checks it.
func (c *checked) page(name, address, text string) {
	c.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = c.d.Origin("gate") + address
	}
	c.open(address)
	c.check(name, text)
}

// covered counts the rows of tables that are folded for phones in which the
// button, which stands beside the words there, lies over them. No rule of
// axe-core sees that.
const covered = `[...document.querySelectorAll(".stack tr")].filter(row => {
	const act = row.querySelector(".act"), a = act && act.getBoundingClientRect(), words = document.createRange();
	return act && [...row.children].some(cell => {
		words.selectNodeContents(cell);
		return cell !== act && [...words.getClientRects()].some(w => w.width > 1 && w.left < a.right && w.right > a.left && w.top < a.bottom && w.bottom > a.top);
	});
}).length`

// check holds the page that is open now.
func (c *checked) check(name, text string) {
	c.t.Helper()
	if page := c.text(); !strings.Contains(page, text) {
		c.t.Errorf("%s: %s lacks %q:\n%s", name, c.where(), text, page)
		return
	}
	if _, err := chromedp.Run(c.ctx, chromedp.Evaluate[any](c.script+";0")); err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	for scheme, check := range map[string]string{"light": axe.Check, "dark": axe.Contrast} {
		c.look(scheme)
		if wrong := c.wrong(check); wrong != "" {
			c.t.Errorf("%s, %s:\n%s", name, scheme, wrong)
		}
		if os.Getenv("SCREENSHOTS") != "" {
			c.shoot(name + "-" + scheme)
		}
	}
	c.look("light")
	c.do(chromedp.EmulateViewport(360, 800, chromedp.EmulateMobile))
	if wide, err := chromedp.Run(c.ctx, chromedp.Evaluate[int]("document.documentElement.scrollWidth")); err != nil || wide > 360 {
		c.t.Errorf("%s is %d px wide on a screen of 360 (%v)", name, wide, err)
	}
	if n, err := chromedp.Run(c.ctx, chromedp.Evaluate[int](covered)); err != nil || n > 0 {
		c.t.Errorf("%s has %d rows whose button lies over their words (%v)", name, n, err)
	}
	if os.Getenv("SCREENSHOTS") != "" {
		c.shoot(name + "-phone")
	}
	c.do(chromedp.EmulateViewport(1280, 900))
}

// wrong is what axe-core says of the page.
func (c *checked) wrong(check string) string {
	c.t.Helper()
	said, err := chromedp.Run(c.ctx, chromedp.Evaluate[string](check, chromedp.EvalAwaitPromise))
	if err != nil {
		c.t.Fatalf("%s: %v", c.where(), err)
	}
	return said
}

// notices makes the page that is open worse, which axe-core has to see.
func (c *checked) notices() {
	c.t.Helper()
	const worse = `document.documentElement.removeAttribute("lang"); document.querySelector("h1").style.color = "#ddd"; 0`
	if _, err := chromedp.Run(c.ctx, chromedp.Evaluate[int](worse)); err != nil {
		c.t.Fatal(err)
	}
	for _, check := range []string{axe.Check, axe.Contrast} {
		if said := c.wrong(check); !strings.Contains(said, "color-contrast") || check == axe.Check && !strings.Contains(said, "html-has-lang") {
			c.t.Errorf("a page without a language and with a pale heading is said to have %q", said)
		}
	}
}

// becomeSomebody has the browser hold the session of one of the demo's people.
func (c *checked) becomeSomebody(name string) {
	c.t.Helper()
	p := c.d.SignedIn(c.t, name)
	if _, err := chromedp.Call(c.ctx, network.SetCookie, network.SetCookieParams{Name: "_pomerium", Value: p.Session(), URL: c.d.Origin("gate"), Domain: "." + kit.Domain, Path: "/"}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *checked) strangers() {
	c.t.Helper()
	c.page("signed-out", "/oauth2/signed_out", "You are signed out")
	c.notices()
	c.page("sign-in", "/oauth2/sign_in?rd="+c.d.Origin("portal")+"/", "Create one")
	c.signIn("neosc@"+kit.Domain, "not the password")
	c.becomes(`document.querySelector("[role=alert]") !== null && document.readyState === "complete"`)
	c.check("sign-in-wrong", "Email or password is wrong")
	c.page("passkey", "/oauth2/passkey", "passkey")
	c.page("register", "/register", "Create your account")
	c.page("register-done", "/register?done=1", "Look into your mail")
	c.page("forgot", "/account/forgot", "Send the link")
	c.page("forgot-done", "/account/forgot?done=1", "Look into your mail")
	c.page("verify", "/account/verify?token=x", "Is this your email?")
	c.page("verify-done", "/account/verify?done=1", "Your account is ready")
	c.page("reset", "/account/reset?token=x", "Set this password")
	c.page("spent-link", "/account/reset", "opens nothing any more")
	c.page("invitation", "/account/invitation?token=x", "You are invited")
}

func (c *checked) person() {
	c.t.Helper()
	c.becomeSomebody("neosc")
	c.page("apps", "/", "Your apps")
	c.page("account", "/account", "This one")
	c.page("security", "/account/security", "Authenticator app")
	c.page("security-app", "/account/security/app", "Authenticator app")
	c.page("security-passkey", "/account/security/passkey", "Add a passkey")
	c.page("second-factor", "/oauth2/second_factor", "password")
	c.page("join", "/account/invitation?token=x", "Join the organization?")
	c.page("sign-out", "/oauth2/sign_out", "Sign out?")
	c.page("refused", "/admin", "Your role does not open this page")
	c.page("nothing", "/nothing/here", "nothing at this address")
	c.page("refused-elsewhere", c.d.Origin("admin.portal")+"/", "Your role does not open this page")
}

var userLink = regexp.MustCompile(`/admin/users/usr_[0-9a-zA-Z]+`)

func (c *checked) administrator() {
	c.t.Helper()
	c.becomeSomebody("admin")
	c.page("overview", "/admin", "Sign-ins by hour")
	c.do(chromedp.Click("summary"))
	c.check("overview-table", "Hour, UTC")
	c.do(chromedp.Click("button.who"), chromedp.WaitVisible("#me:popover-open"))
	c.check("menu", "System")
	c.do(chromedp.Click(`#me button[value="dark"]`))
	c.becomes(`document.documentElement.dataset.theme === "dark" && location.pathname === "/admin" && document.readyState === "complete"`)
	c.do(chromedp.Click("button.who"), chromedp.WaitVisible("#me:popover-open"), chromedp.Click(`#me button[value=""]`))
	c.becomes(`document.documentElement.dataset.theme === undefined && document.readyState === "complete"`)
	c.page("sessions", "/admin/sessions", "neosc@"+kit.Domain)
	c.page("sessions-none", "/admin/sessions?q=nobody", "Nobody of that email")
	c.page("everybody", "/admin/sessions/everybody", "End everybody’s sessions?")
	c.page("organizations", "/admin/organizations", "Default Organization")
	c.page("organization", "/admin/organizations/org_default", "Invite a person")
	c.page("audit", "/admin/audit", "login")
	c.page("audit-none", "/admin/audit?since=2099-01-01", "no such entry")
	c.page("switches", "/admin/switches", "Business hours")
	c.page("policy", "/admin/policy", "Rules in live traffic")
	c.page("users", "/admin/users", "neosc@"+kit.Domain)
	html, err := chromedp.Run(c.ctx, chromedp.Evaluate[string]("document.body.innerHTML"))
	if err != nil {
		c.t.Fatal(err)
	}
	_, html, _ = strings.Cut(html, "neosc@"+kit.Domain)
	user := userLink.FindString(html)
	c.page("user", user, "Disable account")
	c.page("user-delete", user+"/delete", "Delete the account of")
	c.page("user-own", "/account", "Console")
	c.ends()
}

// ends ends another session of the administrator by the button of the account
// page, and reads there that it is done.
func (c *checked) ends() {
	c.t.Helper()
	other := c.d.SignedIn(c.t, "admin")
	c.open(c.d.Origin("gate") + "/account")
	c.do(chromedp.Click(`button[value="others"]`))
	c.becomes(`document.querySelector("[role=status]") !== null && document.readyState === "complete"`)
	c.check("account-ended", "ended. What is ended opens nothing any more")
	if got := other.Get(c.t, c.d.Origin("gate")+"/account"); got.StatusCode != 302 {
		c.t.Errorf("the session that was ended is answered %s", got.Status)
	}
}
