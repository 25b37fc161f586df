package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/test/kit"
)

const demoSecret = "the secret of the webhooks of this test"

// provisioner stands for the program that makes workspaces: it checks how it is
// asked, and keeps what for.
type provisioner struct {
	*httptest.Server
	t *testing.T
	// ready lets the first start be answered.
	ready chan struct{}

	mu    sync.Mutex
	calls []string // "start container demo-…", each once
	made  map[string]bool
}

func startProvisioner(t *testing.T) *provisioner {
	t.Helper()
	p := &provisioner{t: t, ready: make(chan struct{}), made: map[string]bool{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *provisioner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || !p.signed(r, body) {
		p.t.Errorf("a webhook is not signed as it has to be: %v %s", r.Header, body)
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	var e struct {
		Type  string `json:"type"`
		Step  string `json:"step"`
		Grant struct {
			ID string `json:"id"`
		} `json:"grant"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		p.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/json")
	thing := e.Step + " " + e.Grant.ID
	switch e.Type {
	case "demo.list":
		_ = json.NewEncoder(w).Encode(map[string][]string{"grants": p.owned(e.Step)})
		return
	case "demo.start":
		select {
		case <-p.ready:
		default:
			w.WriteHeader(http.StatusAccepted) // come again
			_, _ = io.WriteString(w, `{"status":"pending"}`)
			return
		}
		p.keep("start "+thing, thing, true)
	case "demo.end":
		p.keep("end "+thing, thing, false)
	}
	_, _ = io.WriteString(w, `{"status":"done"}`)
}

// signed checks the signature as standardwebhooks.com has it.
func (p *provisioner) signed(r *http.Request, body []byte) bool {
	m := hmac.New(sha256.New, []byte(demoSecret))
	fmt.Fprintf(m, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
	return slices.Contains(strings.Fields(r.Header.Get("Webhook-Signature")), "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
}

func (p *provisioner) keep(call, thing string, made bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.calls, call) {
		p.calls = append(p.calls, call)
	}
	p.made[thing] = made
}

// owned are the grants for which a step has made something.
func (p *provisioner) owned(step string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := []string{}
	for thing, there := range p.made {
		if id, ok := strings.CutPrefix(thing, step+" "); ok && there {
			ids = append(ids, id)
		}
	}
	return ids
}

// config is the key demo of a gate whose workspaces this makes, for 30 seconds.
func (p *provisioner) config() string {
	file := filepath.Join(p.t.TempDir(), "webhooks.secret")
	if err := os.WriteFile(file, []byte("whsec_"+base64.StdEncoding.EncodeToString([]byte(demoSecret))+"\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	step := func(name string) string {
		return fmt.Sprintf("    - {name: %s, kind: webhook, url: %q, secrets_file: %q, retries: 100, backoff: 50ms}\n", name, p.URL+"/", file)
	}
	return "demo:\n  kinds:\n    - {name: linux, title: Linux, description: Desktop and terminal, max_duration: 30s}\n    - {name: windows, title: Windows, max_duration: 30m, approval: true}\n" +
		"  steps:\n" + step("container") + step("network")
}

// TestADemoInABrowserFromItsLinkToItsCleanUp is the whole way of a visitor with a
// link: signing in, asking, waiting, a workspace with an open WebSocket, the
// countdown, the cut at the second, and the page that says what is gone.
func TestADemoInABrowserFromItsLinkToItsCleanUp(t *testing.T) {
	t.Parallel()
	p := startProvisioner(t)
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised", Demo: p.config()})
	b := startBrowser(t)
	gate, workspace := d.Origin("gate"), d.Origin("workspace.portal")
	email := "neosc2@" + kit.Domain

	b.open(gate + "/demo?type=linux")
	b.reads(gate+"/oauth2/sign_in?rd=", "Sign in")
	b.signIn(email, d.Passwords[email])
	b.becomes(`location.pathname === "/demo" && location.search === "?type=linux" && document.readyState === "complete"`)
	b.reads(gate+"/demo?type=linux", "A workspace of your own, for a while", "Desktop and terminal · 30 seconds", email)
	b.open(workspace + "/")
	b.reads(workspace+"/", "This opens with a demo session.")
	b.do(chromedp.Click("a.btn.primary"))
	b.becomes(`location.pathname === "/demo" && document.readyState === "complete"`)
	b.do(chromedp.SendKeys("#purpose", "To see it end"), chromedp.Click("button.primary"))
	b.becomes(`location.pathname.startsWith("/demo/demo-") && document.readyState === "complete"`)
	b.reads(gate+"/demo/demo-", "Your demo is being made ready", "Container", "Network")
	b.shootAll("demo-starting", true)
	page := b.where()
	id := page[strings.LastIndexByte(page, '/')+1:]

	// What takes long is done before the 30 seconds begin.
	tab, admin := b.tab(), d.SignedIn(t, "admin")
	close(p.ready)
	// The page says so by itself, its script having looked.
	b.becomes(`document.querySelector("[data-left]") !== null && document.readyState === "complete"`)
	b.ticks()
	b.reads(page, "Your demo is running", "Open the workspace", "End it now")
	ends := endOf(t, admin, gate+"/api/demo-sessions/"+id)
	tab.open(workspace + "/")
	tab.becomes(`document.getElementById("state").textContent === "Connected"`)
	tab.evaluates(`new MutationObserver(() => { window.cutAt ??= Date.now(); }).observe(document.getElementById("state"), {childList: true, characterData: true, subtree: true})`)
	tab.reads(workspace+"/", "Workspace of "+email, id, "linux")

	tab.becomesWithin(2*time.Minute, `window.cutAt > 0`)
	cut := tab.millisecond("window.cutAt")
	// That is when the page learns of it. The gate's own bound is held where no
	// browser shares the cores: see test/streams.
	if late := cut.Sub(ends); late < -50*time.Millisecond || late > 15*time.Second {
		t.Errorf("the socket was cut %s after the end of the demo", late)
	}
	// The countdown turns into the end by itself, and then says what is gone.
	b.becomes(`document.body.innerText.includes("Your demo has ended")`)
	b.becomes(`document.body.innerText.includes("nobody can open it again") && document.readyState === "complete"`)
	b.reads(page, "Its 30 seconds were over at", "Access ended", "Network removed", "Container removed", "Ask for another demo")
	b.shootAll("demo-ended", true)
	tab.open(workspace + "/")
	tab.reads(workspace+"/", "This opens with a demo session.")

	p.mu.Lock()
	calls := strings.Join(p.calls, ", ")
	p.mu.Unlock()
	if want := fmt.Sprintf("start container %[1]s, start network %[1]s, end network %[1]s, end container %[1]s", id); calls != want {
		t.Errorf("the provisioner was asked to\n%s, want\n%s", calls, want)
	}
	demoTold(t, d, email)
	console := admin.Get(t, gate+"/admin/demos")
	for _, want := range []string{id, "Ended by time", "all gone"} {
		if !strings.Contains(console.Text, want) {
			t.Errorf("the console lacks %q: %s\n%s", want, console.Status, console.Text)
		}
	}
	if other := d.SignedIn(t, "user").Get(t, page); other.StatusCode != http.StatusNotFound {
		t.Errorf("somebody else's demo is answered %s", other.Status)
	}
	for _, x := range []*browser{b, tab} {
		x.mu.Lock()
		for _, f := range x.faults {
			// The end of the socket is what a cut looks like to a browser.
			if !strings.Contains(f, "WebSocket connection") {
				t.Errorf("the console says %s", f)
			}
		}
		x.mu.Unlock()
	}
}

// endOf is when a running demo's time is over, as the API has it.
func endOf(t *testing.T, p *kit.Person, url string) time.Time {
	t.Helper()
	reply := p.Do(t, http.MethodGet, url, nil, "Accept", "application/json")
	var g session.DemoGrant
	if err := json.Unmarshal([]byte(reply.Text), &g); err != nil || g.ExpiresAt.IsZero() {
		t.Fatalf("the end of a demo: %s %s (%v)", reply.Status, reply.Text, err)
	}
	return g.ExpiresAt
}

// ticks wants the title of the countdown to count down.
func (b *browser) ticks() {
	b.t.Helper()
	b.becomes(`/^0?0:\d\d left/.test(document.title)`)
	title, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.title"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.becomes(fmt.Sprintf("document.title !== %q", title))
}

// millisecond is an instant of the page's clock, which is this machine's.
func (b *browser) millisecond(expression string) time.Time {
	b.t.Helper()
	n, err := chromedp.Run(b.ctx, chromedp.Evaluate[int64](expression))
	if err != nil {
		b.t.Fatal(err)
	}
	return time.UnixMilli(n)
}

// demoTold wants the trail to tell of a demo from its beginning to its clean-up.
func demoTold(t *testing.T, d *kit.Demo, email string) {
	t.Helper()
	want := "demo_requested, demo_started, demo_expired, demo_cleaned"
	var got []string
	within(t, time.Minute, "the trail tells of the clean-up", func() bool {
		var entries []session.AuditEntry
		if err := json.Unmarshal([]byte(d.Run(t, "audit", "list", "-limit", "1000", "-json")), &entries); err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, e := range slices.Backward(entries) {
			if strings.HasPrefix(string(e.Action), "demo_") {
				got = append(got, string(e.Action))
				if e.User.Email != email {
					t.Errorf("%s is said of %q", e.Action, e.User.Email)
				}
			}
		}
		return slices.Contains(got, string(session.ActionDemoCleaned))
	})
	if strings.Join(got, ", ") != want {
		t.Errorf("the trail tells of %s, want %s", strings.Join(got, ", "), want)
	}
}
