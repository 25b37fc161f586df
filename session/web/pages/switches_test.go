package pages

import (
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func switchesView() SwitchesView {
	least, most := 0.1, 1e6
	return SwitchesView{
		Email: "amara@kappa4.com", Name: "Amara Osei", Roles: []string{"admin"}, CSRF: "tok", Notice: &Notice{Tone: "good", Text: "Business hours stands at false now."},
		List: session.SwitchList{Revision: "7f3c9e1a2b3c4d5e+0a1b2c3d", Generation: 48, Trouble: "the database does not answer",
			Switches: []session.Switch{
				{Name: "business_hours", Type: session.SwitchBoolean, Title: "Business hours", Description: "Off, applications are open at any time.",
					Default: session.BooleanValue(true), Value: session.BooleanValue(false), Set: true, Version: 3, ChangedAt: thursday, ChangedBy: "amara@kappa4.com"},
				{Name: "user_requests_per_second", Type: session.SwitchNumber, Title: "Requests per second", Min: &least, Max: &most, Default: session.NumberValue(10), Value: session.NumberValue(10)},
			},
			Ignored: []session.IgnoredSwitch{{Name: "old_one", Value: session.BooleanValue(true), Version: 2, Why: "the policy declares no such switch"}},
		},
	}
}

func TestSwitchesShowWhereTheyStand(t *testing.T) {
	t.Parallel()
	r := renderer(t)
	v := switchesView()
	body := string(r.Switches(v).Body)
	for _, want := range []string{
		`<span class="badge info">off</span>`, `>Turn on<span class="sr"> Business hours</span>`, `name="version" value="3"`, `datetime="` + thursday.UTC().Format(time.RFC3339),
		`type="number" min="0.1" max="1000000" step="any" value="10"`, "0a1b2c3d", "last values that were known", "Forget", `role="status"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("lacks %q:\n%s", want, body)
		}
	}
	if strings.Count(body, `name="reset"`) != 2 {
		t.Error("only what is set, or kept, can be set back")
	}
	v.List = session.SwitchList{Revision: "<script>", Generation: 1}
	v.Notice = &Notice{Tone: "bad", Text: "<b>"}
	body = string(r.Switches(v).Body)
	for _, want := range []string{"declares no switches", "&lt;script&gt;", "&lt;b&gt;", `role="alert"`} {
		if !strings.Contains(body, want) {
			t.Errorf("lacks %q:\n%s", want, body)
		}
	}
}
