package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// swap is a demo whose policy folder is edited while it runs.
type swap struct {
	t   *testing.T
	d   *kit.Demo
	dir string
}

// edit replaces the one occurrence of old in a policy file, as an editor does:
// a new file in the place of the old.
func (s *swap) edit(name, old, text string) {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	b, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if n := strings.Count(string(b), old); n != 1 {
		s.t.Fatalf("%s has %d times %q, want once", name, n, old)
	}
	tmp := filepath.Join(s.dir, "."+filepath.Base(name))
	if err := os.WriteFile(tmp, []byte(strings.Replace(string(b), old, text, 1)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(tmp, file); err != nil {
		s.t.Fatal(err)
	}
}

// verdict asks as a program and returns the status and the reasons of a refusal.
func (s *swap) verdict(p *kit.Person, host string) string {
	s.t.Helper()
	reply := p.Do(s.t, "GET", s.d.Origin(host)+"/", nil, "Accept", "application/json", "X-Requested-With", "XMLHttpRequest")
	var x struct{ Reasons []string }
	if reply.StatusCode >= 400 {
		if err := json.Unmarshal([]byte(reply.Text), &x); err != nil {
			s.t.Fatalf("%s: %v\n%s", reply.Status, err, reply.Text)
		}
	}
	return strings.TrimSpace(reply.Status[:3] + " " + strings.Join(x.Reasons, ","))
}

// becomes waits until a verdict is what a change asked for.
func (s *swap) becomes(p *kit.Person, host, want string) {
	s.t.Helper()
	got := ""
	end := time.Now().Add(30 * time.Second)
	for ; time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got = s.verdict(p, host); got == want {
			return
		}
	}
	s.t.Fatalf("%s is still answered %q, want %q\n%s", host, got, want, s.d.Output())
}

func TestARunningGateFollowsItsPolicyFolder(t *testing.T) {
	t.Parallel()
	s := &swap{t: t, dir: filepath.Join(t.TempDir(), "policies")}
	if err := kit.WritePolicies(s.dir); err != nil {
		t.Fatal(err)
	}
	s.d = kit.StartDemo(t, kit.DemoOptions{Policy: s.dir})
	pid := s.d.PID()
	user, neosc := s.d.SignedIn(t, "user"), s.d.SignedIn(t, "neosc")
	s.becomes(user, "admin.portal", "403 role_required")
	s.becomes(user, "portal", "200")

	// Roles are data.
	s.edit("data.yaml", "    admin:\n      roles:\n        admin: all\n", "    admin:\n      roles:\n        admin: all\n        user: read\n")
	s.becomes(user, "admin.portal", "200")
	if got := s.verdict(neosc, "admin.portal"); got != "403 role_required" {
		t.Errorf("neosc is answered %q: the change was for user alone", got)
	}

	// One rule is Rego: the portal asks for hours from now on, and they are
	// always; then the hours, which are data, become never.
	s.edit("data.yaml", "    from: [8, 0, 0]\n    until: [20, 0, 0]", "    from: [0, 0, 0]\n    until: [24, 0, 0]")
	s.edit("data.yaml", "      Friday: true\n", "      Friday: true\n      Saturday: true\n      Sunday: true\n")
	s.edit("lib/hours.rego", "\tinput.route.policy.business_hours\n", "\tinput.route.name == \"portal\"\n")
	s.edit("data.yaml", "until: [24, 0, 0]", "until: [0, 0, 0]")
	s.becomes(user, "portal", "403 outside_business_hours")
	if got := s.verdict(neosc, "api.portal"); got != "200" {
		t.Errorf("the API, which asks for no hours, is answered %q", got)
	}
	s.switched(user)
	s.remembered()
	s.edit("data.yaml", "exempt_roles: []", "exempt_roles: [neosc]")
	s.becomes(neosc, "portal", "200")
	s.becomes(user, "portal", "403 outside_business_hours")

	// A reason is Rego too.
	s.edit("authz.rego", `access_denial := "role_required" if {`, `access_denial := "not_your_desk" if {`)
	s.becomes(neosc, "admin.portal", "403 not_your_desk")

	s.broken(neosc)
	if s.d.PID() != pid {
		t.Error("the gate was restarted")
	}
}

// revised waits until the gate's policy is in force and nothing is amiss, or,
// with words, until they are what is amiss.
func (s *swap) revised(amiss string) {
	s.t.Helper()
	ops := s.d.Ops(s.t)
	within(s.t, 30*time.Second, "the policy's state is "+amiss, func() bool {
		status, r := kit.Readyz(s.t, ops)
		ready, detail := r.Part("policy")
		if status != http.StatusOK || !r.Ready || !ready {
			s.t.Fatalf("/readyz answers %d %+v though a policy serves", status, r)
		}
		if amiss == "" {
			return detail == ""
		}
		return strings.Contains(detail, amiss)
	})
}

// broken shows that what does not compile, or may do what no policy may, is
// refused with its place, while the policy before goes on.
func (s *swap) broken(neosc *kit.Person) {
	t := s.t
	t.Helper()
	for _, c := range []struct{ file, old, text, amiss string }{
		{"authz.rego", "permitted if {\n\tidentity.user", "permitted if {{\n\tidentity.user", "authz.rego:"},
		{"lib/hours.rego", "exempt if {\n", "exempt if {\n\thttp.send({\"method\": \"GET\", \"url\": \"http://127.0.0.1/\"})\n", "http.send"},
		{"authz.rego", "permitted if {\n\tidentity.user", "permitted if {\n\tinput.attributes.request.http.headers[\"x-not-forwarded\"]\n\tidentity.user", "x-not-forwarded"},
		{"data.yaml", "neosc:\n", "neosc: [\n", "data.yaml"},
	} {
		s.edit(c.file, c.old, c.text)
		s.revised(c.amiss)
		if got := s.verdict(neosc, "admin.portal"); got != "403 not_your_desk" {
			t.Errorf("under a broken %s the answer is %q, want the old policy's", c.file, got)
		}
		if v := kit.Value(kit.Metrics(t, s.d.Ops(t))["pomerium_policy_last_activation_success"]); v != 0 {
			t.Errorf("pomerium_policy_last_activation_success is %v under a broken %s", v, c.file)
		}
		s.edit(c.file, c.text, c.old)
		s.revised("")
	}
	if v := kit.Value(kit.Metrics(t, s.d.Ops(t))["pomerium_policy_last_activation_success"]); v != 1 {
		t.Errorf("pomerium_policy_last_activation_success is %v after the mend", v)
	}
}
