package main

import (
	"time"

	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session/web"
	"github.com/neosc/gate/session/web/console"
)

// addConsole puts the pages of accounts and of administrators beside the gate's
// own.
func (a *app) addConsole(own *web.Handler, o web.Options) error {
	c, err := console.New(console.Options{
		Frame: own, Pages: a.pages, Sessions: a.sessions, Members: a.service, Organizations: a.service, Registrar: a.service, AuditLog: a.trail, Policy: policyKeeper{a},
		CountLive: a.store.CountLive, Passwords: !o.NoAccounts, Security: o.Factors != nil, MinPassword: a.cfg.Accounts.PasswordMin,
		Demos: a.demosOrNil(), Workspace: a.workspaceURL,
		Lifetime: a.cfg.Session.Lifetime, Idle: a.cfg.Session.Idle, Logger: o.Logger, Clock: time.Now,
	})
	if err != nil {
		return err
	}
	own.Add(c.Routes())
	return nil
}

// welcomeStrangers has the sign-in page lead to what strangers can do here.
func (a *app) welcomeStrangers(o *web.Options) {
	o.Register = !o.NoAccounts && a.service.RegistrationOpen()
	o.Forgot = !o.NoAccounts && a.cfg.Accounts.Mail.Send != config.MailOff
}
