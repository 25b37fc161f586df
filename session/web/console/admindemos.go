package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

const (
	adminDemosPath = "/admin/demos"
	// maxCounted bounds how many live grants are counted, shownWaiting how many
	// that wait are shown at once, and shownEnded how many that have ended.
	maxCounted   = 1000
	shownWaiting = 20
	shownEnded   = 10
	// maxReason is the most characters of an administrator's reason, and
	// maxMinutes the most by which one extension lasts longer.
	maxReason  = 300
	maxMinutes = 1440
)

func (c *Console) demos(w http.ResponseWriter, r *http.Request) {
	if s := c.o.Frame.Administrator(w, r); s != nil {
		c.showDemos(w, r, s, 0, nil)
	}
}

func (c *Console) showDemos(w http.ResponseWriter, r *http.Request, s *session.Session, status int, n *pages.Notice) {
	v := pages.DemosView{Viewer: c.viewer(w, r, s), Kinds: c.o.Demos.Kinds()}
	if n != nil {
		v.Notice, v.Status = n, status
	}
	after := search(r, "after")
	v.First = after == ""
	if err := c.fillDemos(r.Context(), &v, after); err != nil {
		c.o.Frame.Trouble(w, r, "listing demo sessions", err)
		return
	}
	c.o.Frame.Show(w, c.o.Pages.Demos(v))
}

// fillDemos looks up what the page shows.
func (c *Console) fillDemos(ctx context.Context, v *pages.DemosView, after string) error {
	page := func(q session.DemoQuery) (session.DemoPage, error) { return c.o.Demos.PageGrants(ctx, q) }
	waiting, err := page(session.DemoQuery{Status: session.GrantPending, Limit: maxCounted})
	if err != nil {
		return err
	}
	v.Waiting, v.MoreWaiting = len(waiting.Grants), waiting.Next != ""
	// Who has waited longest is seen to first.
	slices.Reverse(waiting.Grants)
	v.Pending = waiting.Grants[:min(len(waiting.Grants), shownWaiting)]
	live, err := page(session.DemoQuery{Live: true, Limit: maxCounted})
	if err != nil {
		return err
	}
	v.Live, v.MoreLive = len(live.Grants), live.Next != ""
	shown, err := page(session.DemoQuery{Live: true, After: after, Limit: pageSize})
	if err != nil {
		return err
	}
	for _, g := range shown.Grants {
		if g.Status != session.GrantPending {
			v.Running = append(v.Running, g)
		}
	}
	if shown.Next != "" {
		v.Next = adminDemosPath + "?after=" + url.QueryEscape(shown.Next)
	}
	for _, status := range pages.GrantStates() {
		if !status.Ended() {
			continue
		}
		ended, err := page(session.DemoQuery{Status: status, Limit: shownEnded})
		if err != nil {
			return err
		}
		v.Ended = append(v.Ended, ended.Grants...)
	}
	slices.SortFunc(v.Ended, func(a, b session.DemoGrant) int { return b.EndedAt.Compare(a.EndedAt) })
	v.Ended = v.Ended[:min(len(v.Ended), shownEnded)]
	c.countDemos(ctx, v)
	return nil
}

// demoCounts are what was counted of demos in the trail, some seconds ago.
type demoCounts struct {
	mu sync.Mutex
	at time.Time
	of map[session.Action]int
}

// countDemos counts how grants of the last day ended. That the trail cannot be
// read is no reason not to show them.
func (c *Console) countDemos(ctx context.Context, v *pages.DemosView) {
	c.demoCounts.mu.Lock()
	defer c.demoCounts.mu.Unlock()
	k := &c.demoCounts
	if age := v.Now.Sub(k.at); k.of == nil || age < 0 || age >= overviewAge {
		of := map[session.Action]int{}
		for _, a := range []session.Action{session.ActionDemoExpired, session.ActionDemoRevoked, session.ActionDemoFailed, session.ActionDemoOrphan} {
			if _, err := c.each(ctx, a, v.Now.Add(-24*time.Hour), func(session.AuditEntry) { of[a]++ }); err != nil {
				c.o.Logger.Warn("how demo sessions ended cannot be counted", "error", err, "request_id", session.OriginOf(ctx).RequestID)
				v.ByTime = -1
				return
			}
		}
		k.at, k.of = v.Now, of
	}
	v.ByTime, v.ByHand, v.Failed, v.Orphans = k.of[session.ActionDemoExpired], k.of[session.ActionDemoRevoked], k.of[session.ActionDemoFailed], k.of[session.ActionDemoOrphan]
}

// allDemos lists all grants.
func (c *Console) allDemos(w http.ResponseWriter, r *http.Request) {
	s := c.o.Frame.Administrator(w, r)
	if s == nil {
		return
	}
	v := pages.DemoListView{Viewer: c.viewer(w, r, s), Kinds: c.o.Demos.Kinds(), User: search(r, "user"), State: search(r, "state")}
	if !slices.Contains(pages.GrantStates(), session.GrantStatus(v.State)) {
		v.State = ""
	}
	after := search(r, "after")
	v.First = after == ""
	found, err := c.o.Demos.PageGrants(r.Context(), session.DemoQuery{UserID: v.User, Status: session.GrantStatus(v.State), After: after, Limit: pageSize})
	if err != nil {
		c.o.Frame.Trouble(w, r, "listing demo sessions", err)
		return
	}
	if v.Grants = found.Grants; found.Next != "" {
		q := url.Values{"after": {found.Next}}
		if v.User != "" {
			q.Set("user", v.User)
		}
		if v.State != "" {
			q.Set("state", v.State)
		}
		v.Next = adminDemosPath + "/all?" + q.Encode()
	}
	c.o.Frame.Show(w, c.o.Pages.DemoList(v))
}

func (c *Console) adminDemo(w http.ResponseWriter, r *http.Request) {
	s := c.o.Frame.Administrator(w, r)
	if s == nil {
		return
	}
	if g := c.grant(w, r, s); g != nil {
		c.showGrant(w, r, s, g, 0, nil)
	}
}

func (c *Console) showGrant(w http.ResponseWriter, r *http.Request, s *session.Session, g *session.DemoGrant, status int, n *pages.Notice) {
	v := pages.DemoGrantView{Viewer: c.viewer(w, r, s), Kinds: c.o.Demos.Kinds(), Grant: *g}
	if n != nil {
		v.Notice, v.Status = n, status
	}
	c.o.Frame.Show(w, c.o.Pages.DemoGrant(v))
}

// changeDemo decides on a grant, ends it or lets it last longer.
func (c *Console) changeDemo(w http.ResponseWriter, r *http.Request) {
	s, form := c.adminForm(w, r)
	if s == nil {
		return
	}
	g := c.grant(w, r, s)
	if g == nil {
		return
	}
	wrong := func(status int, text string) {
		// What is shown is how it is now.
		if now, err := c.o.Demos.Grant(r.Context(), g.ID); err == nil {
			g = &now
		}
		c.showGrant(w, r, s, g, status, bad(text))
	}
	reason := strings.TrimSpace(form.Get("reason"))
	if reason == "" || len([]rune(reason)) > maxReason {
		wrong(http.StatusUnprocessableEntity, "Nothing has changed: a reason is needed, of "+strconv.Itoa(maxReason)+" characters at the most.")
		return
	}
	by := session.Person{ID: s.Identity.UserID, Email: s.Identity.Email}
	done, n, err := deed(""), 0, error(nil)
	switch form.Get("do") {
	case "approve":
		done = doneDemoApproved
		_, err = c.o.Demos.Decide(as(r, s), g.ID, true, by, reason)
	case "refuse":
		done = doneDemoRefused
		_, err = c.o.Demos.Decide(as(r, s), g.ID, false, by, reason)
	case "end":
		done = doneDemoEnded
		_, err = c.o.Demos.End(as(r, s), g.ID, by, reason)
	case "extend":
		done = doneDemoExtended
		if n, err = strconv.Atoi(form.Get("minutes")); err != nil || n < 1 || n > maxMinutes {
			wrong(http.StatusUnprocessableEntity, "Nothing has changed: a demo lasts longer by 1 to "+strconv.Itoa(maxMinutes)+" minutes.")
			return
		}
		_, err = c.o.Demos.Extend(as(r, s), g.ID, time.Duration(n)*time.Minute, by, reason)
	default:
		c.o.Frame.Refuse(w, r, http.StatusForbidden, "form_refused", s)
		return
	}
	status, text, known := demoProblem(w, err)
	switch {
	case err == nil && form.Get("from") == "grant":
		c.done(w, r, s, adminDemosPath+"/"+g.ID, done, n)
	case err == nil:
		c.done(w, r, s, adminDemosPath, done, n)
	case known:
		wrong(status, text)
	default:
		c.o.Frame.Trouble(w, r, "changing a demo session", err)
	}
}
