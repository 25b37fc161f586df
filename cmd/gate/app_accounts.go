package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/account"
	"github.com/neosc/gate/session/mail"
	"github.com/neosc/gate/session/mfa"
)

// passwordRules are those of the configuration, with the place's own name among
// the words of which a password is not to be made.
func (a *app) passwordRules() account.Rules {
	rules := account.DefaultRules()
	rules.Min = a.cfg.Accounts.PasswordMin
	name, _, _ := strings.Cut(strings.TrimPrefix(a.cfg.Cookie.Domain, "."), ".")
	rules.Words = append(rules.Words, name)
	return rules
}

// openAccounts opens the local accounts.
func (a *app) openAccounts(ctx context.Context, db *sql.DB, dialect session.SQLDialect) (err error) {
	c := a.cfg.Accounts
	a.accounts, err = account.New(ctx, account.Options{
		DB: db, Dialect: dialect, Budget: a.guesses, Logger: a.log, HashesAtOnce: c.MaxHashing,
		Rules:      a.passwordRules(),
		Params:     account.Params{MemoryKiB: uint32(c.Argon2Memory) << 10, Passes: uint32(c.Argon2Passes), Threads: 1},
		PerAccount: account.Guesses{Burst: c.GuessBurst, Every: time.Minute / time.Duration(c.GuessesPerMinute)},
		PerAddress: account.Guesses{Burst: 3 * c.GuessBurst, Every: time.Minute / time.Duration(10*c.GuessesPerMinute)},
	})
	return err
}

// openService opens what people and administrators do with accounts; its mails
// go out beside requests. Those of a demo are written to out.
func (a *app) openService(ctx context.Context, out io.Writer) error {
	mailer, err := a.mailer(out)
	if err != nil {
		return err
	}
	a.service, err = account.NewService(account.ServiceOptions{
		Store: a.accounts, Sessions: a.sessions, Audit: a.trail, Mailer: mailer, Origin: a.routes.GateOrigin(), Factors: a.factors, Workspaces: a.grants, Grants: a.demos,
		Mark: func(id *session.Identity) { id.Claims[mfa.RuleClaim] = a.cfg.Accounts.MFA },
		Open: a.cfg.Accounts.Registration == config.RegistrationOpen && a.cfg.Passwords(), Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
	})
	if err != nil {
		return err
	}
	a.teardown.Go(ctx, "mails", 15*time.Second, a.service.Run)
	return nil
}

// mailer is nil where no mail is sent.
func (a *app) mailer(out io.Writer) (session.Mailer, error) {
	m := &a.cfg.Accounts.Mail
	switch m.Send {
	case config.MailConsole:
		return mail.NewConsole(out), nil
	case config.MailSMTP:
		return smtpMailer(m)
	}
	return nil, nil
}

func smtpMailer(m *config.Mail) (session.Mailer, error) {
	s, err := mail.NewSMTP(mail.SMTPOptions{
		Address: m.Server, Security: mail.Security(m.Security), Username: m.Username, Password: m.Password(), From: m.From,
	})
	if err != nil {
		return nil, fmt.Errorf("accounts.mail: %w", err)
	}
	return s, nil
}

// checkMail says by what way mails would go. The server is not asked.
func checkMail(cfg *config.Config, w io.Writer) error {
	m := &cfg.Accounts.Mail
	if m.Send != config.MailSMTP {
		return nil
	}
	_, err := smtpMailer(m)
	if err == nil {
		fmt.Fprintf(w, "mail      ok  %s (%s), as %s\n", m.Server, m.Security, m.From)
	}
	return err
}
