package main

import (
	"net/http"

	"github.com/neosc/gate/session/web"
	"github.com/neosc/gate/session/web/api"
)

// withAPI puts the JSON API before the gate's own pages, which answer some of
// its addresses themselves.
func (a *app) withAPI(own *web.Handler, o web.Options) (http.Handler, error) {
	programs, err := api.New(api.Options{
		Accounts: a.guard, Registrar: a.service, Members: a.service, Organizations: a.service, Sessions: a.sessions, NoAccounts: o.NoAccounts,
		Factors: a.factors, Identifier: a.guard, Mark: a.guard.Mark, Switches: a.switches, Demos: a.demosOrNil(), Audit: a.trail, SignIn: own.Programs,
		IsOrigin: o.IsOrigin, IsAdministrator: o.IsAdministrator, Cookie: o.Cookie, Logger: o.Logger, Clock: o.Clock,
	})
	if err != nil {
		return nil, err
	}
	return programs.Before(own, "/api/audit-logs", "/api/auth/token-exchange"), nil
}
