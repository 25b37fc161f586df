package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/neosc/gate/test/kit"
)

var methods = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}

// opens says what each of the demo's people may do where: the methods, in the
// words of the table of rules ("all", "read", "").
var opens = map[string]map[string]string{
	"admin":  {"portal": "all", "api.portal": "all", "admin.portal": "all", "workspace.portal": "all"},
	"neosc":  {"portal": "all", "api.portal": "all", "admin.portal": "", "workspace.portal": "all"},
	"neosc2": {"portal": "all", "api.portal": "all", "admin.portal": "", "workspace.portal": ""}, // no demo session
	"user":   {"portal": "all", "api.portal": "read", "admin.portal": "", "workspace.portal": ""},
	"demo":   {"portal": "", "api.portal": "", "admin.portal": "", "workspace.portal": "all"},
}

// reasons are why the gate refuses, by person and host, where it is not simply
// the role.
var reasons = map[string]string{"neosc2 workspace.portal": "demo_required", "user api.portal": "read_only"}

// TestRolesHostsAndMethods asks the running demo for every cell of the table:
// one sign-in a person opens or refuses every host.
func TestRolesHostsAndMethods(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised"})
	for name, hosts := range opens {
		p := d.SignedIn(t, name)
		for host, class := range hosts {
			for _, method := range methods {
				t.Run(strings.Join([]string{name, host, method}, "_"), func(t *testing.T) {
					want := class == "all" || class == "read" && (method == "GET" || method == "HEAD" || method == "OPTIONS")
					reply := p.Do(t, method, d.Origin(host)+"/some/page", nil, "Origin", d.Origin(host), "Accept", "application/json")
					if got := reply.StatusCode < 400; got != want {
						t.Fatalf("answered %s, want allowed=%v\n%s", reply.Status, want, reply.Text)
					}
					if want || method == "HEAD" {
						return
					}
					refusedFor(t, reply, name, host)
				})
			}
		}
	}
}

// refusedFor checks the problem document of a refusal.
func refusedFor(t *testing.T, reply *kit.Reply, name, host string) {
	t.Helper()
	var p struct {
		Status    int
		Reasons   []string
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(reply.Text), &p); err != nil {
		t.Fatalf("the refusal is no problem document: %v\n%s", err, reply.Text)
	}
	want := reasons[name+" "+host]
	if want == "" {
		want = "role_required"
	}
	if reply.StatusCode != http.StatusForbidden || p.Status != 403 || p.RequestID == "" || !strings.Contains(strings.Join(p.Reasons, ","), want) {
		t.Errorf("refused with %s %+v, want 403 and %s", reply.Status, p, want)
	}
}

func TestAStrangerIsSentToSignInOrToldSo(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{})
	p := d.Stranger(t)
	for _, host := range []string{"portal", "api.portal", "admin.portal", "workspace.portal"} {
		reply := p.Get(t, d.Origin(host)+"/a?b=c")
		want := d.Origin("gate") + "/oauth2/sign_in?rd=" + "http%3A%2F%2F" + host + ".neosc.localhost%3A"
		if reply.StatusCode != http.StatusFound || !strings.HasPrefix(reply.Header.Get("Location"), want) {
			t.Errorf("%s: a navigation got %s to %q, want a redirect to %s…", host, reply.Status, reply.Header.Get("Location"), want)
		}
		reply = p.Do(t, "GET", d.Origin(host)+"/a", nil, "Accept", "application/json", "X-Requested-With", "XMLHttpRequest")
		if reply.StatusCode != http.StatusUnauthorized || reply.Header.Get("Www-Authenticate") == "" || reply.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: a program got %s %v", host, reply.Status, reply.Header)
		}
	}
}
