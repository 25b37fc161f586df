package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/neosc/gate/test/kit"
)

// told is what the demo's backend says it was told.
type told struct {
	Path    string
	Headers map[string][]string
}

func ask(t *testing.T, p *kit.Person, target string, headers ...string) (*kit.Reply, told) {
	t.Helper()
	reply := p.Do(t, "GET", target, nil, append([]string{"Accept", "application/json"}, headers...)...)
	var x told
	if reply.StatusCode == http.StatusOK {
		if err := json.Unmarshal([]byte(reply.Text), &x); err != nil {
			t.Fatalf("%v\n%s", err, reply.Text)
		}
	}
	return reply, x
}

func TestUpstreamsAreToldWhoAsksAndSeeNoCredential(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised"})
	p := d.SignedIn(t, "neosc")
	reply, x := ask(t, p, d.Origin("api.portal")+"/api/whoami", "Cookie", "theme=dark")
	if reply.StatusCode != http.StatusOK {
		t.Fatalf("%s\n%s", reply.Status, reply.Text)
	}
	for name, want := range map[string]string{"X-Pomerium-Email": "neosc@neosc.localhost", "X-Pomerium-Groups": "neosc"} {
		if got := strings.Join(x.Headers[name], "|"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if len(x.Headers["X-Pomerium-User"]) != 1 {
		t.Errorf("X-Pomerium-User is %v, want one id", x.Headers["X-Pomerium-User"])
	}
	if got := strings.Join(x.Headers["Cookie"], "|"); strings.Contains(got, "_pomerium") || !strings.Contains(got, "theme") {
		t.Errorf("the upstream got cookies %q, want theme alone", got)
	}
	if x.Headers["Authorization"] != nil {
		t.Errorf("the upstream got Authorization %v", x.Headers["Authorization"])
	}
}

func TestSpoofedIdentityNeverArrives(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised"})
	p := d.SignedIn(t, "neosc")
	_, x := ask(t, p, d.Origin("api.portal")+"/api/whoami",
		"X-Pomerium-Email", "ceo@company.com", "x-pomerium-email", "second@company.com", "X-Pomerium-Claim-Admin", "yes",
		"X-Pomerium-Groups", "admin", "X-Session-ID", "stolen", "X-User-Email", "ceo@company.com", "X-Workspace-Type", "windows",
		"X-Forwarded-Host", "evil.example", "X-Original-URL", "/admin", "X-Envoy-Original-Path", "/admin")
	for name, values := range x.Headers {
		if joined := strings.Join(values, "|"); strings.Contains(joined, "company.com") || strings.Contains(joined, "stolen") ||
			strings.Contains(joined, "evil.example") || strings.Contains(joined, "windows") || strings.EqualFold(name, "x-pomerium-claim-admin") || strings.EqualFold(name, "x-original-url") {
			t.Errorf("%s: %s reached the upstream", name, joined)
		}
	}
	if got := strings.Join(x.Headers["X-Pomerium-Email"], "|"); got != "neosc@neosc.localhost" {
		t.Errorf("X-Pomerium-Email is %q", got)
	}
	reply, _ := ask(t, p, d.Origin("api.portal")+"/api/whoami", "X_Pomerium_Email", "ceo@company.com")
	if reply.StatusCode != http.StatusBadRequest {
		t.Errorf("an underscore spelling got %s, want 400", reply.Status)
	}
}

func TestWorkspacesAreToldTheDemoSession(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised"})
	p := d.SignedIn(t, "demo")
	reply := p.Get(t, d.Origin("workspace.portal")+"/")
	if reply.StatusCode != http.StatusOK || !strings.Contains(reply.Text, "demo-") || !strings.Contains(reply.Text, "demo@neosc.localhost") || !strings.Contains(reply.Text, "linux") {
		t.Errorf("%s\n%s", reply.Status, reply.Text)
	}
}
