package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// logLine is what both logs say of a request, in the names that are promised.
type logLine struct {
	Level, Timestamp, Method, Path, Host string
	User, Email, Decision, Reason        string
	RequestID                            string `json:"request_id"`
	Route, Session                       string
	PolicyRevision                       string  `json:"policy_revision"`
	ClientIP                             string  `json:"client_ip"`
	DurationMS                           float64 `json:"duration_ms"`
	Status                               int
}

// promised are the fields of every line of either log.
var promised = []string{"level", "timestamp", "user", "email", "method", "path", "host", "decision", "reason", "duration_ms", "status",
	"request_id", "route", "session", "policy_revision", "client_ip"}

// parseLog reads a log into its lines by path, wanting one a request.
func parseLog(t *testing.T, name string, lines []string) map[string]logLine {
	t.Helper()
	out := map[string]logLine{}
	for _, text := range lines {
		var fields map[string]any
		if err := json.Unmarshal([]byte(text), &fields); err != nil {
			t.Fatalf("%s: %v in %s", name, err, text)
		}
		for _, f := range promised {
			if _, ok := fields[f]; !ok {
				t.Fatalf("%s: a line lacks %s: %s", name, f, text)
			}
		}
		var l logLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v in %s", name, err, text)
		}
		if at, err := time.Parse(time.RFC3339, l.Timestamp); err != nil || time.Since(at) > time.Hour || l.DurationMS < 0 {
			t.Errorf("%s: timestamp or duration is off (%v): %s", name, err, text)
		}
		if l.Method == "" && l.Status == http.StatusBadRequest {
			continue // refused before there was a request
		}
		if l.RequestID == "" || l.ClientIP != "127.0.0.1" {
			t.Errorf("%s: no request id or wrong client: %s", name, text)
		}
		if strings.HasPrefix(l.Path, "/log/") {
			if before, twice := out[l.Path]; twice {
				t.Errorf("%s: two lines for %s: %+v and %s", name, l.Path, before, text)
			}
			out[l.Path] = l
		}
	}
	return out
}

func TestOneLineARequestInBothLogs(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{})
	neosc, stranger := d.SignedIn(t, "neosc"), d.Stranger(t)
	const secret = "s3cr3t-of-the-query"
	program := []string{"Accept", "application/json", "X-Requested-With", "XMLHttpRequest"}
	type want struct {
		host, method, decision, reason, email string
		status                                int
		checked                               bool
	}
	wants := map[string]want{}
	ask := func(p *kit.Person, method, host string, w want, headers ...string) {
		t.Helper()
		path := fmt.Sprintf("/log/%d", len(wants)+1)
		reply := p.Do(t, method, d.Origin(host)+path+"?token="+secret+"&rd=%2Fx", nil, headers...)
		w.host, w.method = host+"."+kit.Domain, method
		if wants[path] = w; reply.StatusCode != w.status {
			t.Errorf("%s %s at %s answered %s, want %d", method, path, host, reply.Status, w.status)
		}
	}
	me := "neosc@" + kit.Domain
	ask(neosc, "GET", "portal", want{status: 200, decision: "allow", reason: "matched_policy", email: me, checked: true})
	ask(neosc, "POST", "api.portal", want{status: 200, decision: "allow", reason: "matched_policy", email: me, checked: true}, "Origin", d.Origin("api.portal"))
	ask(neosc, "GET", "admin.portal", want{status: 403, decision: "deny", reason: "role_required", email: me, checked: true}, program...)
	ask(neosc, "GET", "admin.portal", want{status: 403, decision: "deny", reason: "role_required", email: me, checked: true}, "Accept", "text/html", "Sec-Fetch-Mode", "navigate")
	ask(neosc, "POST", "portal", want{status: 403, decision: "deny", reason: "origin_mismatch", email: me, checked: true}, "Origin", "https://evil.example")
	ask(stranger, "GET", "portal", want{status: 302, decision: "deny", reason: "unauthenticated", checked: true}, "Accept", "text/html", "Sec-Fetch-Mode", "navigate")
	ask(stranger, "GET", "api.portal", want{status: 401, decision: "deny", reason: "unauthenticated", checked: true}, program...)
	ask(stranger, "GET", "api.portal", want{status: 401, decision: "deny", reason: "invalid_token", checked: true}, "Authorization", "Bearer "+secret)
	// Answered by Envoy alone: a preflight, and an underscore in a header's name.
	ask(stranger, "OPTIONS", "api.portal", want{status: 200}, "Origin", d.Origin("portal"), "Access-Control-Request-Method", "GET")
	ask(neosc, "GET", "portal", want{status: 400}, "X_Secret", secret)
	reply := neosc.Do(t, "GET", d.Origin("portal")+"/", nil, "Cookie", "other="+secret)
	if reply.StatusCode != http.StatusOK {
		t.Fatal(reply.Status)
	}
	cookie := neosc.Session()
	d.Stop(t) // both logs are whole

	edgeText, gateText := d.EdgeLog(t), d.AccessLog(t)
	edge, gate := parseLog(t, "edge.log", edgeText), parseLog(t, "access.log", gateText)
	for path, w := range wants {
		e, ok := edge[path]
		if !ok && w.status == 400 {
			continue
		}
		if !ok || e.Host != w.host && !strings.HasPrefix(e.Host, w.host+":") || e.Method != w.method || e.Status != w.status ||
			e.Decision != w.decision || e.Reason != w.reason || e.Email != w.email {
			t.Errorf("edge.log says of %s\n %+v, want\n %+v", path, e, w)
		}
		g, asked := gate[path]
		if asked != w.checked {
			t.Errorf("access.log has %s: %v, want %v", path, asked, w.checked)
		}
		if !asked {
			continue
		}
		if g.RequestID != e.RequestID || g.Decision != e.Decision || g.Reason != e.Reason || g.User != e.User || g.Email != e.Email ||
			g.Session != e.Session || g.Route != e.Route || g.PolicyRevision != e.PolicyRevision || g.Method != e.Method {
			t.Errorf("the logs differ about %s\n edge %+v\n gate %+v", path, e, g)
		}
		if w.email != "" && (g.User == "" || g.Session == "") || (w.reason == "matched_policy" || w.reason == "role_required") && g.PolicyRevision == "" {
			t.Errorf("access.log lacks who or by which policy: %+v", g)
		}
	}
	noSecrets(t, append(edgeText, gateText...), secret, cookie, d.Passwords)
	whole := d.Output()
	for _, password := range d.Passwords {
		whole = strings.ReplaceAll(whole, password, "") // shown once, on purpose
	}
	noSecrets(t, []string{whole}, secret, cookie, nil)
}

var tokenish = regexp.MustCompile(`v1\.[A-Za-z0-9_-]{4,}\.|(?i)set-cookie|_pomerium=|bearer |\?`)

// noSecrets wants none of the secrets in any line, whole or in part.
func noSecrets(t *testing.T, lines []string, secret, cookie string, passwords map[string]string) {
	t.Helper()
	for _, l := range lines {
		if strings.Contains(l, secret) || strings.Contains(l, cookie) || strings.Contains(l, cookie[len(cookie)-24:]) {
			t.Errorf("a query string, a token or a cookie is in %s", l)
		}
		for _, p := range passwords {
			if strings.Contains(l, p) {
				t.Errorf("a password is in %s", l)
			}
		}
		if m := tokenish.FindString(l); m != "" {
			t.Errorf("%q is in %s", m, l)
		}
	}
}

func TestPreflightsAreEnvoysAndFakesAreChecked(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{})
	p := d.Stranger(t)
	target := d.Origin("api.portal") + "/api/things"
	program := []string{"Accept", "application/json", "X-Requested-With", "XMLHttpRequest"}
	reply := p.Do(t, "OPTIONS", target, nil, "Origin", d.Origin("portal"), "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "content-type")
	for name, want := range map[string]string{"Access-Control-Allow-Origin": d.Origin("portal"), "Access-Control-Allow-Credentials": "true", "Access-Control-Max-Age": "600"} {
		if got := reply.Header.Get(name); got != want {
			t.Errorf("the preflight's %s is %q, want %q", name, got, want)
		}
	}
	if reply.StatusCode != http.StatusOK || !strings.Contains(reply.Header.Get("Access-Control-Allow-Methods"), "PUT") || strings.Contains(reply.Text, "identity") {
		t.Errorf("the preflight got %s %v\n%s", reply.Status, reply.Header, reply.Text)
	}
	for name, headers := range map[string][]string{
		"ForeignOrigin":   {"Origin", "https://evil.example", "Access-Control-Request-Method", "PUT"},
		"SiblingOrigin":   {"Origin", d.Origin("workspace.portal"), "Access-Control-Request-Method", "PUT"},
		"OriginWithSlash": {"Origin", d.Origin("portal") + "/", "Access-Control-Request-Method", "PUT"},
		"NullOrigin":      {"Origin", "null", "Access-Control-Request-Method", "PUT"},
		"NoMethodAsked":   {"Origin", d.Origin("portal")},
		"NoOrigin":        {"Access-Control-Request-Method", "PUT"},
	} {
		reply := p.Do(t, "OPTIONS", target, nil, append(program, headers...)...)
		if reply.StatusCode != http.StatusUnauthorized || (name != "NoMethodAsked" && reply.Header.Get("Access-Control-Allow-Origin") != "") {
			t.Errorf("%s: a stranger's fake preflight got %s %v, want 401", name, reply.Status, reply.Header)
		}
	}
	// The answer of an allowed request carries CORS too, and so does a refusal:
	// the portal's script must be able to read why.
	neosc := d.SignedIn(t, "neosc")
	for host, want := range map[string]string{"portal": d.Origin("portal"), "workspace.portal": ""} {
		reply := neosc.Do(t, "GET", target, nil, "Origin", d.Origin(host), "Accept", "application/json")
		if got := reply.Header.Get("Access-Control-Allow-Origin"); reply.StatusCode != http.StatusOK || got != want {
			t.Errorf("a GET from %s got %s with Access-Control-Allow-Origin %q, want 200 and %q", host, reply.Status, got, want)
		}
	}
	reply = p.Do(t, "GET", target, nil, append(program, "Origin", d.Origin("portal"))...)
	if reply.StatusCode != http.StatusUnauthorized || reply.Header.Get("Access-Control-Allow-Origin") != d.Origin("portal") {
		t.Errorf("a refusal to the portal's script got %s %v", reply.Status, reply.Header)
	}
}
