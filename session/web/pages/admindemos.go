package pages

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// DemosView is the console's page of live demo grants.
type DemosView struct {
	Viewer
	Kinds []session.WorkspaceKind
	// Pending wait for an administrator, Running have begun or are about to, and
	// Ended are the last ones that did.
	Pending, Running, Ended []session.DemoGrant
	// Live and Waiting count them all, as far as MoreLive and MoreWaiting let
	// them.
	Live, Waiting         int
	MoreLive, MoreWaiting bool
	// ByTime, ByHand, Failed and Orphans are of the last 24 hours; below zero if
	// they could not be counted.
	ByTime, ByHand, Failed, Orphans int
	// Next leads to older live ones, "" if there are none; First says that these
	// are the newest.
	Next  string
	First bool
}

// DemoListView is the console's list of all grants, the newest first.
type DemoListView struct {
	Viewer
	Kinds []session.WorkspaceKind
	// User (an id) and State are what was asked for.
	User, State string
	Grants      []session.DemoGrant
	Next        string
	First       bool
}

// DemoGrantView is the console's page of one grant.
type DemoGrantView struct {
	Viewer
	Kinds []session.WorkspaceKind
	Grant session.DemoGrant
}

// grantRow is a grant in words, as administrators see it.
type grantRow struct {
	// N tells the questions of a page's rows apart.
	N                                                                          int
	ID, URL, Who, UserID, Kind, State, Tone, Icon                              string
	Purpose, Reason, DecidedBy, Address, Organization, Role, Long, Lag, LagBad string
	Asked, Started, Ends, Ended                                                Instant
	Left                                                                       string
	LeftNow, Total                                                             int
	LeftTone                                                                   string
	Steps                                                                      []stepRow
	Pending, Live, Active                                                      bool
	CSRF                                                                       string
	// From is the page to go back to.
	From string
}

// GrantStates are the states of grants in the order of their way.
func GrantStates() []session.GrantStatus {
	return []session.GrantStatus{session.GrantPending, session.GrantStarting, session.GrantActive, session.GrantExpired, session.GrantRevoked, session.GrantFailed, session.GrantRefused}
}

// statusWords are a state's word, tone and icon.
func statusWords(s session.GrantStatus) (text, tone, icon string) {
	switch s {
	case session.GrantPending:
		return "Waits for approval", "warn", "clock"
	case session.GrantStarting:
		return "Being made ready", "info", "clock"
	case session.GrantActive:
		return "Running", "good", "yes"
	case session.GrantExpired:
		return "Ended by time", "", "glass"
	case session.GrantRevoked:
		return "Ended by hand", "", "no"
	case session.GrantFailed:
		return "Failed", "bad", "alert"
	case session.GrantRefused:
		return "Refused", "", "no"
	default:
		return shown(string(s), 20), "", "alert"
	}
}

func rowOfGrant(g session.DemoGrant, kinds []session.WorkspaceKind, v Viewer, n int) grantRow {
	row := grantRow{
		N: n, ID: shown(g.ID, maxIDShown), URL: "/admin/demos/" + url.PathEscape(g.ID), Who: shown(or(g.Email, g.UserID), maxEmailShown), UserID: g.UserID, Kind: kindTitle(kinds, g.WorkspaceType),
		Purpose: shown(g.Purpose, MaxPurpose), Reason: shown(g.Reason, 300), DecidedBy: shown(g.DecidedBy, maxEmailShown), Address: shown(g.ClientAddr, 45),
		Organization: shown(g.Organization, 60), Role: shown(g.Role, 64), Long: howLong(g.MaxDuration), CSRF: v.CSRF,
		Asked: utc(g.RequestedAt), Started: utc(g.StartedAt), Ends: utc(g.ExpiresAt), Ended: utc(g.EndedAt),
		Pending: g.Status == session.GrantPending, Live: !g.Status.Ended(), Active: g.Status == session.GrantActive,
	}
	row.State, row.Tone, row.Icon = statusWords(g.Status)
	if row.Active {
		row.timeLeft(g, v.Now)
	}
	row.Lag, row.LagBad = lag(g, v.Now)
	row.Steps = adminSteps(g, v.Now)
	return row
}

// timeLeft says how much of its time is left, and warns in the last minute.
func (row *grantRow) timeLeft(g session.DemoGrant, now time.Time) {
	left := wholeSeconds(g.ExpiresAt.Sub(now))
	row.LeftNow, row.Total = left, max(1, left, wholeSeconds(g.ExpiresAt.Sub(g.StartedAt)))
	row.Left, row.LeftTone = spoken(left), "info"
	if left <= 60 {
		row.LeftTone = "warn"
	}
}

// spoken writes seconds as a clock does.
func spoken(seconds int) string {
	if seconds >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	}
	return fmt.Sprintf("%02d:%02d", seconds/60, seconds%60)
}

// since writes how long something took, as exactly as is of use.
func since(d time.Duration) string {
	switch {
	case d < 0:
		return "0 ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	default:
		return InWords(int(d.Seconds()))
	}
}

// endOf is when a grant opened nothing any more, zero if it never opened
// anything or still does.
func endOf(g session.DemoGrant, now time.Time) time.Time {
	switch {
	case g.ExpiresAt.IsZero():
		return g.EndedAt
	case !g.EndedAt.IsZero() && g.EndedAt.Before(g.ExpiresAt):
		return g.EndedAt
	case g.ExpiresAt.After(now):
		return time.Time{}
	default:
		return g.ExpiresAt
	}
}

// lag says how far what is done for a grant is behind its clock, and what of it
// is wrong.
func lag(g session.DemoGrant, now time.Time) (said, wrong string) {
	end := endOf(g, now)
	if end.IsZero() {
		switch took := g.StartedAt.Sub(g.RequestedAt); {
		case g.StartedAt.IsZero():
			return "", ""
		case took < time.Millisecond:
			return "usable at once", ""
		default:
			return "usable " + since(took) + " after it was asked for", ""
		}
	}
	if !g.Status.Ended() {
		return "", "its time was over " + since(now.Sub(end)) + " ago"
	}
	var last time.Time
	total := 0
	for _, s := range g.Steps {
		if s.Phase == session.PhaseEnd {
			total++
			if s.At.After(last) {
				last = s.At
			}
		}
	}
	switch left := remaining(g); {
	case left > 0:
		return "", fmt.Sprintf("%d of %d not removed, %s after its end", left, total, since(now.Sub(end)))
	case total > 0:
		return "all gone " + since(last.Sub(end)) + " after its end", ""
	default:
		return "nothing had to be removed", ""
	}
}

// adminSteps are all steps of a grant, with what is wrong with them.
func adminSteps(g session.DemoGrant, now time.Time) []stepRow {
	rows := []stepRow{{"done", "Asked for", clockUTC(g.RequestedAt)}}
	switch {
	case g.Status == session.GrantPending:
		rows = append(rows, stepRow{"now", "Approval", "waits for " + since(now.Sub(g.RequestedAt))})
	case g.Status == session.GrantRefused:
		rows = append(rows, stepRow{"fail", "Refused", clockUTC(g.EndedAt)})
	case g.DecidedBy != "":
		rows = append(rows, stepRow{"done", "Approved", "by " + shown(g.DecidedBy, 60)})
	}
	rows = append(rows, stepsOf(g, session.PhaseStart, g.Status == session.GrantStarting)...)
	end := endOf(g, now)
	switch {
	case g.Status == session.GrantActive && end.IsZero():
		rows = append(rows, stepRow{"now", "Running", "for " + since(now.Sub(g.StartedAt))})
	case !end.IsZero() && g.Status != session.GrantRefused:
		rows = append(rows, stepRow{"done", "Access ended", clockUTC(end)})
	}
	return append(rows, stepsOf(g, session.PhaseEnd, !end.IsZero())...)
}

// stepsOf are the steps of a phase; now says that it is the one under way.
func stepsOf(g session.DemoGrant, phase string, now bool) []stepRow {
	var rows []stepRow
	for _, s := range g.Steps {
		if s.Phase != phase {
			continue
		}
		row := stepRow{"", stepTitle(s.Name), "waits"}
		if phase == session.PhaseEnd {
			row.Title += " removed"
		}
		switch {
		case s.State == session.StepDone:
			row.Class, row.Sub = "done", clockUTC(s.At)
		case s.State == session.StepFailed || s.Error != "":
			row.Class, row.Sub = "fail", "failed"
		case now:
			row.Class, row.Sub = "now", "under way"
		case g.Status.Ended() && phase == session.PhaseStart:
			row.Sub = "never made"
		}
		if s.Attempts > 1 {
			row.Sub += ", tried " + strconv.Itoa(s.Attempts) + " times"
		}
		if s.Error != "" && s.State != session.StepDone {
			row.Sub += ": " + shown(s.Error, 160)
		}
		rows = append(rows, row)
	}
	return rows
}

func clockUTC(t time.Time) string {
	if t.IsZero() {
		return "not known when"
	}
	return t.UTC().Format("15:04:05.000")
}

// Demos renders the page.
func (r *Renderer) Demos(v DemosView) Page {
	d := struct {
		frame
		AsOf                              Instant
		Live, Waiting, Longest            string
		Ended, Causes, Failed, Orphans    string
		Pending, Running, Done            []grantRow
		Next                              string
		First, FailedBad, MoreWaitingRows bool
	}{
		frame: r.frame(v.Viewer, "demos", "Demo grants"), AsOf: Instant{v.Now.UTC().Format("15:04:05"), v.Now.UTC().Format(time.RFC3339)}, Next: v.Next, First: v.First,
		Live: atLeast(v.Live, v.MoreLive), Waiting: atLeast(v.Waiting, v.MoreWaiting), Longest: "nobody waits", Ended: "unknown", Failed: "unknown", Orphans: "unknown",
		MoreWaitingRows: v.MoreWaiting || v.Waiting > len(v.Pending),
	}
	if v.ByTime >= 0 {
		d.Ended, d.Causes = grouped(v.ByTime+v.ByHand), fmt.Sprintf("%s by time, %s by hand", grouped(v.ByTime), grouped(v.ByHand))
		d.Failed, d.FailedBad, d.Orphans = grouped(v.Failed), v.Failed > 0, grouped(v.Orphans)
	}
	n := 0
	rows := func(grants []session.DemoGrant) (out []grantRow) {
		for _, g := range grants {
			n++
			out = append(out, rowOfGrant(g, v.Kinds, v.Viewer, n))
		}
		return out
	}
	d.Pending, d.Running, d.Done = rows(v.Pending), rows(v.Running), rows(v.Ended)
	if len(v.Pending) > 0 {
		d.Longest = "the first of them for " + since(v.Now.Sub(v.Pending[0].RequestedAt))
	}
	return r.render("demos", r.ownCSP(), orStatus(v.Status), d)
}

func atLeast(n int, more bool) string {
	if more {
		return grouped(n) + " or more"
	}
	return grouped(n)
}

// DemoList renders the list.
func (r *Renderer) DemoList(v DemoListView) Page {
	d := struct {
		frame
		User, Next string
		First      bool
		Asked      bool
		States     []option
		Grants     []grantRow
	}{frame: r.frame(v.Viewer, "demos", "All demo grants"), User: shown(v.User, 254), Next: v.Next, First: v.First, Asked: v.User != "" || v.State != ""}
	for _, s := range GrantStates() {
		text, _, _ := statusWords(s)
		d.States = append(d.States, option{string(s), text, string(s) == v.State})
	}
	for i, g := range v.Grants {
		d.Grants = append(d.Grants, rowOfGrant(g, v.Kinds, v.Viewer, i))
	}
	return r.render("demolist", r.ownCSP(), orStatus(v.Status), d)
}

// DemoGrant renders the page of one.
func (r *Renderer) DemoGrant(v DemoGrantView) Page {
	row := rowOfGrant(v.Grant, v.Kinds, v.Viewer, 1)
	row.From = "grant"
	title := strings.TrimSpace("Demo of " + row.Who)
	return r.render("demogrant", r.ownCSP(), orStatus(v.Status), struct {
		frame
		Grant grantRow
	}{r.frame(v.Viewer, "demos", title), row})
}
