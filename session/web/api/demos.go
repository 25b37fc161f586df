package api

import (
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// DemoSession is a demo session as the API shows it.
type DemoSession struct {
	session.DemoGrant
	// MaxDuration is from its start to its end, and Remaining what is left of it
	// now; both in seconds.
	MaxDuration int64 `json:"max_duration"`
	Remaining   int64 `json:"remaining_seconds"`
}

// demoSession shows one to who asks. What steps said is for administrators.
func (a *API) demoSession(c *call, g session.DemoGrant) DemoSession {
	if !c.isAdmin() {
		g.Steps = slices.Clone(g.Steps)
		for i := range g.Steps {
			g.Steps[i].Error = ""
		}
	}
	out := DemoSession{DemoGrant: g, MaxDuration: int64(g.MaxDuration / time.Second)}
	if g.Status == session.GrantActive {
		out.Remaining = max(0, int64(math.Ceil(g.ExpiresAt.Sub(a.o.Clock()).Seconds())))
	}
	return out
}

// demoTable are the addresses of demo sessions.
func (a *API) demoTable() []served {
	if a.o.Demos == nil {
		return nil
	}
	return []served{
		{Route{"GET", "/api/demo-sessions", Session}, a.listDemos},
		{Route{"POST", "/api/demo-sessions", Session}, a.requestDemo},
		{Route{"GET", "/api/demo-sessions/{demo}", Session}, a.getDemo},
		{Route{"DELETE", "/api/demo-sessions/{demo}", Session}, a.endDemo},
		{Route{"POST", "/api/demo-sessions/{demo}/approve", Admin}, a.decideDemo(true)},
		{Route{"POST", "/api/demo-sessions/{demo}/refuse", Admin}, a.decideDemo(false)},
		{Route{"POST", "/api/demo-sessions/{demo}/extend", Admin}, a.extendDemo},
	}
}

// demoRequest asks for a demo session; MaxDuration is in seconds.
type demoRequest struct {
	WorkspaceType string `json:"workspace_type"`
	Purpose       string `json:"purpose"`
	MaxDuration   int64  `json:"max_duration"`
}

// maxSeconds is more than any duration that is allowed.
const maxSeconds = 1 << 30

func seconds(what string, n int64) (time.Duration, error) {
	if n < 0 || n > maxSeconds {
		return 0, invalid("%s is a number of seconds, from 1.", what)
	}
	return time.Duration(n) * time.Second, nil
}

// requestDemo gives whoever has a live one of the kind already that one, which is
// 200 then.
func (a *API) requestDemo(c *call) (reply, error) {
	var q demoRequest
	if err := decode(c.w, c.Request, &q); err != nil {
		return reply{}, err
	}
	if q.WorkspaceType == "" {
		return reply{}, invalid("Workspace_type is missing.")
	}
	d, err := seconds("Max_duration", q.MaxDuration)
	if err != nil {
		return reply{}, err
	}
	g, err := a.o.Demos.Request(c.Context(), c.s, session.DemoRequest{WorkspaceType: q.WorkspaceType, Purpose: q.Purpose, Duration: d})
	if err != nil {
		return reply{}, demoProblem(err)
	}
	c.w.Header().Set("Location", "/api/demo-sessions/"+g.ID)
	status := http.StatusCreated
	if g.Again {
		status = http.StatusOK
	}
	return reply{status: status, body: a.demoSession(c, g)}, nil
}

// listDemos shows one's own, and administrators those of a user, or of all.
func (a *API) listDemos(c *call) (reply, error) {
	q, limit, err := page(c, "user", "all", "after", "status", "live")
	if err != nil {
		return reply{}, err
	}
	own := c.s.Identity.UserID
	query := session.DemoQuery{UserID: own, Status: session.GrantStatus(q.Get("status")), Live: q.Get("live") == "true", After: q.Get("after"), Limit: limit}
	switch {
	case q.Has("all") && (q.Get("all") != "true" || q.Has("user")), q.Has("live") && q.Get("live") != "true", q.Has("user") && q.Get("user") == "":
		return reply{}, problem(http.StatusBadRequest, "request_invalid", "The parameters all and live are true, user is no empty text, and all goes without it.")
	case q.Has("status") && !query.Status.Known():
		return reply{}, problem(http.StatusBadRequest, "request_invalid", "The parameter status is none of the states of a demo session.")
	case q.Has("all"):
		query.UserID = ""
	case q.Has("user"):
		query.UserID = q.Get("user")
	}
	if query.UserID != own && !c.isAdmin() {
		return reply{}, problem(http.StatusForbidden, "role_required", "Only administrators see the demo sessions of others.")
	}
	found, err := a.o.Demos.PageGrants(c.Context(), query)
	if errors.Is(err, session.ErrBadDemo) {
		return reply{}, problem(http.StatusBadRequest, "request_invalid", "The parameter after is none that was in a Link header.")
	}
	if err != nil {
		return reply{}, err
	}
	out := make([]DemoSession, 0, len(found.Grants))
	for _, g := range found.Grants {
		out = append(out, a.demoSession(c, g))
	}
	return reply{body: out, next: nextPage(c, q, found.Next)}, nil
}

// demoOf returns the demo session of a path. To others than administrators, one
// that is not theirs is not there.
func (a *API) demoOf(c *call) (session.DemoGrant, error) {
	g, err := a.o.Demos.Grant(c.Context(), c.PathValue("demo"))
	if errors.Is(err, session.ErrNoDemo) || err == nil && g.UserID != c.s.Identity.UserID && !c.isAdmin() {
		return g, noSuch("demo session")
	}
	return g, err
}

func (a *API) getDemo(c *call) (reply, error) {
	if _, err := parameters(c.Request); err != nil {
		return reply{}, err
	}
	g, err := a.demoOf(c)
	return reply{body: a.demoSession(c, g)}, err
}

// endDemo ends one now. One that has ended stays as it is.
func (a *API) endDemo(c *call) (reply, error) {
	q, err := parameters(c.Request, "reason")
	if err != nil {
		return reply{}, err
	}
	g, err := a.demoOf(c)
	if err != nil {
		return reply{}, err
	}
	g, err = a.o.Demos.End(c.Context(), g.ID, person(c), q.Get("reason"))
	return reply{body: a.demoSession(c, g)}, demoProblem(err)
}

func person(c *call) session.Person {
	return session.Person{ID: c.s.Identity.UserID, Email: c.s.Identity.Email}
}

type demoDecision struct {
	Reason string `json:"reason"`
}

func (a *API) decideDemo(approve bool) handler {
	return func(c *call) (reply, error) {
		var q demoDecision
		if err := decode(c.w, c.Request, &q); err != nil {
			return reply{}, err
		}
		g, err := a.o.Demos.Decide(c.Context(), c.PathValue("demo"), approve, person(c), q.Reason)
		return reply{body: a.demoSession(c, g)}, demoProblem(err)
	}
}

// demoExtension lets a demo session last longer, by seconds.
type demoExtension struct {
	By     int64  `json:"by"`
	Reason string `json:"reason"`
}

func (a *API) extendDemo(c *call) (reply, error) {
	var q demoExtension
	if err := decode(c.w, c.Request, &q); err != nil {
		return reply{}, err
	}
	d, err := seconds("By", q.By)
	if err != nil {
		return reply{}, err
	}
	g, err := a.o.Demos.Extend(c.Context(), c.PathValue("demo"), d, person(c), q.Reason)
	return reply{body: a.demoSession(c, g)}, demoProblem(err)
}

// demoProblem is what a program is told of an error of session.Demos; of others,
// what it is told of those.
func demoProblem(err error) error {
	if full, ok := errors.AsType[*session.DemoCapError](err); ok {
		p := problem(http.StatusTooManyRequests, "demo_cap", "%s", sentence(full.Error()))
		p.Type = quotaExceeded
		if full.RetryAfter > 0 {
			p.retryAfter = max(1, int(math.Ceil(full.RetryAfter.Seconds())))
		}
		return p
	}
	switch {
	case errors.Is(err, session.ErrNoDemo):
		return noSuch("demo session")
	case errors.Is(err, session.ErrDemoState):
		return problem(http.StatusConflict, "demo_state", "%s", sentence(session.ErrDemoState.Error()))
	case errors.Is(err, session.ErrBadDemo):
		why := err.Error()
		if _, said, ok := strings.Cut(why, session.ErrBadDemo.Error()+": "); ok {
			why = said
		}
		return invalid("%s", sentence(why))
	}
	return err
}
