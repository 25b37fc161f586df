package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/oidclogin"
	"github.com/neosc/gate/session/web"
)

// openProviders makes the sign-in at identity providers. It asks none of them:
// one that is away does not keep the gate from starting.
func (a *app) openProviders(context.Context, io.Writer) error {
	if len(a.cfg.Providers) == 0 {
		return nil
	}
	notes, ok := a.store.(session.Notes)
	if !ok {
		return fmt.Errorf("providers: session.store %s cannot keep sign-ins under way", a.cfg.Session.Store)
	}
	providers, err := loginProviders(a.cfg)
	if err != nil {
		return err
	}
	a.logins, err = oidclogin.New(oidclogin.Options{
		Providers: providers, GateOrigin: a.routes.GateOrigin(), Sessions: a.sessions, Notes: notes, Directory: a.accounts,
		Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
	})
	if err != nil {
		return err
	}
	a.teardown.Add("refreshes at providers", 10*time.Second, a.logins.Close)
	return nil
}

// refreshDue has a session refreshed by its provider. Sessions are opened
// before providers, and asked for only after both.
func (a *app) refreshDue(s *session.Session, cookie string) {
	if a.logins != nil {
		a.logins.Refresh(s, cookie)
	}
}

// loginProviders turns the config's providers into those of oidclogin.
func loginProviders(cfg *config.Config) ([]oidclogin.Provider, error) {
	var out []oidclogin.Provider
	for _, c := range cfg.Providers {
		p := oidclogin.Provider{
			ID: c.ID, Name: c.Name, Note: c.Note, Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret, KeyID: c.KeyID,
			ClientAuth: c.ClientAuth, Scopes: c.Scopes, ProjectID: c.ProjectID, RoleClaims: c.RoleClaims, GroupClaims: c.GroupClaims,
			DefaultRole: c.DefaultRole, KnownRoles: c.KnownRoles, Domains: slices.Clone(c.Domains), Organizations: c.Organizations,
			Audiences: c.Audiences, MaxAge: c.MaxAge, AppRedirectURIs: c.TokenExchange.RedirectURIs,
		}
		if c.PrivateKeyFile != "" {
			key, id, err := oidclogin.ReadPrivateKey(c.PrivateKeyFile)
			if err != nil {
				return nil, fmt.Errorf("provider %q: private_key_file: %w", c.ID, err)
			}
			if p.PrivateKey = key; p.KeyID == "" {
				p.KeyID = id
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// checkProviders says which providers cannot work, and if online asks them.
func checkProviders(ctx context.Context, cfg *config.Config, gateOrigin string, online bool, w io.Writer) error {
	providers, err := loginProviders(cfg)
	if err != nil {
		return err
	}
	found, err := oidclogin.Check(ctx, oidclogin.Options{Providers: providers, GateOrigin: gateOrigin}, online)
	if err != nil {
		return err
	}
	for _, c := range found {
		for _, n := range c.Notes {
			fmt.Fprintf(w, "provider  --  %s: %s\n", c.Provider, n)
		}
		switch {
		case c.Err != nil:
			err = errors.Join(err, fmt.Errorf("provider %s: %w", c.Provider, c.Err))
		case online:
			fmt.Fprintf(w, "provider  ok  %s answers at %s\n", c.Provider, c.Issuer)
		default:
			fmt.Fprintf(w, "provider  ok  %s (not asked; -online does)\n", c.Provider)
		}
	}
	return err
}

// exchangeFor lets single-page apps have their sign-ins finished, if any is
// configured. An attempt costs an address what a guess of a password does.
func (a *app) exchangeFor() *web.Exchange {
	if a.logins == nil || !slices.ContainsFunc(a.cfg.Providers, func(p config.Provider) bool { return len(p.TokenExchange.RedirectURIs) > 0 }) {
		return nil
	}
	guesses := a.cfg.Accounts
	return &web.Exchange{
		Exchanger: a.logins, Budget: a.guesses, Burst: 3 * guesses.GuessBurst, Every: time.Minute / time.Duration(10*guesses.GuessesPerMinute),
		Tokens: a.sessions.TokensOf,
	}
}

// formTargets are the origins at which a form of the gate's pages may end:
// those of the routes file, and of the providers, where a sign-out goes on.
func (a *app) formTargets() []string { return a.formTargetsOf(a.routes) }

func (a *app) formTargetsOf(f *route.File) []string {
	out := slices.Clone(f.Origins())
	for _, p := range a.cfg.Providers {
		if u, err := url.Parse(p.Issuer); err == nil && u.Host != "" {
			if o := u.Scheme + "://" + u.Host; !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
	}
	return out
}
