package e2e

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

func TestSignInLeadsBackAndSignOutEndsTheSession(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised"})
	p := d.Stranger(t)
	target := d.Origin("portal") + "/reports?year=2026"
	reply := p.SignIn(t, "user@"+kit.Domain, d.Passwords["user@"+kit.Domain], target)
	if reply.StatusCode != http.StatusSeeOther || reply.Header.Get("Location") != target {
		t.Fatalf("sign-in answered %s to %q, want %q", reply.Status, reply.Header.Get("Location"), target)
	}
	cookie := setCookie(t, reply, "_pomerium")
	for _, want := range []string{"Domain=." + kit.Domain, "HttpOnly", "SameSite=Lax", "Max-Age=28800", "Path=/"} {
		if !strings.Contains(strings.ToLower(cookie), strings.ToLower(want)) {
			t.Errorf("the session cookie %q lacks %s", cookie, want)
		}
	}
	stolen := p.Session()
	if reply := p.Get(t, target); reply.StatusCode != http.StatusOK {
		t.Fatalf("after signing in the portal answered %s", reply.Status)
	}
	page := p.Get(t, d.Origin("gate")+"/oauth2/sign_out")
	if again := p.Get(t, target); page.StatusCode != http.StatusOK || again.StatusCode != http.StatusOK {
		t.Fatalf("merely looking at the sign-out page (%s) ended the session: %s", page.Status, again.Status)
	}
	form := url.Values{"csrf": {csrfOf(t, page)}}
	p.Do(t, "POST", d.Origin("gate")+"/oauth2/sign_out", strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded", "Origin", d.Origin("gate"), "Accept", "text/html", "Sec-Fetch-Mode", "navigate")
	if reply := p.Get(t, target); reply.StatusCode != http.StatusFound {
		t.Errorf("after signing out the portal answered %s", reply.Status)
	}
	if reply := d.Stranger(t).Get(t, target, "Cookie", "_pomerium="+stolen); reply.StatusCode != http.StatusFound {
		t.Errorf("the cookie of an ended session still opens the portal: %s", reply.Status)
	}
}

func TestAnUnsafeRequestByCookieNeedsItsOrigin(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised"})
	p := d.SignedIn(t, "admin")
	target := d.Origin("api.portal") + "/api/things"
	for origin, want := range map[string]int{"": 403, d.Origin("workspace.portal"): 403, "http://evil.example": 403, "null": 403, d.Origin("api.portal"): 200, d.Origin("portal"): 200} {
		headers := []string{"Accept", "application/json"}
		if origin != "" {
			headers = append(headers, "Origin", origin)
		}
		if reply := p.Do(t, "POST", target, nil, headers...); reply.StatusCode != want {
			t.Errorf("a POST from %q got %s, want %d", origin, reply.Status, want)
		}
	}
}

func TestTheSecondRunKeepsUsersAndSessions(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	d := kit.StartDemo(t, kit.DemoOptions{State: state, Policy: "raised"})
	cookie := d.SignedIn(t, "user").Session()
	passwords := d.Passwords
	db, err := os.ReadFile(filepath.Join(state, "gate.db"))
	if err != nil {
		t.Fatal(err)
	}
	for email, p := range passwords {
		if strings.Contains(string(db), p) {
			t.Errorf("the database holds the password of %s", email)
		}
	}
	d.Stop(t)
	d = kit.StartDemo(t, kit.DemoOptions{State: state, Policy: "raised"})
	if len(d.Passwords) != 0 || !strings.Contains(d.Output(), "passwords unchanged") {
		t.Errorf("the second run printed\n%s", d.Output())
	}
	d.Passwords = passwords
	d.SignedIn(t, "admin")
	if reply := d.Stranger(t).Get(t, d.Origin("portal")+"/", "Cookie", "_pomerium="+cookie); reply.StatusCode != http.StatusOK {
		t.Errorf("a session of the first run is answered %s", reply.Status)
	}
}

func TestOperatorsCreateAndRevokeSessions(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised"})
	p := d.SignedIn(t, "user")
	if out := d.Run(t, "session", "list"); !strings.Contains(out, "user@neosc.localhost") {
		t.Errorf("gate session list says\n%s", out)
	}
	d.Run(t, "session", "revoke", "-email", "user@neosc.localhost")
	within(t, 20*time.Second, "the revoked session is refused", func() bool {
		return p.Get(t, d.Origin("portal")+"/").StatusCode == http.StatusFound
	})
}

func TestTooManyRequestsAreToldWhenToComeBack(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{})
	p := d.SignedIn(t, "user")
	// Eight at once: on a slow machine a row of requests stays below the rate,
	// and hundreds at once are answered 503 for want of time, which costs nothing.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	refused := make(chan *kit.Reply, 8)
	statuses := [600]atomic.Int64{}
	var askers sync.WaitGroup
	for range cap(refused) {
		askers.Go(func() {
			for ctx.Err() == nil {
				reply := p.Do(t, "GET", d.Origin("portal")+"/", nil, "Accept", "application/json")
				statuses[reply.StatusCode].Add(1)
				if reply.StatusCode == http.StatusTooManyRequests {
					refused <- reply
					return
				}
			}
		})
	}
	var reply *kit.Reply
	select {
	case reply = <-refused:
	case <-ctx.Done():
	}
	cancel()
	askers.Wait()
	if reply == nil {
		t.Fatalf("a minute of requests met no limit of 10/s with burst 20: %d × 200, %d × 503",
			statuses[http.StatusOK].Load(), statuses[http.StatusServiceUnavailable].Load())
	}
	if reply.Header.Get("Retry-After") != "1" || reply.Header.Get("Ratelimit") == "" || reply.Header.Get("Ratelimit-Policy") == "" {
		t.Errorf("429 with headers %v", reply.Header)
	}
	page := p.Get(t, d.Origin("portal")+"/")
	if page.StatusCode == http.StatusTooManyRequests && !strings.Contains(page.Header.Get("Content-Type"), "text/html") {
		t.Errorf("a person got %v", page.Header)
	}
}

// within waits for a condition that another process brings about.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func setCookie(t *testing.T, reply *kit.Reply, name string) string {
	t.Helper()
	for _, c := range reply.Header.Values("Set-Cookie") {
		if strings.HasPrefix(c, name+"=") && !strings.HasPrefix(c, name+"=;") {
			return c
		}
	}
	t.Fatalf("no cookie %s is set: %v", name, reply.Header.Values("Set-Cookie"))
	return ""
}

func csrfOf(t *testing.T, page *kit.Reply) string {
	t.Helper()
	_, rest, ok := strings.Cut(page.Text, `name="csrf" value="`)
	if !ok {
		t.Fatalf("the page has no form token: %s\n%s", page.Status, page.Text)
	}
	token, _, _ := strings.Cut(rest, `"`)
	return token
}
