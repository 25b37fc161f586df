package main

import (
	"context"
	"slices"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/account"
)

// usersPath is an address of the API that is for administrators alone.
const usersPath = "/api/users"

// isAdministrator reports whether the API and the console take somebody for an
// administrator: who has that role, and whom policy takes for one, as it does by what
// roles and groups of some providers are called (policies/lib/admin.rego). Policy is
// asked for the list of users. One that gives it to somebody without any role or group
// as well says nothing of who asks.
func (a *app) isAdministrator(ctx context.Context, s *session.Session) bool {
	if slices.Contains(s.Identity.Roles, account.RoleAdmin) {
		return true
	}
	if len(s.Identity.Roles) == 0 && len(s.Identity.Groups) == 0 {
		return false
	}
	plain := *s
	plain.Identity.Roles, plain.Identity.Groups = nil, nil
	return a.listsUsers(ctx, s) && !a.listsUsers(ctx, &plain)
}

// listsUsers asks policy, which is charged to nobody.
func (a *app) listsUsers(ctx context.Context, s *session.Session) bool {
	for _, h := range a.live.File().Hosts() {
		_, e := a.live.File().Match(h.Name, usersPath)
		if e == nil || e.Route == nil || !e.Route.Gate || frontPage(h) == e.Route {
			continue
		}
		d, err := a.engine.Decide(ctx, &authz.Request{
			Time: time.Now(), Method: "GET", Scheme: "https", Host: h.Name, Path: usersPath, Protocol: "HTTP/2",
			Route: e.Route, RouteName: e.Route.Name, Extensions: map[string]string{"route": e.Route.Name}, Session: s,
		})
		if err != nil {
			a.log.Error("policy could not be asked who is an administrator", "route", e.Route.Name, "error", err)
			return false
		}
		return d.Allowed
	}
	return false
}
