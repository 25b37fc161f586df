package e2e

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

// press sends the form of the page that is open by one of its buttons, and waits
// for the page after it, on which an expression is true.
func (c *checked) press(button, becomes string) {
	c.t.Helper()
	c.asks(c.d.Origin("gate") + "/demo") // where an answer may be one that refuses
	c.do(chromedp.Click(button))
	c.becomes(becomes + ` && document.readyState === "complete"`)
}

// goes opens a page of the gate that is looked at elsewhere.
func (c *checked) goes(path string) {
	c.t.Helper()
	c.open(c.d.Origin("gate") + path)
}

// demos asks for demos as an administrator and as a person, and looks at their
// pages and at those of the console.
func (c *checked) demos() {
	c.t.Helper()
	const running = `document.querySelector("[data-left]") !== null`
	c.becomeSomebody("admin")
	c.page("demo-form", "/demo?type=desktop", "Linux desktop")
	c.press("button.primary", running)
	c.check("demo-running", "Your demo is running")

	c.becomeSomebody("user")
	c.goes("/demo?type=lab")
	c.press("button.primary", `document.body.innerText.includes("Waiting for an administrator")`)
	c.check("demo-pending", "Take it back")
	c.page("demo-form-again", "/demo", "waits for an administrator")
	c.press("button.primary", `document.querySelector("[role=alert]") !== null`)
	c.check("demo-full", "You have as many demos as one person may have")

	c.becomeSomebody("admin")
	c.page("demos", "/admin/demos", "Waiting for approval")
	c.do(chromedp.Click(`.list button[popovertarget^="end"]:not([popovertargetaction])`), chromedp.WaitVisible(`.ask:popover-open`))
	c.check("demos-end", "End the demo of")
	c.goes("/admin/demos")
	c.do(chromedp.Click(`.list button[popovertarget^="more"]:not([popovertargetaction])`), chromedp.WaitVisible(`.ask:popover-open`))
	c.check("demos-extend", "last longer?")
	c.goes("/admin/demos")
	c.do(chromedp.SendKeys(`form.card input[name="reason"]`, "The lab is closed today"))
	c.press(`button[value="refuse"]`, `document.querySelector("[role=status]") !== null`)
	c.check("demos-refused", "Its person reads your reason.")
	c.page("demos-all", "/admin/demos/all", "Refused")
	c.goes("/admin/demos")
	c.do(chromedp.Click(".list strong a"))
	c.becomes(`location.pathname.startsWith("/admin/demos/demo-") && document.readyState === "complete"`)
	c.check("demos-one", "usable")
	c.goes("/demo")
	c.do(chromedp.Click(".list a.btn"))
	c.becomes(running)
	c.press("button.danger", `document.body.innerText.includes("Your demo has ended")`)
	c.check("demo-ended", "before its time")
}

// rendered looks at pages that a running demo does not come to, or not at every
// hour of the day, as the gate renders them.
func (c *checked) rendered() {
	c.t.Helper()
	all := map[string]pages.Page{}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	c.t.Cleanup(server.Close)
	r, err := pages.New(pages.Options{GateOrigin: server.URL, Of: "kappa4.com", Place: "Mexico City", Demos: true})
	if err != nil {
		c.t.Fatal(err)
	}
	assets, err := pages.Assets()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, a := range assets {
		mux.HandleFunc("/assets/"+a.Name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", a.ContentType)
			_, _ = w.Write(a.Body)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		p := all[req.URL.Path[1:]]
		for _, h := range p.Headers() {
			w.Header().Set(h.Name, h.Value)
		}
		w.Header().Set("Content-Type", p.ContentType)
		_, _ = w.Write(p.Body)
	})
	texts := somePages(c.t, r, all)
	for name, text := range texts {
		c.page(name, server.URL+"/"+name, text)
	}
}

// somePages adds pages to all, and returns for each a text that is on it.
func somePages(t testing.TB, r *pages.Renderer, all map[string]pages.Page) map[string]string {
	t.Helper()
	now := time.Date(2026, 3, 6, 2, 14, 9, 0, time.UTC)
	texts := map[string]string{}
	add := func(name, text string, p pages.Page) { all[name], texts[name] = p, text }
	refusal := pages.RefusalView{Status: 403, Reasons: []string{"outside_business_hours"}, Host: "portal.kappa4.com", Path: "/", Origin: "https://portal.kappa4.com", UserEmail: "nora@kappa4.com", Roles: []string{"neosc"}, RequestID: "6f1c2a9e", Now: now}
	refusal.Hours = &pages.Hours{Days: []time.Weekday{1, 2, 3, 4, 5}, Open: 480, Close: 1200, Location: time.UTC}
	add("hours", "Closed until", r.Refusal(refusal))
	refusal.Status, refusal.Reasons, refusal.RetryAfter, refusal.Hours = 429, []string{"rate_limited"}, 75*time.Second, nil
	refusal.Limit = &pages.LimitView{RequestsPerSecond: 10, Burst: 20, Headers: []pages.Header{{Name: "RateLimit", Value: `"user";r=0;t=75`}}}
	add("limit", "You can continue in", r.Refusal(refusal))
	add("demo-required", "Ask for a demo", r.Refusal(pages.RefusalView{Status: 403, Reasons: []string{"demo_required"}, Host: "workspace.kappa4.com", UserEmail: "nora@kappa4.com", Now: now}))
	add("chooser", "Where is your account?", r.Chooser(pages.ChooserView{Target: "portal.kappa4.com", Local: true, Choices: []pages.Choice{{ID: "onprem", Name: "NeoSC on-premise", Note: "For staff."}, {ID: "cloud", Name: "NeoSC cloud"}}}))
	add("security-enrolled", "Recovery codes", r.Security(pages.SecurityView{Email: "nora@kappa4.com", App: &pages.FactorView{Name: "App", AddedAt: now}, Passkeys: []pages.FactorView{{ID: "k1", Name: "Phone of Nora", AddedAt: now}}, CodesLeft: 2, CodesMade: 10, CSRF: "tok"}))
	add("codes", "Recovery codes", r.Codes(pages.CodesView{Email: "nora@kappa4.com", Codes: []string{"ABCDE-FGHJK", "23456-789AB"}, Next: "/account/security", Now: now}))
	add("second-factor-app", "The app shows a new one", r.SecondFactor(pages.SecondFactorView{Email: "nora@kappa4.com", With: "app", Ways: []string{"app", "recovery"}, CSRF: "tok"}))
	kinds := []session.WorkspaceKind{{Name: "desktop", Title: "Linux desktop", MaxDuration: 30 * time.Minute}}
	g := session.DemoGrant{ID: "demo-1772763249-k3f9", UserID: "u", Email: "marta@brightwave.example", WorkspaceType: "desktop", MaxDuration: 30 * time.Minute, RequestedAt: now.Add(-time.Minute), Status: session.GrantStarting,
		Steps: []session.GrantStep{{Name: "container", Phase: session.PhaseStart, State: session.StepDone, At: now}, {Name: "network", Phase: session.PhaseStart, State: session.StepFailed, Attempts: 2, Error: "answered 502", At: now}}}
	show := func(name, text string) {
		add("shown-"+name, text, r.Demo(pages.DemoView{Grant: g, Kinds: kinds, CSRF: "tok", Now: now}))
		if g.Status == session.GrantRefused || g.Status == session.GrantFailed {
			return
		}
		add("console-"+name, g.ID, r.DemoGrant(pages.DemoGrantView{Viewer: pages.Viewer{Email: "amara@kappa4.com", Roles: []string{"admin"}, Now: now}, Kinds: kinds, Grant: g}))
	}
	show("starting", "is being made ready")
	g.Status, g.StartedAt, g.ExpiresAt, g.EndedAt = session.GrantExpired, now.Add(-30*time.Minute), now, now
	g.Steps = append(g.Steps, session.GrantStep{Name: "network", Phase: session.PhaseEnd, State: session.StepDone, At: now}, session.GrantStep{Name: "container", Phase: session.PhaseEnd, State: session.StepFailed, Attempts: 3, Error: "answered 502", At: now})
	show("ending", "the rest of it is being removed")
	g.Status = session.GrantFailed
	show("failed", "could not be made ready")
	g.Status, g.DecidedBy, g.Reason = session.GrantRefused, "amara@kappa4.com", "The fair is over."
	show("refused", "did not agree")
	return texts
}
