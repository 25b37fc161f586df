package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

const (
	auditPath = "/admin/audit"
	auditPage = 50
)

// searchable are the actions that are offered to be searched for.
func searchable() []string {
	all := []session.Action{
		session.ActionLogin, session.ActionSSOLogin, session.ActionLogout, session.ActionSessionCreated, session.ActionSessionExpired, session.ActionSessionRevoked,
		session.ActionTokenIssued, session.ActionTokenRevoked, session.ActionRoleAssigned, session.ActionRoleRevoked, session.ActionRegister, session.ActionEmailVerified,
		session.ActionPasswordChanged, session.ActionPasswordResetAsked, session.ActionPasswordReset, session.ActionFactorAdded, session.ActionFactorRemoved, session.ActionFactorUsed,
		session.ActionRecoveryCodes, session.ActionUserChanged, session.ActionUserDisabled, session.ActionUserEnabled, session.ActionUserMoved, session.ActionUserRemoved, session.ActionUserImported,
		session.ActionInvited, session.ActionInvitationAccepted, session.ActionInvitationRevoked, session.ActionOrganizationCreated, session.ActionOrganizationModified,
		session.ActionPolicySwitched, session.ActionPolicyActivated, session.ActionPolicyRefused, session.ActionRequestAllowed, session.ActionRequestDenied, session.ActionAuditPruned,
		session.ActionDemoRequested, session.ActionDemoApproved, session.ActionDemoRefused, session.ActionDemoStarted, session.ActionDemoExtended, session.ActionDemoExpired,
		session.ActionDemoRevoked, session.ActionDemoFailed, session.ActionDemoCleaned, session.ActionDemoOrphan,
		"create_workspace", "update_workspace", "delete_workspace", "launch_workspace", "stop_workspace", "disconnect_session", "reset_workspaces",
	}
	out := make([]string, len(all))
	for i, a := range all {
		out[i] = string(a)
	}
	return out
}

// audit shows the trail. Its question is the same as that of /api/audit-logs,
// but for days in the place of instants.
func (c *Console) audit(w http.ResponseWriter, r *http.Request) {
	s := c.o.Frame.Administrator(w, r)
	if s == nil {
		return
	}
	v := pages.AuditView{
		Viewer: c.viewer(w, r, s), User: search(r, "user"), Action: search(r, "action"), Text: search(r, "text"), Since: search(r, "since"), Until: search(r, "until"), Actions: searchable(),
	}
	q, file, wrong := auditQuestion(r, &v)
	v.First = q.Before == 0
	if v.Wrong = wrong; wrong != "" {
		v.Status = http.StatusBadRequest
	}
	found, err := c.o.AuditLog.Entries(r.Context(), q)
	if paused, ok := errors.AsType[*session.AuditPaused](err); ok {
		v.PausedAt, err = paused.Before, nil
	}
	if err != nil {
		c.o.Frame.Trouble(w, r, "reading the audit trail", err)
		return
	}
	page := url.Values{}
	for name, value := range map[string]string{"user": v.User, "action": v.Action, "text": v.Text, "since": v.Since, "until": v.Until} {
		if value != "" {
			page.Set(name, value)
		}
	}
	v.Newest = auditPath + "?" + page.Encode()
	older := v.PausedAt
	if len(found) > auditPage {
		found, v.PausedAt = found[:auditPage], 0
		older = found[len(found)-1].Number
	}
	if older != 0 {
		page.Set("before", strconv.FormatUint(older, 10))
		v.Older = auditPath + "?" + page.Encode()
	}
	file.Set("limit", "all")
	file.Set("format", "csv")
	v.CSV = "/api/audit-logs?" + file.Encode()
	file.Set("format", "ndjson")
	v.NDJSON = "/api/audit-logs?" + file.Encode()
	v.Entries = found
	c.o.Frame.Show(w, c.o.Pages.Audit(v))
}

// auditQuestion reads what is asked for. What cannot be is left out of the
// question, and said.
func auditQuestion(r *http.Request, v *pages.AuditView) (q session.AuditQuery, file url.Values, wrong string) {
	// One more than is shown tells whether there are older ones.
	q, file = session.AuditQuery{User: v.User, Action: session.Action(v.Action), Text: v.Text, Limit: auditPage + 1}, url.Values{}
	if v.User != "" {
		file.Set("user", v.User)
	}
	if v.Action != "" {
		file.Set("action", v.Action)
	}
	if v.Text != "" {
		file.Set("q", v.Text)
	}
	for name, field := range map[string]*string{"since": &v.Since, "until": &v.Until} {
		if *field == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, *field)
		if err != nil {
			wrong, *field = "A day is written as 2026-03-05. The one that cannot be read was left out.", ""
			continue
		}
		if name == "since" {
			q.Since = day
		} else {
			day = day.AddDate(0, 0, 1)
			q.Until = day
		}
		file.Set(name, day.Format(time.RFC3339))
	}
	if before, err := strconv.ParseUint(r.URL.Query().Get("before"), 10, 63); err == nil {
		q.Before = before
	}
	return q, file, wrong
}

const (
	overviewHours = 24
	// countedPages bounds how many pages of 1,000 entries of each action are
	// counted: the trail may tell of a million a day.
	countedPages = 10
	// overviewAge is how old the counts may be: administrators who keep the page
	// open must not read the trail without an end.
	overviewAge = 10 * time.Second
	recentShown = 8
)

// counts are what the overview has counted.
type counts struct {
	mu    sync.Mutex
	at    time.Time
	hours []pages.HourView
	ended int
	cut   bool
}

func (c *Console) overview(w http.ResponseWriter, r *http.Request) {
	s := c.o.Frame.Administrator(w, r)
	if s == nil {
		return
	}
	now := c.o.Clock()
	v := pages.OverviewView{Viewer: c.viewer(w, r, s), Live: -1}
	var err error
	if v.Hours, v.Ended, v.Cut, err = c.counted(r.Context(), now); err != nil {
		c.o.Frame.Trouble(w, r, "counting in the audit trail", err)
		return
	}
	if v.Recent, err = c.o.AuditLog.Entries(r.Context(), session.AuditQuery{Limit: recentShown}); err != nil {
		c.o.Frame.Trouble(w, r, "reading the audit trail", err)
		return
	}
	if live, err := c.o.CountLive(r.Context(), now); err == nil {
		v.Live = live
	}
	c.o.Frame.Show(w, c.o.Pages.Overview(v))
}

// counted returns what happened in the hours until now, as of a few seconds ago.
func (c *Console) counted(ctx context.Context, now time.Time) ([]pages.HourView, int, bool, error) {
	c.counts.mu.Lock()
	defer c.counts.mu.Unlock()
	k := &c.counts
	if age := now.Sub(k.at); k.hours != nil && age >= 0 && age < overviewAge {
		return k.hours, k.ended, k.cut, nil
	}
	first := now.Truncate(time.Hour).Add(-(overviewHours - 1) * time.Hour)
	hours := make([]pages.HourView, overviewHours)
	for i := range hours {
		hours[i].Start = first.Add(time.Duration(i) * time.Hour)
	}
	ended, cut := 0, false
	for _, action := range []session.Action{session.ActionLogin, session.ActionSSOLogin, session.ActionRequestDenied, session.ActionSessionRevoked} {
		more, err := c.each(ctx, action, first, func(e session.AuditEntry) {
			i := int(e.Time.Sub(first) / time.Hour)
			if i < 0 || i >= overviewHours || e.Time.Before(first) {
				return
			}
			switch {
			case action == session.ActionSessionRevoked:
				ended++
			case action == session.ActionRequestDenied:
				hours[i].Denied++
			case e.Outcome == session.OutcomeSuccess:
				hours[i].SignIns++
			default:
				hours[i].Refused++
			}
		})
		if err != nil {
			return nil, 0, false, err
		}
		cut = cut || more
	}
	k.at, k.hours, k.ended, k.cut = now, hours, ended, cut
	return hours, ended, cut, nil
}

// each calls f with the newest entries of an action since an instant, and says
// whether there are more.
func (c *Console) each(ctx context.Context, a session.Action, since time.Time, f func(session.AuditEntry)) (more bool, err error) {
	q := session.AuditQuery{Action: a, Since: since, Limit: 1000}
	for range countedPages {
		found, err := c.o.AuditLog.Entries(ctx, q)
		if err != nil {
			return false, err
		}
		for _, e := range found {
			f(e)
		}
		if len(found) < q.Limit {
			return false, nil
		}
		q.Before = found[len(found)-1].Number
	}
	return true, nil
}
