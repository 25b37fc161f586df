package admin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// AuditQuery selects entries; Until is not for operators.
type AuditQuery = session.AuditQuery

type auditList struct {
	Entries []session.AuditEntry `json:"entries"`
}

// audit lists the trail.
func (a *API) audit(r *http.Request) (any, error) {
	v, err := parameters(r, "user", "action", "since", "before", "limit")
	if err != nil {
		return nil, err
	}
	q := AuditQuery{User: v.Get("user"), Action: session.Action(v.Get("action")), Limit: 100}
	if v.Has("since") {
		if q.Since, err = time.Parse(time.RFC3339, v.Get("since")); err != nil {
			return nil, problem(http.StatusBadRequest, "since %q is no instant such as 2026-03-05T10:15:30Z", v.Get("since"))
		}
	}
	if v.Has("before") {
		if q.Before, err = strconv.ParseUint(v.Get("before"), 10, 63); err != nil {
			return nil, problem(http.StatusBadRequest, "before %q is not the number of an entry", v.Get("before"))
		}
	}
	if v.Has("limit") {
		if q.Limit, err = strconv.Atoi(v.Get("limit")); err != nil || q.Limit < 1 || q.Limit > maxList {
			return nil, problem(http.StatusBadRequest, "limit %q is not a number from 1 to %d", v.Get("limit"), maxList)
		}
	}
	found, err := a.o.AuditLog.Entries(r.Context(), q)
	if err != nil {
		return nil, err
	}
	return auditList{Entries: nonNil(found)}, nil
}

// rolesOf returns the roles that the account of a request has before it is
// changed. Where nothing is kept nobody asks.
func (a *API) rolesOf(r *http.Request) ([]string, error) {
	if a.o.Audit == nil {
		return nil, nil
	}
	users, err := a.o.Users.ListUsers(r.Context(), maxUsers)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		if strings.EqualFold(u.Email, r.PathValue("email")) {
			return u.Roles, nil
		}
	}
	return nil, nil // changing it will say that it is not there
}

// auditRoles keeps a change of an account's roles, and what else happened to it.
// If it cannot, its caller takes the change back: made again, it would be none
// and never told of.
func (a *API) auditRoles(ctx context.Context, u session.User, before []string, also ...session.Action) error {
	if a.o.Audit == nil {
		return nil
	}
	var events []session.Event
	for _, action := range also {
		events = append(events, session.NewEvent(ctx, action, sessionOf(u)))
	}
	if err := a.o.Audit.Append(ctx, append(events, session.RoleEvents(ctx, sessionOf(u), before, u.Roles)...)...); err != nil {
		return fmt.Errorf("nothing is changed, since the audit trail cannot keep it: %w", err)
	}
	return nil
}

// sessionOf names an account in events.
func sessionOf(u session.User) *session.Session {
	return &session.Session{Identity: session.Identity{UserID: u.ID, Email: u.Email, Organization: u.Organization}}
}

// auditAccount keeps what was done with an account and cannot be taken back.
func (a *API) auditAccount(ctx context.Context, action session.Action, u session.User) error {
	if a.o.Audit == nil {
		return nil
	}
	return a.o.Audit.Append(ctx, session.NewEvent(ctx, action, sessionOf(u)))
}
