package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/bearer"
	identity "github.com/neosc/gate/session/claims"
	"github.com/neosc/gate/session/oidclogin"
)

// openMarks makes the marks that end access tokens on all replicas.
func (a *app) openMarks() error {
	kept, ok := a.store.(session.Marks)
	if !ok {
		return fmt.Errorf("session.store %s cannot keep marks", a.cfg.Session.Store)
	}
	var err error
	a.marks, err = session.NewMarkCopies(session.MarkOptions{Marks: kept, StaleGrace: a.cfg.Session.StaleGrace})
	if err != nil {
		return err
	}
	a.teardown.Add("marks", time.Second, func(context.Context) error { a.marks.Close(); return nil })
	return nil
}

// openBearer makes what verifies the access tokens of providers; nil if none of
// them has a bearer block. It asks no provider before a token needs it.
func (a *app) openBearer() (session.TokenVerifier, error) {
	providers, err := bearerProviders(a.cfg)
	if err != nil || len(providers) == 0 {
		return nil, err
	}
	v, err := bearer.New(bearer.Options{
		Providers: providers, Own: []string{a.routes.GateOrigin()}, Marks: a.marks,
		Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
	})
	if err != nil {
		return nil, err
	}
	a.teardown.Add("access tokens", time.Second, func(context.Context) error { v.Close(); return nil })
	return v, nil
}

// bearerProviders turns the config's providers into those of bearer.
func bearerProviders(cfg *config.Config) ([]bearer.Provider, error) {
	var out []bearer.Provider
	for _, c := range cfg.Providers {
		b := c.Bearer
		if b == nil {
			continue
		}
		p := bearer.Provider{
			ID: c.ID, Issuer: c.Issuer, Audiences: b.Audiences, Algorithms: b.Algorithms, Types: b.Types, Clients: b.Clients, JWKSURL: b.JWKSURL,
			Identity: identity.MapOptions{
				ProjectID: c.ProjectID, RoleClaims: c.RoleClaims, GroupClaims: c.GroupClaims,
				DefaultRole: c.DefaultRole, KnownRoles: c.KnownRoles, Domains: c.Domains, Organizations: c.Organizations,
			},
		}
		var err error
		if p.Introspection, err = introspection(b.Introspection); err != nil {
			return nil, fmt.Errorf("provider %q: bearer.introspection: %w", c.ID, err)
		}
		out = append(out, p)
	}
	return out, nil
}

func introspection(c *config.Introspection) (*bearer.Introspection, error) {
	if c == nil {
		return nil, nil
	}
	in := &bearer.Introspection{
		URL: c.URL, ClientID: c.ClientID, ClientSecret: c.ClientSecret, Prefix: c.Prefix, AllowNoAudience: c.AllowNoAudience,
	}
	if c.PrivateKeyFile == "" {
		return in, nil
	}
	key, id, err := oidclogin.ReadPrivateKey(c.PrivateKeyFile)
	if err != nil {
		return nil, fmt.Errorf("private_key_file: %w", err)
	}
	if c.KeyID != "" {
		id = c.KeyID
	}
	in.Key = &bearer.ClientKey{ID: id, Algorithm: algorithmOf(key), Private: key}
	return in, nil
}

func algorithmOf(key crypto.Signer) string {
	switch key.(type) {
	case *ecdsa.PrivateKey:
		return "ES256"
	case ed25519.PrivateKey:
		return "EdDSA"
	default:
		return "RS256"
	}
}
