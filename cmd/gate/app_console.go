package main

import (
	"time"

	"github.com/neosc/gate/session/web"
	"github.com/neosc/gate/session/web/console"
)

// addConsole puts the pages of accounts and of administrators beside the gate's
// own.
func (a *app) addConsole(own *web.Handler, o web.Options) error {
	c, err := console.New(console.Options{
		Frame: own, Pages: a.pages, Sessions: a.sessions, Members: a.service, Organizations: a.service, Registrar: a.service, AuditLog: a.trail,
		CountLive: a.store.CountLive, Passwords: !o.NoAccounts, Security: o.Factors != nil, MinPassword: a.cfg.Accounts.PasswordMin,
		Lifetime: a.cfg.Session.Lifetime, Idle: a.cfg.Session.Idle, Logger: o.Logger, Clock: time.Now,
	})
	if err != nil {
		return err
	}
	own.Add(c.Routes())
	return nil
}
