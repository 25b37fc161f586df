package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/neosc/gate/test/kit"
)

// browser is one tab of a headless Chromium, which resolves *.localhost to
// loopback by itself, as people's browsers do.
type browser struct {
	t     *testing.T
	ctx   context.Context
	shots string

	mu     sync.Mutex
	faults []string // what the console said that is no plain answer of a page
	opened []string // addresses
}

// startBrowser starts a Chromium with a profile of its own.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	root, err := kit.Root()
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, shots: filepath.Join(root, "out", "screenshots")}
	if err := os.MkdirAll(b.shots, 0o755); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true))
	limited, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	t.Cleanup(cancel)
	allocator, cancel := chromedp.NewExecAllocator(limited, options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the end, so that the profile can go
		cancel()
	})
	b.ctx = ctx
	// The first context that does something owns the browser.
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, b.heard); err != nil {
		t.Fatal(err)
	}
	b.look("light")
	return b
}

// tab opens another one of the same browser.
func (b *browser) tab() *browser {
	b.t.Helper()
	x := &browser{t: b.t, shots: b.shots}
	var cancel context.CancelFunc
	x.ctx, cancel = chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	if err := chromedp.Do(x.ctx, chromedp.Navigate("about:blank")); err != nil {
		b.t.Fatal(err)
	}
	if err := chromedp.Listen(x.ctx, x.heard); err != nil {
		b.t.Fatal(err)
	}
	x.look("light")
	return x
}

// evaluates runs a statement in the page.
func (b *browser) evaluates(statement string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[int](statement+";0")); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.shoot("failed")
		b.t.Fatalf("%v\nat %s:\n%s", err, b.where(), b.text())
	}
}

// heard keeps what a page should never make the console say: exceptions, calls
// of console.error, violations of its own CSP, and resources that do not load.
func (b *browser) heard(event any) {
	fault := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		// A page that answers 4xx is logged too, by its address.
		answered := e.Entry.Source == log.EntrySourceNetwork && strings.Contains(e.Entry.Text, "the server responded with a status of 4") && b.asked(e.Entry.URL)
		if e.Entry.Level == log.EntryLevelError && !answered {
			fault = fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		fault = "exception: " + e.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			fault = fmt.Sprintf("console.%s", e.Type)
			for _, a := range e.Args {
				fault += " " + string(a.Value) + a.Description
			}
		}
	}
	if fault != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.faults = append(b.faults, fault)
	}
}

// asks keeps the address that is being opened: what the console says of it may
// be heard when the next one is.
func (b *browser) asks(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened = append(b.opened, address)
}

func (b *browser) asked(address string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.opened, address)
}

// open goes to an address.
func (b *browser) open(url string) {
	b.t.Helper()
	b.asks(url)
	b.do(chromedp.Navigate(url))
}

// look sets the color scheme that the person prefers.
func (b *browser) look(scheme string) {
	b.t.Helper()
	params := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, params); err != nil {
		b.t.Fatal(err)
	}
}

// shoot keeps a screenshot under out/screenshots.
func (b *browser) shoot(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Errorf("screenshot %s: %v", name, err)
		return
	}
	if err := os.WriteFile(filepath.Join(b.shots, name+".png"), png, 0o644); err != nil {
		b.t.Error(err)
	}
}

// shootAll keeps a page in light and dark and, if asked, at a phone's width,
// where nothing may be wider than the screen.
func (b *browser) shootAll(name string, phone bool) {
	b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		b.look(scheme)
		b.shoot(name + "-" + scheme)
	}
	b.look("light")
	if !phone {
		return
	}
	b.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2), chromedp.EmulateMobile))
	b.shoot(name + "-phone")
	wide, err := chromedp.Run(b.ctx, chromedp.Evaluate[int]("document.documentElement.scrollWidth"))
	if err != nil || wide > 390 {
		b.t.Errorf("%s is %d px wide on a screen of 390 (%v)", name, wide, err)
	}
	b.do(chromedp.EmulateViewport(1280, 900))
}

// where is the address in the address bar.
func (b *browser) where() string {
	u, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil {
		return err.Error()
	}
	return u
}

// text is what a person reads on the page.
func (b *browser) text() string {
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return s
}

// reads wants each of the texts on the page, at an address that begins so.
func (b *browser) reads(address string, texts ...string) {
	b.t.Helper()
	if u := b.where(); !strings.HasPrefix(u, address) {
		b.t.Errorf("the browser is at %s, want %s…", u, address)
	}
	page := b.text()
	for _, want := range texts {
		if !strings.Contains(page, want) {
			b.t.Errorf("%s lacks %q:\n%s", b.where(), want, page)
		}
	}
}

// becomes waits until an expression is true in the page, or in the one after it:
// what is evaluated during a navigation fails, and is asked again.
func (b *browser) becomes(expression string) {
	b.t.Helper()
	b.becomesWithin(time.Minute, expression)
}

func (b *browser) becomesWithin(limit time.Duration, expression string) {
	b.t.Helper()
	var last error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		if ok {
			return
		}
		last = err
	}
	b.shoot("failed")
	b.t.Fatalf("%s never came true (%v)\nat %s:\n%s", expression, last, b.where(), b.text())
}

// TestInABrowserOneSignInOpensWhatTheRoleAllows is the way of a person with the
// role neosc, in a real browser: to the portal, through the gate's form, to all
// hosts, and out again.
func TestInABrowserOneSignInOpensWhatTheRoleAllows(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised"})
	b := startBrowser(t)
	gate, portal := d.Origin("gate"), d.Origin("portal")

	b.open(portal + "/")
	b.reads(gate+"/oauth2/sign_in?rd=", "Sign in", "portal."+kit.Domain)
	b.shootAll("1-sign-in", true)
	b.signIn("neosc@"+kit.Domain, "not the password")
	b.becomes(`document.querySelector("[role=alert]") !== null && document.readyState === "complete"`)
	b.reads(gate+"/oauth2/sign_in", "Sign in")
	b.shootAll("2-wrong-password", false)
	b.signIn("neosc@"+kit.Domain, d.Passwords["neosc@"+kit.Domain])
	b.becomes(`location.host.startsWith("portal.") && document.readyState === "complete"`)
	b.reads(portal+"/", "Welcome, neosc@"+kit.Domain, "X-Pomerium-Email")
	b.shootAll("3-portal", false)

	b.open(d.Origin("api.portal") + "/api/whoami")
	b.reads(d.Origin("api.portal")+"/api/whoami", "neosc@"+kit.Domain)
	b.shoot("4-api")
	b.open(d.Origin("admin.portal") + "/")
	b.reads(d.Origin("admin.portal")+"/", "neosc@"+kit.Domain)
	if page := b.text(); strings.Contains(page, `"headers"`) {
		t.Errorf("the admin host is open to neosc:\n%s", page)
	}
	b.shootAll("5-admin-refused", true)

	b.workspace(d)

	b.open(gate + "/")
	b.reads(gate+"/", "Your apps", "Portal", "API", "Workspace", "Not open right now", "Admin")
	b.shootAll("7-landing", true)
	b.signOut(d)

	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		t.Errorf("the console says %s", f)
	}
}

func (b *browser) signIn(email, password string) {
	b.t.Helper()
	b.asks(strings.SplitN(b.where(), "?", 2)[0])
	b.do(chromedp.SetValue("#email", email),
		chromedp.SendKeys("#password", password), chromedp.Click("button.primary"))
}

// workspace opens the page with the echo socket and says something over it with
// the page's own button.
func (b *browser) workspace(d *kit.Demo) {
	b.t.Helper()
	b.open(d.Origin("workspace.portal") + "/")
	b.becomes(`document.getElementById("state").textContent === "Connected"`)
	b.do(chromedp.SetValue("#text", "said by a person"), chromedp.Click("#say button"))
	b.becomes(`document.getElementById("log").textContent.includes("← said by a person")`)
	b.reads(d.Origin("workspace.portal")+"/", "Workspace of neosc@"+kit.Domain, "← hello from the browser")
	b.shootAll("6-workspace", false)
}

// leaving is the button in the menu of the landing page.
const leaving = `#me form[action="/oauth2/sign_out"] button`

// signOut leaves by the button on the landing page; then nothing is open.
func (b *browser) signOut(d *kit.Demo) {
	b.t.Helper()
	b.do(chromedp.Click("button.who"), chromedp.WaitVisible(leaving))
	b.shoot("8-menu")
	b.do(chromedp.Click(leaving))
	b.becomes(`document.body.innerText.includes("You are signed out") && document.readyState === "complete"`)
	b.shootAll("9-signed-out", false)
	b.open(d.Origin("portal") + "/")
	b.reads(d.Origin("gate")+"/oauth2/sign_in?rd=", "Sign in")
	// The pages of the applications link to the gate's own question.
	b.open(d.Origin("gate") + "/oauth2/sign_out")
	b.shoot("10-sign-out-of-nobody")
}
