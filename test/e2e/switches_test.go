package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// switched turns a switch from the command line on a portal that its hours keep
// closed, also while the policy folder holds what is refused.
func (s *swap) switched(user *kit.Person) {
	s.t.Helper()
	t := s.t
	expect := func(got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
	at := func(want string) {
		t.Helper()
		// In force when the command returns: nothing is waited for.
		if got := s.verdict(user, "portal"); got != want {
			t.Errorf("the portal is answered %q, want %q", got, want)
		}
	}
	before := s.d.Run(t, "policy", "switches", "list")
	expect(before, "business_hours")
	expect(s.d.Run(t, "policy", "switches", "set", "business_hours", "off"), "business_hours is false now")
	at("200")
	list := s.d.Run(t, "policy", "switches", "list")
	expect(list, "false *")
	if lastLine(list) == lastLine(before) {
		t.Errorf("policy and generation are still %s", lastLine(list))
	}
	for _, args := range [][]string{{"-roles", "user", "-url", s.d.Origin("portal") + "/"}, {"-request-id", s.asked(user)}} {
		told := s.d.Run(t, append([]string{"explain"}, args...)...)
		expect(told, "Allowed, matched_policy")
		expect(told, "business_hours = false")
	}
	expect(s.d.Run(t, "policy", "switches", "reset", "business_hours"), "business_hours is true now")
	at("403 outside_business_hours")

	s.edit("lib/hours.rego", "exempt if {\n", "exempt if {{\n")
	s.revised("hours.rego")
	s.d.Run(t, "policy", "switches", "set", "business_hours", "off")
	at("200")
	s.d.Run(t, "policy", "switches", "reset", "business_hours")
	at("403 outside_business_hours")
	s.edit("lib/hours.rego", "exempt if {{\n", "exempt if {\n")
	s.revised("")
	expect(s.d.Run(t, "audit", "list", "-action", "policy_switched"), "policy_switched")
}

// asked is the id of a request for the portal.
func (s *swap) asked(p *kit.Person) string {
	s.t.Helper()
	return p.Do(s.t, "GET", s.d.Origin("portal")+"/", nil, "Accept", "application/json").Header.Get("X-Request-Id")
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// remembered shows that what is set outlives the folder's own default being
// changed, and that a switch which the policy forgets does nothing.
func (s *swap) remembered() {
	s.t.Helper()
	t := s.t
	s.d.Run(t, "policy", "switches", "set", "user_burst", "7")
	s.edit("data.yaml", "    user_burst:\n", "    user_bursts:\n")
	s.revised("switch_info.user_burst")
	s.edit("data.yaml", "    user_bursts:\n", "    user_burst:\n")
	s.revised("")
	if list := s.d.Run(t, "policy", "switches", "list"); !strings.Contains(list, "7 *") {
		t.Errorf("user_burst is no longer 7:\n%s", list)
	}
	s.d.Run(t, "policy", "switches", "reset", "user_burst")
}

// switchesByAPI turns a switch by the API and sees it on the page.
func switchesByAPI(t *testing.T, d *kit.Demo, admin, user *kit.Person) {
	t.Helper()
	turn := func(p *kit.Person, origin, body string) *kit.Reply {
		return p.Do(t, "PUT", d.Origin("api.portal")+"/api/policy/switches/address_burst", strings.NewReader(body),
			"Accept", "application/json", "Content-Type", "application/json", "Origin", origin)
	}
	for _, c := range []struct {
		p            *kit.Person
		origin, body string
		want         int
	}{
		{user, d.Origin("portal"), `{"value": 77, "version": 0}`, 403},
		{admin, "http://evil.example", `{"value": 77, "version": 0}`, 403},
		{admin, d.Origin("portal"), `{"value": 0, "version": 0}`, 422},
		{admin, d.Origin("portal"), `{"value": 77, "version": 0}`, 200},
		{admin, d.Origin("portal"), `{"value": 78, "version": 0}`, 409},
	} {
		if reply := turn(c.p, c.origin, c.body); reply.StatusCode != c.want {
			t.Errorf("%s from %s: %s, want %d\n%s", c.body, c.origin, reply.Status, c.want, reply.Text)
		}
	}
	if reply := user.Get(t, d.Origin("gate")+"/admin/switches"); reply.StatusCode != 403 {
		t.Errorf("the page answers a user %s", reply.Status)
	}
	page := admin.Get(t, d.Origin("gate")+"/admin/switches")
	for _, want := range []string{`value="77"`, "admin@" + kit.Domain, `name="reset"`} {
		if page.StatusCode != 200 || !strings.Contains(page.Text, want) {
			t.Errorf("the page answers %s and lacks %q\n%s", page.Status, want, page.Text)
		}
	}
}

// sharedSwitches shows that what is set on one gate is in force on another of
// the same store soon, of itself, and that each can set back what the other has
// set. How soon is held where no gate has the race detector in it.
func sharedSwitches(t *testing.T, a, b *kit.Edge) {
	t.Helper()
	list := func(e *kit.Edge) string { return e.Run(t, "policy", "switches", "list") }
	a.Run(t, "policy", "switches", "set", "user_burst", "4321")
	within(t, 20*time.Second, "the other gate has heard of the switch", func() bool { return strings.Contains(list(b), "4321 *") })
	b.Run(t, "policy", "switches", "reset", "user_burst")
	within(t, 20*time.Second, "the first gate has heard that it was set back", func() bool { return !strings.Contains(list(a), "4321") })
}
