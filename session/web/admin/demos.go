package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/neosc/gate/session"
)

// DemoSession is a demo session as operators see it.
type DemoSession struct {
	session.DemoGrant
	// MaxDuration is from its start to its end, in seconds.
	MaxDuration int64 `json:"max_duration"`
}

// NewDemo is a demo session that an operator asks for, for somebody. Duration is
// like "20m", or "" for the kind's.
type NewDemo struct {
	Email         string `json:"email"`
	WorkspaceType string `json:"workspace_type"`
	Purpose       string `json:"purpose,omitempty"`
	Duration      string `json:"duration,omitempty"`
}

// DemoChange is what an operator does with a demo session.
type DemoChange struct {
	// Move is approve, refuse, end or extend.
	Move   string `json:"move"`
	Reason string `json:"reason,omitempty"`
	// By is how much longer an extended one is to last, like "10m".
	By string `json:"by,omitempty"`
}

type demoList struct {
	Demos []DemoSession `json:"demo_sessions"`
	Next  string        `json:"next,omitempty"`
}

// handleDemos adds what needs Demos.
func (a *API) handleDemos() {
	if a.o.Demos == nil {
		return
	}
	a.handle("GET /v1/demo-sessions", a.listDemos)
	a.handle("POST /v1/demo-sessions", a.addDemo)
	a.handle("GET /v1/demo-sessions/{id}", a.demo)
	a.handle("POST /v1/demo-sessions/{id}", a.changeDemo)
}

func demoSession(g session.DemoGrant) DemoSession {
	return DemoSession{g, int64(g.MaxDuration / time.Second)}
}

func (a *API) listDemos(r *http.Request) (any, error) {
	q, err := parameters(r, "user", "status", "live", "after", "limit")
	if err != nil {
		return nil, err
	}
	query := session.DemoQuery{UserID: q.Get("user"), Status: session.GrantStatus(q.Get("status")), Live: q.Get("live") == "true", After: q.Get("after")}
	if query.Status != "" && !query.Status.Known() {
		return nil, problem(http.StatusBadRequest, "the state is %q; there are pending, starting, active, expired, revoked, failed and refused", query.Status)
	}
	if err := limited(q, &query.Limit); err != nil {
		return nil, err
	}
	page, err := a.o.Demos.PageGrants(r.Context(), query)
	out := demoList{Demos: make([]DemoSession, 0, len(page.Grants)), Next: page.Next}
	for _, g := range page.Grants {
		out.Demos = append(out.Demos, demoSession(g))
	}
	return out, demoProblem(err)
}

func (a *API) demo(r *http.Request) (any, error) {
	if _, err := parameters(r); err != nil {
		return nil, err
	}
	g, err := a.o.Demos.Grant(r.Context(), r.PathValue("id"))
	return demoSession(g), demoProblem(err)
}

func (a *API) addDemo(r *http.Request) (any, error) {
	var n NewDemo
	if err := decode(r, &n); err != nil {
		return nil, err
	}
	q := session.DemoRequest{WorkspaceType: n.WorkspaceType, Purpose: n.Purpose}
	if n.Duration != "" {
		var err error
		if q.Duration, err = time.ParseDuration(n.Duration); err != nil || q.Duration <= 0 {
			return nil, problem(http.StatusBadRequest, "duration is %q; it is like 20m", n.Duration)
		}
	}
	if n.Email == "" { // which would mean whoever signed in last
		return nil, problem(http.StatusUnprocessableEntity, "email is missing: say for whom the demo session is")
	}
	who, err := a.somebody(r.Context(), n.Email)
	if err != nil {
		return nil, err
	}
	g, err := a.o.Demos.Request(r.Context(), who, q)
	return demoSession(g), demoProblem(err)
}

// somebody is who has an email: the person of a live session, an account of the
// gate's own, or somebody whom a provider has signed in.
func (a *API) somebody(ctx context.Context, email string) (*session.Session, error) {
	found, err := a.o.Sessions.List(ctx, session.Query{Email: email, Now: a.o.Clock(), Limit: 1})
	if err != nil || len(found) > 0 {
		return first(found), err
	}
	u, err := a.known(ctx, email)
	if errors.Is(err, session.ErrNoUser) {
		return nil, NotFound("nobody with the email %s has an account, or was signed in here", email)
	}
	if err != nil {
		return nil, err
	}
	id := session.Identity{UserID: u.ID, Email: u.Email, Organization: u.Organization, Issuer: u.Issuer, Subject: u.Subject}
	if u.OrganizationID != "" {
		id.Claims = map[string]any{"organization_id": u.OrganizationID}
	}
	return &session.Session{Identity: id}, nil
}

// known is the account of an email, or else somebody of that email whom a provider
// has signed in: session.ErrNoUser if there is neither.
func (a *API) known(ctx context.Context, email string) (session.User, error) {
	u, err := a.account(ctx, email)
	if !errors.Is(err, session.ErrNoUser) || a.o.People == nil || email == "" {
		return u, err
	}
	people, wrong := a.o.People.ListPeople(ctx, session.PeopleQuery{Email: email, Limit: 1})
	switch {
	case wrong != nil:
		return u, wrong
	case len(people) == 0:
		return u, err
	}
	return people[0], nil
}

func first(found []*session.Session) *session.Session {
	if len(found) == 0 {
		return nil
	}
	return found[0]
}

func (a *API) changeDemo(r *http.Request) (any, error) {
	var c DemoChange
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	var g session.DemoGrant
	var err error
	switch id, by := r.PathValue("id"), session.Operator(); c.Move {
	case "approve", "refuse":
		g, err = a.o.Demos.Decide(r.Context(), id, c.Move == "approve", by, c.Reason)
	case "end":
		g, err = a.o.Demos.End(r.Context(), id, by, c.Reason)
	case "extend":
		d, bad := time.ParseDuration(c.By)
		if bad != nil || d <= 0 {
			return nil, problem(http.StatusBadRequest, "by is %q; it is how much longer, like 10m", c.By)
		}
		g, err = a.o.Demos.Extend(r.Context(), id, d, by, c.Reason)
	default:
		return nil, problem(http.StatusBadRequest, "the move is %q; there are approve, refuse, end and extend", c.Move)
	}
	return demoSession(g), demoProblem(err)
}

// demoProblem is what an operator is told of an error of session.Demos; of others,
// what they are told of those.
func demoProblem(err error) error {
	full, isFull := errors.AsType[*session.DemoCapError](err)
	switch {
	case isFull:
		return problem(http.StatusConflict, "%v; demo.caps in the configuration says how many", full)
	case errors.Is(err, session.ErrNoDemo):
		return problem(http.StatusNotFound, "%v; `gate demo list` shows them", session.ErrNoDemo)
	case errors.Is(err, session.ErrDemoState):
		return problem(http.StatusConflict, "%v; `gate demo show` tells where it is", session.ErrDemoState)
	case errors.Is(err, session.ErrBadDemo):
		return problem(http.StatusUnprocessableEntity, "%v", err)
	}
	return err
}

// Demos lists demo sessions, the newest first.
func (c *Client) Demos(ctx context.Context, userID, status string, live bool, limit int) ([]DemoSession, error) {
	q := url.Values{}
	set(q, "user", userID)
	set(q, "status", status)
	if live {
		q.Set("live", "true")
	}
	q.Set("limit", strconv.Itoa(limit))
	var out demoList
	err := c.do(ctx, "GET", "/v1/demo-sessions", q, nil, &out)
	return out.Demos, err
}

// Demo returns one demo session.
func (c *Client) Demo(ctx context.Context, id string) (out DemoSession, err error) {
	err = c.do(ctx, "GET", "/v1/demo-sessions/"+url.PathEscape(id), nil, nil, &out)
	return out, err
}

// AddDemo asks for a demo session for somebody.
func (c *Client) AddDemo(ctx context.Context, n NewDemo) (out DemoSession, err error) {
	err = c.do(ctx, "POST", "/v1/demo-sessions", nil, n, &out)
	return out, err
}

// ChangeDemo moves a demo session.
func (c *Client) ChangeDemo(ctx context.Context, id string, m DemoChange) (out DemoSession, err error) {
	err = c.do(ctx, "POST", "/v1/demo-sessions/"+url.PathEscape(id), nil, m, &out)
	return out, err
}
