package pages

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// DemoFormView is the page on which somebody asks for a demo.
type DemoFormView struct {
	// Status is the answer's status; 0 means 200.
	Status      int
	Email, CSRF string
	Notice      *Notice
	Kinds       []session.WorkspaceKind
	// Chosen is the kind to begin with, Purpose what was typed before.
	Chosen, Purpose string
	// Live are the person's grants that have not ended.
	Live []session.DemoGrant
	Now  time.Time
}

// MaxPurpose is the most characters that somebody may say of what they want.
const MaxPurpose = 500

type kindRow struct {
	Name, Title, Sub string
	Chosen           bool
}

type ownDemo struct{ Title, State, URL string }

// DemoForm renders the page.
func (r *Renderer) DemoForm(v DemoFormView) Page {
	d := struct {
		shell
		Email, CSRF, Purpose, Heading, Long string
		MaxPurpose                          int
		Notice                              *Notice
		Kinds                               []kindRow
		Live                                []ownDemo
		Some, All                           bool // of the kinds need somebody to agree
	}{shell: r.own, Email: shown(v.Email, maxEmailShown), CSRF: v.CSRF, Purpose: shown(v.Purpose, MaxPurpose), MaxPurpose: MaxPurpose, Notice: v.Notice, All: true}
	d.Title, d.Wide, d.Heading = "Ask for a demo", true, "A workspace of your own, for a while"
	for i, k := range v.Kinds {
		long := howLong(k.MaxDuration)
		if i == 0 {
			d.Long = long
		} else if d.Long != long {
			d.Long = ""
		}
		d.Some, d.All = d.Some || k.Approval, d.All && k.Approval
		row := kindRow{Name: k.Name, Title: shown(or(k.Title, k.Name), 40), Sub: shown(k.Description, 200), Chosen: k.Name == v.Chosen || v.Chosen == "" && i == 0}
		row.Sub = strings.TrimPrefix(row.Sub+" · "+long, " · ")
		if k.Approval {
			row.Sub += " · an administrator has to agree"
		}
		d.Kinds = append(d.Kinds, row)
	}
	if d.Long != "" {
		d.Heading = "A workspace of your own, for " + d.Long
	}
	for _, g := range v.Live {
		d.Live = append(d.Live, ownDemo{kindTitle(v.Kinds, g.WorkspaceType), demoState(g, v.Now), demoAt(g.ID)})
	}
	return r.render("demoform", r.ownCSP(), orStatus(v.Status), d)
}

func kindTitle(kinds []session.WorkspaceKind, name string) string {
	for _, k := range kinds {
		if k.Name == name {
			return shown(or(k.Title, k.Name), 40)
		}
	}
	return shown(name, 40)
}

func demoAt(id string) string { return "/demo/" + url.PathEscape(id) }

// howLong says how long something lasts.
func howLong(d time.Duration) string { return InWords(wholeSeconds(d)) }

// demoState says in a few words where a live grant is.
func demoState(g session.DemoGrant, now time.Time) string {
	switch {
	case g.Status == session.GrantPending:
		return "waits for an administrator"
	case g.Status == session.GrantStarting:
		return "is being made ready"
	case g.ExpiresAt.After(now):
		return howLong(g.ExpiresAt.Sub(now)) + " left"
	default:
		return "its time is over"
	}
}

// DemoView is the page of one grant: its waiting, its countdown or its end.
type DemoView struct {
	Status int
	Grant  session.DemoGrant
	Kinds  []session.WorkspaceKind
	// OpenURL is where the workspace is, "" if that is not known.
	OpenURL string
	CSRF    string
	Notice  *Notice
	Now     time.Time
}

// stepRow is a step of a grant in words.
type stepRow struct{ Class, Title, Sub string }

// demoPage is what all pages of a grant have.
type demoPage struct {
	shell
	ID, Email, Kind, URL, CSRF string
	Notice                     *Notice
	Emblem, Tone               string
	Heading, Lead, Reason      string
	Steps                      []stepRow
	// State changes whenever the page has to be made anew. Every is after how
	// many seconds the script looks for that, 0 for never.
	State, Script string
	Every         int
	// Left is how many seconds are left of a running one.
	Left         int
	Milliseconds int64
	Clock        *clock
	LeftText     string
	Total        int
	Ends         Instant
	OpenURL      string
	AgainURL     string
	EndText      string
	Over         bool
}

// Demo renders the page.
func (r *Renderer) Demo(v DemoView) Page {
	g := v.Grant
	d := demoPage{
		shell: r.own, ID: shown(g.ID, maxIDShown), Email: shown(g.Email, maxEmailShown), Kind: kindTitle(v.Kinds, g.WorkspaceType), URL: demoAt(g.ID), CSRF: v.CSRF,
		Notice: v.Notice, Emblem: "glass", Tone: "info", State: demoMark(g), Script: r.demoScript, AgainURL: "/demo?type=" + url.QueryEscape(g.WorkspaceType),
	}
	switch {
	case g.Status == session.GrantPending:
		d.Heading, d.Lead, d.EndText = "Waiting for an administrator", "Somebody has to agree before it begins. The page changes by itself as soon as they have; you may leave it, and come back.", "Take it back"
		d.Every = 3
	case g.Status == session.GrantStarting:
		d.Heading, d.Lead, d.EndText = "Your demo is being made ready", "Its time begins to run when everything is there, and the page changes by itself.", "Stop it"
		d.Every = 1
	case g.Status == session.GrantActive && g.ExpiresAt.After(v.Now):
		r.runs(&d, v)
	default:
		r.over(&d, g, v.Now)
	}
	d.Title = or(d.Title, d.Heading)
	if !d.Over {
		d.Steps = append(r.beginnings(g), r.endings(g, v.Now)...)
	}
	switch {
	case d.Every == 0:
		d.Script = ""
	case d.Left > 0: // at the end, and in time to tell of one that somebody ended
		d.Reload = min(d.Left+1, 30)
	default:
		d.Reload = max(d.Every, 3)
	}
	csp := r.scriptCSP(d.Script)
	if d.Script != "" {
		csp += "; connect-src 'self'"
	}
	return r.render("demo", csp, orStatus(v.Status), d)
}

// runs fills in the countdown.
func (r *Renderer) runs(d *demoPage, v DemoView) {
	g := v.Grant
	left := g.ExpiresAt.Sub(v.Now)
	d.Left, d.Milliseconds = wholeSeconds(left), left.Milliseconds()+1
	d.Clock, d.LeftText = newClock(d.Left), InWords(d.Left)
	d.Total = max(d.Left, wholeSeconds(g.ExpiresAt.Sub(g.StartedAt)))
	d.Ends = Instant{r.at(g.ExpiresAt, "15:04:05"), g.ExpiresAt.UTC().Format(time.RFC3339)}
	d.Heading, d.Title, d.EndText = "Your demo is running", d.LeftText+" left of your demo", "End it now"
	d.OpenURL, d.Every = v.OpenURL, 10
}

// over says when a grant ended, and why.
func (r *Renderer) over(d *demoPage, g session.DemoGrant, now time.Time) {
	d.Over, d.Heading = true, "Your demo has ended"
	at := g.EndedAt
	if at.IsZero() {
		at = g.ExpiresAt
	}
	when := at.In(r.location).Format("15:04:05")
	switch g.Status {
	case session.GrantRefused:
		if g.DecidedBy == "" {
			d.Heading, d.Lead, d.Tone = "Nobody agreed in time", "Your request waited for an administrator until "+when+". Nothing was made for it, and you may ask again.", "warn"
			return
		}
		d.Heading, d.Lead, d.Tone = "An administrator did not agree", "Nothing was made for it, and nothing else has changed for you.", "warn"
	case session.GrantFailed:
		d.Heading, d.Lead, d.Emblem, d.Tone = "Your demo could not be made ready", "A part of it did not come about, so it never began. The fault is ours, and it is in our log.", "bolt", "bad"
	case session.GrantRevoked:
		d.Lead = "It was ended at " + when + ", before its time."
	default:
		d.Lead = fmt.Sprintf("Its %s were over at %s.", howLong(g.ExpiresAt.Sub(g.StartedAt)), when)
	}
	if g.Status == session.GrantRevoked || g.Status == session.GrantRefused {
		d.Reason = shown(g.Reason, 300)
	}
	d.Steps = r.cleanup(g)
	switch left := remaining(g); {
	case !g.Status.Ended():
		d.Lead += " All that was made for it is being removed."
		d.Every = 1
	case left > 0:
		d.Lead += " It opens nothing any more; the rest of it is being removed."
		d.Every = 3
	case len(d.Steps) > 1:
		d.Lead += " The workspace and all that was in it are gone; nobody can open it again."
	}
}

// remaining is how many steps of the clean-up are not done.
func remaining(g session.DemoGrant) int {
	n := 0
	for _, s := range g.Steps {
		if s.Phase == session.PhaseEnd && s.State != session.StepDone {
			n++
		}
	}
	return n
}

// demoMark is different for whatever a page of a grant shows differently.
func demoMark(g session.DemoGrant) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d", g.Status, g.ExpiresAt.Unix())
	for _, s := range g.Steps {
		fmt.Fprintf(&b, " %.1s", s.State)
	}
	return b.String()
}

// stepTitle makes words of the name of a step: "network-peer" is "Network peer".
func stepTitle(name string) string {
	s := strings.NewReplacer("-", " ", "_", " ").Replace(shown(name, 40))
	if s == "" {
		return "Step"
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// beginnings are the steps up to the workspace's being ready.
func (r *Renderer) beginnings(g session.DemoGrant) []stepRow {
	rows := []stepRow{{"done", "Asked for", r.clockTime(g.RequestedAt)}}
	switch {
	case g.Status == session.GrantPending:
		rows = append(rows, stepRow{"now", "Somebody looks", "an administrator has to agree"})
	case g.DecidedBy != "":
		rows = append(rows, stepRow{"done", "Agreed to", "by an administrator"})
	}
	begun := false // one step is made after another
	for _, s := range g.Steps {
		if s.Phase != session.PhaseStart {
			continue
		}
		row := stepRow{"", stepTitle(s.Name), "waits"}
		switch {
		case s.State == session.StepDone:
			row = stepRow{"done", row.Title, "ready, " + r.clockTime(s.At)}
		case s.State == session.StepFailed || s.Attempts > 0 && g.Status == session.GrantStarting && s.Error != "":
			row = stepRow{"fail", row.Title, "did not come about yet, and is tried again"}
		case g.Status == session.GrantStarting && !begun:
			row = stepRow{"now", row.Title, "is being made"}
		}
		begun = begun || s.State != session.StepDone
		rows = append(rows, row)
	}
	return rows
}

// endings are the two steps to come.
func (r *Renderer) endings(g session.DemoGrant, now time.Time) []stepRow {
	if g.Status == session.GrantActive {
		return []stepRow{{"now", "Running", "save to your own disk what you want to keep"}, {"", "All is removed", "at " + r.clockTime(g.ExpiresAt) + ", to the second"}}
	}
	return []stepRow{{"", "Running", "for " + howLong(g.MaxDuration)}, {"", "All is removed", "machine, network and role"}}
}

// cleanup are the steps of the end.
func (r *Renderer) cleanup(g session.DemoGrant) []stepRow {
	if g.Status == session.GrantRefused {
		return nil
	}
	at := g.EndedAt
	if at.IsZero() || !g.ExpiresAt.IsZero() && g.ExpiresAt.Before(at) {
		at = g.ExpiresAt
	}
	rows := []stepRow{{"done", "Access ended", r.clockTime(at)}}
	for _, s := range g.Steps {
		if s.Phase != session.PhaseEnd {
			continue
		}
		switch s.State {
		case session.StepDone:
			rows = append(rows, stepRow{"done", stepTitle(s.Name) + " removed", s.At.In(r.location).Format("15:04:05.000")})
		case session.StepFailed:
			rows = append(rows, stepRow{"fail", stepTitle(s.Name), "not removed yet; it is tried until it is"})
		default:
			rows = append(rows, stepRow{"now", stepTitle(s.Name), "is being removed"})
		}
	}
	return rows
}

func (r *Renderer) clockTime(t time.Time) string { return t.In(r.location).Format("15:04:05") }
