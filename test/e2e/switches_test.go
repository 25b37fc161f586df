package e2e

import (
	"os"
	"path/filepath"
	"strings"

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
	file := filepath.Join(s.dir, "data.yaml")
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.edit("data.yaml", "    user_burst:\n", "    user_bursts:\n")
	s.revised("switch_info.user_burst")
	if err := os.WriteFile(file, was, 0o600); err != nil {
		t.Fatal(err)
	}
	s.revised("")
	if list := s.d.Run(t, "policy", "switches", "list"); !strings.Contains(list, "7 *") {
		t.Errorf("user_burst is no longer 7:\n%s", list)
	}
	s.d.Run(t, "policy", "switches", "reset", "user_burst")
}
