package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/test/kit"
)

// workspaces has people of all roles do all that there is to do with workspaces,
// and somebody who has come past the edge try the same.
func workspaces(t *testing.T, d *kit.Demo, signer *assertion.Signer, base string) {
	t.Helper()
	people := map[string]*kit.Person{}
	for _, role := range []string{"admin", "neosc", "user", "demo"} {
		people[role] = d.SignedIn(t, role)
	}
	for _, c := range []struct {
		who, method, path, body, want string
	}{
		{"user", "POST", "", `{"name":"Mine"}`, "403 read_only"},
		{"neosc", "POST", "", `{"name":"Mine"}`, "403 role_required"},
		{"neosc", "PUT", "/1", `{"name":"Mine"}`, "403 role_required"},
		{"neosc", "DELETE", "/1", "", "403 role_required"},
		{"neosc", "POST", "/reset", "", "403 role_required"},
		{"neosc", "DELETE", "/1;x", "", "403 role_required"},
		{"admin", "POST", "", `{"name":"Debian","type":"linux"}`, "201"},
		{"admin", "PUT", "/3", `{"name":"Debian 13","type":"linux"}`, "200 Debian 13"},
		{"user", "POST", "/3/launch", "", "200 running"},
		{"neosc", "POST", "/3/launch", "", "409 somebody else"},
		{"neosc", "POST", "/3/stop", "", "403 somebody else"},
		{"demo", "POST", "/3/stop", "", "403 role_required"},
		{"user", "POST", "/3/disconnect", "", `200 "session": ""`},
		{"user", "POST", "/3/stop", "", "200 stopped"},
		{"neosc", "GET", "", "", "200 Debian 13"},
		{"admin", "DELETE", "/3", "", "204"},
		{"admin", "POST", "/reset", "", "200 Ubuntu"},
	} {
		reply := people[c.who].Do(t, c.method, d.Origin("api.portal")+"/api/workspaces"+c.path, strings.NewReader(c.body),
			"Accept", "application/json", "Content-Type", "application/json", "Origin", d.Origin("portal"))
		status, text, _ := strings.Cut(c.want, " ")
		if !strings.HasPrefix(reply.Status, status) || !strings.Contains(reply.Text, text) {
			t.Errorf("%s: %s %s: %s, want %s\n%s", c.who, c.method, c.path, reply.Status, c.want, reply.Text)
		}
	}
	workspacesTold(t, d)
	switchesByAPI(t, d, people["admin"], people["user"])
	// Past the edge: the backend takes nobody's word for being an administrator.
	past := func(role string) []string {
		x := &session.Session{Key: session.NewID().Key(), ExpiresAt: time.Now().Add(time.Hour), IdleExpiresAt: time.Now().Add(time.Hour),
			Identity: session.Identity{UserID: "u-test", Email: "test@" + kit.Domain, EmailVerified: true, Roles: []string{role}}}
		token, err := signer.Assertion(x, "api.portal."+kit.Domain, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return []string{assertionHeader, token, "X-Pomerium-Email", "ceo@company.com", "X-Pomerium-User", "u-1", "X-Pomerium-Groups", "admin"}
	}
	for role, want := range map[string]int{"neosc": 403, "admin": 200} {
		if got := resetPast(t, base, past(role)...); got != want {
			t.Errorf("past the edge %s is answered %d, want %d", role, got, want)
		}
	}
	if got := resetPast(t, base, past("admin")[2:]...); got != 401 {
		t.Errorf("plain headers make an administrator: %d", got)
	}
}

// resetPast asks the backend itself to set its workspaces back.
func resetPast(t *testing.T, base string, headers ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/workspaces/reset", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "api.portal." + kit.Domain
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// workspacesTold shows that the trail tells of what people did, and by what names.
func workspacesTold(t *testing.T, d *kit.Demo) {
	t.Helper()
	want := []string{"create_workspace", "update_workspace 3", "launch_workspace 3", "launch_workspace 3", "stop_workspace 3", "disconnect_session 3", "stop_workspace 3", "delete_workspace 3", "reset_workspaces"}
	var got []string
	within(t, 30*time.Second, "the trail tells of what people did", func() bool {
		var entries []session.AuditEntry
		if err := json.Unmarshal([]byte(d.Run(t, "audit", "list", "-limit", "1000", "-json")), &entries); err != nil {
			t.Fatal(err)
		}
		got = nil
		for i := len(entries) - 1; i >= 0; i-- {
			e := entries[i]
			if strings.Contains(string(e.Action), "workspace") || e.Action == "disconnect_session" {
				got = append(got, strings.TrimSpace(string(e.Action)+" "+e.Details["workspace"]))
				if e.User.Email == "" || e.Details["route"] != "api" {
					t.Fatalf("an entry names nobody, or no route: %+v", e)
				}
			}
		}
		return len(got) >= len(want)
	})
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("the trail tells of\n%s, want\n%s", strings.Join(got, ", "), strings.Join(want, ", "))
	}
}
