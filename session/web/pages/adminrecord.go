package pages

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// AuditView is the console's page of the audit trail.
type AuditView struct {
	Viewer
	// User, Action, Text, Since and Until (days, both included) are what was asked for.
	User, Action, Text, Since, Until string
	// Actions are offered to be searched for.
	Actions []string
	Entries []session.AuditEntry
	// Older leads on, "" on the last page; First says that these are the newest.
	Older, Newest string
	First         bool
	// PausedAt is the number from which on a search has looked, 0 if it has come to its end.
	PausedAt uint64
	// CSV and NDJSON lead to the same as files.
	CSV, NDJSON string
	// Wrong says what of the question cannot be, "" if nothing.
	Wrong string
}

// auditRow is an entry in words.
type auditRow struct {
	Number, Action, Who, Whom, Details, From, Request string
	Time                                              Instant
	Refused                                           bool
}

func rowOfEntry(e session.AuditEntry) auditRow {
	row := auditRow{
		Number: strconv.FormatUint(e.Number, 10), Action: shown(string(e.Action), 64), Who: personOf(e.Actor), Time: utc(e.Time),
		From: shown(e.ClientIP, 45), Request: shown(e.RequestID, maxIDShown), Refused: e.Outcome != session.OutcomeSuccess,
	}
	if e.User != e.Actor {
		row.Whom = personOf(e.User)
	}
	var details []string
	for name, value := range e.Details {
		if value != "" {
			details = append(details, name+" "+value)
		}
	}
	slices.Sort(details)
	row.Details = shown(strings.Join(details, ", "), 300)
	return row
}

func personOf(p session.Person) string {
	return shown(or(p.Email, or(p.ID, "nobody known")), maxEmailShown)
}

// Audit renders the page.
func (r *Renderer) Audit(v AuditView) Page {
	d := struct {
		frame
		User, Action, Text, Since, Until, Older, Newest, CSV, NDJSON, Wrong, PausedAt string
		First                                                                         bool
		Actions                                                                       []string
		Entries                                                                       []auditRow
	}{
		frame: r.frame(v.Viewer, "audit", "Audit trail"), User: shown(v.User, 254), Action: shown(v.Action, 64), Text: shown(v.Text, 256), Since: v.Since, Until: v.Until,
		Older: v.Older, Newest: v.Newest, First: v.First, CSV: v.CSV, NDJSON: v.NDJSON, Wrong: v.Wrong, Actions: v.Actions,
	}
	if v.PausedAt > 0 {
		d.PausedAt = strconv.FormatUint(v.PausedAt, 10)
	}
	for _, e := range v.Entries {
		d.Entries = append(d.Entries, rowOfEntry(e))
	}
	return r.render("audit", r.ownCSP(), orStatus(v.Status), d)
}

// HourView is what happened within an hour that begins at Start.
type HourView struct {
	Start time.Time
	// SignIns came about, Refused did not; Denied are requests that policy
	// refused, where the trail keeps those.
	SignIns, Refused, Denied int
}

// OverviewView is the console's first page.
type OverviewView struct {
	Viewer
	// Live is how many sessions are live, Ended how many ended before their time
	// within the hours; below zero if they could not be counted.
	Live, Ended int
	// Hours are those up to now, the oldest first.
	Hours []HourView
	// Cut says that there was more than is counted.
	Cut    bool
	Recent []session.AuditEntry
}

// chart is a row of bars, each made of one or two parts.
type chart struct {
	Width, Most int
	Label       string
	Bars        []bar
}

type bar struct {
	X     int
	Y, H  string
	Class string
}

// height of a chart's picture; each hour is 10 wide.
const height = 70

func chartOf(hours []HourView, label string, parts func(HourView) [2]int) chart {
	c := chart{Width: 10 * len(hours), Label: label}
	for _, h := range hours {
		p := parts(h)
		c.Most = max(c.Most, p[0]+p[1])
	}
	if c.Most == 0 {
		return c
	}
	for i, h := range hours {
		top := float64(height)
		for j, n := range parts(h) {
			if n == 0 {
				continue
			}
			tall := float64(height) * float64(n) / float64(c.Most)
			top -= tall
			c.Bars = append(c.Bars, bar{X: 10*i + 1, Y: fmt.Sprintf("%.1f", top), H: fmt.Sprintf("%.1f", tall), Class: []string{"c1", "c2"}[j]})
		}
	}
	return c
}

type hourRow struct{ Hour, SignIns, Refused, Denied string }

// Overview renders the page.
func (r *Renderer) Overview(v OverviewView) Page {
	d := struct {
		frame
		AsOf                                  Instant
		Live, Ended, SignIns, Refused, Denied string
		Begin, Middle                         string
		Cut                                   bool
		SignInChart, DeniedChart              chart
		Hours                                 []hourRow
		Recent                                []auditRow
	}{frame: r.frame(v.Viewer, "overview", "Overview"), AsOf: utc(v.Now), Live: "unknown", Ended: "unknown", Cut: v.Cut}
	if v.Live >= 0 {
		d.Live = grouped(v.Live)
	}
	if v.Ended >= 0 {
		d.Ended = grouped(v.Ended)
	}
	var in, refused, denied int
	for _, h := range v.Hours {
		in, refused, denied = in+h.SignIns, refused+h.Refused, denied+h.Denied
		d.Hours = append(d.Hours, hourRow{h.Start.UTC().Format("15:04"), grouped(h.SignIns), grouped(h.Refused), grouped(h.Denied)})
	}
	slices.Reverse(d.Hours)
	d.SignIns, d.Refused, d.Denied = grouped(in), grouped(refused), grouped(denied)
	if n := len(v.Hours); n > 0 {
		d.Begin, d.Middle = v.Hours[0].Start.UTC().Format("15:04"), v.Hours[n/2].Start.UTC().Format("15:04")
	}
	d.SignInChart = chartOf(v.Hours, "Sign-ins by hour: "+d.SignIns+" came about, "+d.Refused+" were refused.", func(h HourView) [2]int { return [2]int{h.SignIns, h.Refused} })
	d.DeniedChart = chartOf(v.Hours, "Requests that policy refused, by hour: "+d.Denied+".", func(h HourView) [2]int { return [2]int{0, h.Denied} })
	for _, e := range v.Recent {
		d.Recent = append(d.Recent, rowOfEntry(e))
	}
	return r.render("overview", r.ownCSP(), orStatus(v.Status), d)
}

// OrganizationsView is the console's list of organizations.
type OrganizationsView struct {
	Viewer
	Organizations []session.Organization
	// Next leads on, "" on the last page; First says that this is the first.
	Next  string
	First bool
	// Name and Domain are what was typed for a new one that is not made.
	Name, Domain string
}

type organizationRow struct {
	ID, Name, Domain, Users, Workspaces string
	Default                             bool
	Made                                Instant
}

func rowOfOrganization(o session.Organization) organizationRow {
	return organizationRow{o.ID, shown(o.Name, 100), shown(o.Domain, 100), grouped(o.UsersCount), grouped(o.WorkspacesCount), o.ID == session.DefaultOrganizationID, utc(o.CreatedAt)}
}

// Organizations renders the page.
func (r *Renderer) Organizations(v OrganizationsView) Page {
	d := struct {
		frame
		Next, NewName, NewDomain string
		First                    bool
		Organizations            []organizationRow
	}{frame: r.frame(v.Viewer, "organizations", "Organizations"), Next: v.Next, First: v.First, NewName: shown(v.Name, 200), NewDomain: shown(v.Domain, 254)}
	for _, o := range v.Organizations {
		d.Organizations = append(d.Organizations, rowOfOrganization(o))
	}
	return r.render("organizations", r.ownCSP(), orStatus(v.Status), d)
}

// OrganizationView is the console's page of one organization.
type OrganizationView struct {
	Viewer
	Organization session.Organization
	Invitations  []session.Invitation
	KnownRoles   []string
	// Email is what was typed for an invitation that is not made.
	Email string
	// Link is that of a new invitation, where no mail is sent: it is shown once.
	Link, LinkFor string
}

type invitationRow struct {
	ID, Email, Roles string
	Ends             Instant
}

// Organization renders the page.
func (r *Renderer) Organization(v OrganizationView) Page {
	d := struct {
		frame
		Organization                   organizationRow
		UsersURL, Typed, Link, LinkFor string
		Roles                          []option
		Invitations                    []invitationRow
	}{
		frame: r.frame(v.Viewer, "organizations", shown(v.Organization.Name, 60)), Organization: rowOfOrganization(v.Organization),
		UsersURL: "/admin/users?organization=" + url.QueryEscape(v.Organization.ID), Typed: shown(v.Email, 254), Link: v.Link, LinkFor: shown(v.LinkFor, maxEmailShown),
	}
	for _, role := range v.KnownRoles {
		d.Roles = append(d.Roles, option{role, roleMeans(role), role == "user"})
	}
	for _, i := range v.Invitations {
		d.Invitations = append(d.Invitations, invitationRow{i.ID, shown(i.Email, maxEmailShown), shownRoles(i.Roles), utc(i.ExpiresAt)})
	}
	return r.render("organization", r.ownCSP(), orStatus(v.Status), d)
}
