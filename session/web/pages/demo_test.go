package pages

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/session"
)

// grantPage are the addresses of grants.
var grantPage = regexp.MustCompile(`^(/admin/demos|/demo)/demo-[0-9a-zA-Z-]+$`)

func someKinds() []session.WorkspaceKind {
	return []session.WorkspaceKind{
		{Name: "linux", Title: "Linux", Description: "Desktop and terminal", MaxDuration: 30 * time.Minute},
		{Name: "windows", Title: "Windows", Description: "Desktop, Office files", MaxDuration: 30 * time.Minute, Approval: true},
	}
}

// grant is one of each state, all asked for eleven minutes ago.
func grant(status session.GrantStatus) session.DemoGrant {
	asked := thursday.Add(-11 * time.Minute)
	g := session.DemoGrant{
		ID: "demo-1772731860-k3f9", Status: status, UserID: "usr_2", Email: "marta@brightwave.example", Organization: "Brightwave", ClientAddr: "203.0.113.9", WorkspaceType: "linux", Role: "demo-user-12345",
		Purpose: "To see how sessions are cut <b>.", MaxDuration: 30 * time.Minute, RequestedAt: asked,
		Steps: []session.GrantStep{{Name: "container", Phase: "start", State: "waiting"}, {Name: "idp_role", Phase: "start", State: "waiting"}},
	}
	if status == session.GrantPending || status == session.GrantRefused {
		g.Steps = nil
	}
	switch status {
	case session.GrantStarting:
		g.DecidedBy, g.Reason = "amara@kappa4.com", "A customer."
		g.Steps[0] = session.GrantStep{Name: "container", Phase: "start", State: "done", Attempts: 1, At: asked.Add(2 * time.Second)}
		g.Steps[1] = session.GrantStep{Name: "idp_role", Phase: "start", State: "waiting", Attempts: 2, Error: "answered 502", At: asked.Add(3 * time.Second)}
	case session.GrantActive, session.GrantExpired, session.GrantRevoked:
		g.StartedAt, g.ExpiresAt = asked.Add(1500*time.Millisecond), asked.Add(30*time.Minute+1500*time.Millisecond)
		for i := range g.Steps {
			g.Steps[i].State, g.Steps[i].Attempts, g.Steps[i].At = "done", 1, asked.Add(time.Second)
		}
	}
	if status.Ended() {
		g.EndedAt = thursday.Add(-2 * time.Second)
		g.Reason, g.DecidedBy = "The fair is over.", "amara@kappa4.com"
	}
	if status == session.GrantExpired {
		g.StartedAt, g.ExpiresAt = thursday.Add(-30*time.Minute-2*time.Second), g.EndedAt
	}
	if status == session.GrantExpired || status == session.GrantRevoked {
		g.Steps = append(g.Steps, session.GrantStep{Name: "container", Phase: "end", State: "done", Attempts: 1, At: g.EndedAt.Add(1310 * time.Millisecond)},
			session.GrantStep{Name: "idp_role", Phase: "end", State: "done", Attempts: 3, At: g.EndedAt.Add(1574 * time.Millisecond)})
	}
	return g
}

func demoPage1(r *Renderer, g session.DemoGrant) Page {
	return r.Demo(DemoView{Grant: g, Kinds: someKinds(), OpenURL: "https://workspace.portal.kappa4.com/", CSRF: "tok", Now: thursday})
}

// demoPages are one page of each kind of demos.
func demoPages(r *Renderer) map[string]Page {
	ps := map[string]Page{
		"demo-form":      r.DemoForm(DemoFormView{Email: "marta@brightwave.example", CSRF: "tok", Kinds: someKinds(), Now: thursday, Live: []session.DemoGrant{grant(session.GrantActive)}}),
		"demo-form-bare": r.DemoForm(DemoFormView{Email: "marta@brightwave.example", CSRF: "tok", Now: thursday}),
		"demo-form-full": r.DemoForm(DemoFormView{Status: 429, Email: "marta@brightwave.example", CSRF: "tok", Kinds: someKinds()[:1], Purpose: "<i>", Notice: &Notice{"bad", "All workspaces for demos are taken."}, Now: thursday}),
		"demos": r.Demos(DemosView{Viewer: amara(&Notice{"good", "Done."}), Kinds: someKinds(), Pending: []session.DemoGrant{grant(session.GrantPending)},
			Running: []session.DemoGrant{grant(session.GrantActive), grant(session.GrantStarting)}, Ended: []session.DemoGrant{grant(session.GrantExpired), grant(session.GrantRefused)},
			Live: 3, Waiting: 1, ByTime: 38, ByHand: 3, Next: "/admin/demos?after=x", First: true}),
		"demos-none": r.Demos(DemosView{Viewer: amara(nil), ByTime: -1, First: true}),
		"demo-list": r.DemoList(DemoListView{Viewer: amara(nil), Kinds: someKinds(), State: "expired", User: "usr_2", Grants: []session.DemoGrant{grant(session.GrantRevoked), grant(session.GrantFailed)},
			Next: "/admin/demos/all?after=x"}),
		"demo-list-none": r.DemoList(DemoListView{Viewer: amara(nil), First: true}),
	}
	for _, s := range GrantStates() {
		ps["demo-"+string(s)] = demoPage1(r, grant(s))
		ps["demo-grant-"+string(s)] = r.DemoGrant(DemoGrantView{Viewer: amara(nil), Kinds: someKinds(), Grant: grant(s)})
	}
	return ps
}

func TestDemoPagesSayWhereAGrantIs(t *testing.T) {
	t.Parallel()
	r := renderer(t)
	ps := demoPages(r)
	late := grant(session.GrantActive)
	late.ExpiresAt = thursday.Add(-time.Second)
	ps["demo-late"] = demoPage1(r, late)
	fresh := grant(session.GrantStarting)
	for i := range fresh.Steps[:2] {
		fresh.Steps[i].State, fresh.Steps[i].Attempts, fresh.Steps[i].Error = session.StepWaiting, 0, ""
	}
	ps["demo-fresh"] = demoPage1(r, fresh)
	long := grant(session.GrantActive)
	long.MaxDuration, long.ExpiresAt = 4*time.Hour, thursday.Add(3*time.Hour)
	ps["demo-long"] = demoPage1(r, long)
	unclean := grant(session.GrantExpired)
	unclean.Steps[3].State, unclean.Steps[3].Error = "failed", "answered 502 <secret place>"
	ignored := grant(session.GrantRefused)
	ignored.DecidedBy = ""
	ps["demo-ignored"] = demoPage1(r, ignored)
	ps["demo-unclean"] = demoPage1(r, unclean)
	ps["demo-grant-unclean"] = r.DemoGrant(DemoGrantView{Viewer: amara(nil), Kinds: someKinds(), Grant: unclean})
	for name, want := range map[string][]string{
		"demo-form":          {"A workspace of your own, for 30 minutes", "Desktop, Office files · 30 minutes · an administrator has to agree", `value="linux" required checked`, "20 minutes left", `href="/demo/demo-1772731860-k3f9"`},
		"demo-form-bare":     {"no workspace to try"},
		"demo-form-full":     {`role="alert"`, "All workspaces for demos are taken.", "&lt;i&gt;"},
		"demo-pending":       {"Waiting for an administrator", "Take it back", `content="3"`, `data-every="3"`},
		"demo-starting":      {"is being made ready", "<li class=\"done\"><strong>Container</strong>", "<li class=\"fail\"><strong>Idp role</strong> <span class=\"sub\">did not come about yet", `content="3"`},
		"demo-fresh":         {"<li class=\"now\" aria-current=\"step\"><strong>Container</strong> <span class=\"sub\">is being made", "<strong>Idp role</strong> <span class=\"sub\">waits"},
		"demo-active":        {"Your demo is running", "Open the workspace", `href="https://workspace.portal.kappa4.com/"`, "End it now", "20:33:10, Mexico City", `data-left="1141501"`, `content="30"`, `class="clock"`, "<title>20 minutes left of your demo"},
		"demo-late":          {"Your demo has ended", "All that was made for it is being removed", `content="3"`, "<li class=\"done\"><strong>Access ended</strong> <span class=\"sub\">20:14:08"},
		"demo-long":          {`<strong data-words>3 hours left</strong>`},
		"demo-expired":       {"Its 30 minutes were over at 20:14:07.", "nobody can open it again", "Container removed", "20:14:08.310", "Ask for another demo", `href="/demo?type=linux"`},
		"demo-unclean":       {"the rest of it is being removed", "not removed yet; it is tried until it is", `data-every="3"`},
		"demo-revoked":       {"It was ended at 20:14:07, before its time.", "The fair is over."},
		"demo-failed":        {"could not be made ready", "The fault is ours"},
		"demo-ignored":       {"Nobody agreed in time", "until 20:14:07"},
		"demo-refused":       {"An administrator did not agree", "The fair is over."},
		"demos":              {"for 11 minutes", "38 by time, 3 by hand", "<dd>41</dd>", "usable 1.5 s after it was asked for", "all gone 1.6 s after its end", "tried 2 times: answered 502", "&lt;b&gt;", "Approve 30 minutes", `viewBox="0 0 1800 1"`, "19:02"},
		"demos-none":         {"No demo is running now.", "None has ended yet.", "unknown"},
		"demo-list":          {`value="usr_2"`, `<option value="expired" selected>`, `href="/admin/demos/all?after=x"`},
		"demo-grant-pending": {"Approve 30 minutes", "waits for 11 minutes", "Refuse<span"},
		"demo-grant-active":  {"Let the demo of marta@brightwave.example last longer?", "Running", "demo-user-12345", "for 11 minutes"},
		"demo-grant-unclean": {"1 of 2 not removed, 2.0 s after its end", "tried 3 times: answered 502 &lt;secret place&gt;"},
	} {
		for _, s := range want {
			if body := string(ps[name].Body); !strings.Contains(body, s) {
				t.Errorf("%s lacks %q:\n%s", name, s, body)
			}
		}
	}
	for name, not := range map[string][]string{
		"demo-expired":       {"data-every", "<script", "http-equiv", "End it now"},
		"demo-unclean":       {"secret place"},
		"demo-refused":       {"Access ended", "removed"},
		"demo-failed":        {"The fair is over."},
		"demo-long":          {`class="clock"`},
		"demo-grant-expired": {"popovertarget=\"end-1\"", "Approve 30"},
		"demo-late":          {"Open the workspace", "End it now"},
	} {
		for _, s := range not {
			if strings.Contains(string(ps[name].Body), s) {
				t.Errorf("%s has %q", name, s)
			}
		}
	}
	if p := ps["demo-active"]; !strings.Contains(p.CSP, "script-src 'self'") || !strings.Contains(p.CSP, "connect-src 'self'") || strings.Contains(ps["demo-expired"].CSP, "connect-src") {
		t.Errorf("the page that looks for news has the policy %s, the last one %s", p.CSP, ps["demo-expired"].CSP)
	}
}

func TestWithoutDemosNoPageLeadsToThem(t *testing.T) {
	t.Parallel()
	with, without := renderer(t), renderer(t)
	without.demos = false
	for name, pair := range map[string][2]Page{
		"refusal": {with.Refusal(nora(403, "demo_required")), without.Refusal(nora(403, "demo_required"))},
		"over":    {with.Refusal(nora(403, "demo_expired")), without.Refusal(nora(403, "demo_expired"))},
		"landing": {with.Landing(LandingView{Now: thursday}), without.Landing(LandingView{Demo: "demo-1-a", Now: thursday})},
		"account": {with.Account(AccountView{Viewer: amara(nil)}), without.Account(AccountView{Viewer: amara(nil)})},
		"console": {someConsole(with), someConsole(without)},
	} {
		if !strings.Contains(string(pair[0].Body), "/demo") || strings.Contains(string(pair[1].Body), "/demo") {
			t.Errorf("%s leads to demos, or not, the wrong way round", name)
		}
	}
	own := string(with.Landing(LandingView{Demo: "demo-1-a", Now: thursday}).Body)
	if !strings.Contains(own, `href="/demo/demo-1-a"`) || strings.Contains(own, "Ask for a demo") {
		t.Error("who has a demo is not led to it")
	}
	if got := string(with.Refusal(nora(403, "demo_required")).Body); !strings.Contains(got, `<a class="btn primary" href="https://gate.kappa4.com/demo">Ask for a demo</a>`) {
		t.Errorf("the refusal does not lead to demos first:\n%s", got)
	}
}

// someConsole is some page of the console.
func someConsole(r *Renderer) Page { return r.Sessions(SessionsView{Viewer: amara(nil)}) }

func TestHostileGrantsStayText(t *testing.T) {
	t.Parallel()
	r := renderer(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`"><script>alert(1)</script>`, "a\u202eb\x00", "' onload='x"}))
		at := func(name string) time.Time {
			return rapid.SampledFrom([]time.Time{{}, thursday, thursday.Add(-time.Hour), thursday.Add(time.Hour)}).Draw(t, name)
		}
		g := session.DemoGrant{
			ID: "demo-1", Status: rapid.SampledFrom(GrantStates()).Draw(t, "status"), Email: text.Draw(t, "email"), Organization: text.Draw(t, "organization"), ClientAddr: text.Draw(t, "address"),
			WorkspaceType: text.Draw(t, "kind"), Purpose: text.Draw(t, "purpose"), Reason: text.Draw(t, "reason"), DecidedBy: text.Draw(t, "by"), Role: text.Draw(t, "role"),
			RequestedAt: at("asked"), StartedAt: at("started"), ExpiresAt: at("expires"), EndedAt: at("ended"), MaxDuration: time.Duration(rapid.Int64().Draw(t, "max")),
		}
		for range rapid.IntRange(0, 6).Draw(t, "steps") {
			g.Steps = append(g.Steps, session.GrantStep{Name: text.Draw(t, "name"), Phase: rapid.SampledFrom([]string{"start", "end", "x"}).Draw(t, "phase"), State: rapid.SampledFrom([]string{"waiting", "done", "failed", ""}).Draw(t, "state"),
				Attempts: rapid.IntRange(0, 9).Draw(t, "attempts"), Error: text.Draw(t, "error"), At: at("at")})
		}
		for _, p := range []Page{
			r.DemoForm(DemoFormView{Email: g.Email, Purpose: g.Purpose, Live: []session.DemoGrant{g}, Kinds: []session.WorkspaceKind{{Name: "k", Title: g.Role, Description: g.Reason}}, Now: thursday}),
			demoPage1(r, g), r.DemoGrant(DemoGrantView{Viewer: amara(nil), Grant: g}), r.DemoList(DemoListView{Viewer: amara(nil), User: g.UserID, Grants: []session.DemoGrant{g}}),
			r.Demos(DemosView{Viewer: amara(nil), Pending: []session.DemoGrant{g}, Running: []session.DemoGrant{g}, Ended: []session.DemoGrant{g}}),
		} {
			checkPage(t, p)
			if strings.ContainsAny(string(p.Body), "\x00\u202e") || strings.Contains(string(p.Body), "could not be shown") {
				t.Fatalf("a control character is on the page, or it could not be made:\n%s", p.Body)
			}
		}
	})
}
