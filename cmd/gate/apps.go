package main

import (
	"context"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web"
)

// apps lists the applications of the routes file and asks policy which are
// open to s now: a GET of each host's front page, charged to nobody.
func (a *app) apps(ctx context.Context, s *session.Session) []web.App {
	now := time.Now()
	var out []web.App
	for _, h := range a.live.File().Hosts() {
		r := frontPage(h)
		if r == nil || r.Gate {
			continue
		}
		x := web.App{URL: h.Origin + "/", Host: h.Name}
		describe(&x, r.Name)
		d, err := a.engine.Decide(ctx, &authz.Request{
			Time: now, Method: "GET", Scheme: "https", Host: h.Name, Path: "/", Protocol: "HTTP/2",
			Route: r, RouteName: r.Name, Extensions: map[string]string{"route": r.Name}, Session: s,
		})
		switch {
		case err != nil:
			a.log.Error("the landing page could not ask policy", "route", r.Name, "error", err)
			x.Reasons = []string{authz.ReasonPolicyError}
		case d.Allowed:
			x.Open = true
		default:
			x.Reasons = d.Reasons
		}
		if !x.Open {
			if hours := a.hours(); hours != nil && len(x.Reasons) == 1 && x.Reasons[0] == "outside_business_hours" {
				x.OpensAt = hours.OpensAfter(now)
			}
		}
		out = append(out, x)
	}
	return out
}

// frontPage is the route that answers a host's "/"; nil for a wildcard host,
// which has no one address to link to.
func frontPage(h route.Host) *authz.Route {
	if strings.Contains(h.Name, "*") {
		return nil
	}
	for _, e := range h.Entries {
		if e.Match.Prefix == "/" || e.Match.Path == "/" {
			return e.Route
		}
	}
	return nil
}

// applications are the words and pictures of the hosts that the shipped routes have.
var applications = map[string]struct{ title, description, icon string }{
	"portal":    {"Portal", "Where the working day begins", "grid"},
	"api":       {"API", "Reference and your own calls", "braces"},
	"admin":     {"Admin", "Users, sessions, policies", "gear"},
	"workspace": {"Workspace", "A desktop in the browser", "screen"},
}

// describe gives an application the words of a known one, else its route's
// name with a capital.
func describe(x *web.App, name string) {
	if k, ok := applications[name]; ok {
		x.Title, x.Description, x.Icon = k.title, k.description, k.icon
		return
	}
	x.Title, x.Icon = strings.ToUpper(name[:1])+name[1:], "app"
}
