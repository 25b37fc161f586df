package mfa

import (
	"context"
	"slices"
	"time"

	"github.com/neosc/gate/session"
)

// Rule is for which local accounts the gate's configuration asks for a second
// factor.
type Rule string

// The rules. Policy enforces them: it is told by the claim RuleClaim, so that a
// role that is given later counts at once.
const (
	Required Rule = "required" // of all
	Admins   Rule = "admins"   // of those with an administrator's role
	Optional Rule = "optional" // of none: policy alone says
)

// RuleClaim is the claim of local sessions that holds the rule.
const RuleClaim = "neosc:mfa"

// Rules lists them.
func Rules() []Rule { return []Rule{Required, Admins, Optional} }

// Guard is the authenticator of accounts with second factors: a password alone
// signs nobody in who has one. It implements session.Authenticator and
// session.Identifier. Safe for concurrent use.
type Guard struct {
	Accounts   session.Authenticator
	Identifier session.Identifier
	Factors    session.SecondFactors
	Rule       Rule
}

// SignIn implements session.Authenticator. *session.FactorNeededError if the
// password is right and the account has a second factor.
func (g *Guard) SignIn(ctx context.Context, email, password, clientAddr string) (session.Identity, error) {
	id, err := g.Accounts.SignIn(ctx, email, password, clientAddr)
	if err != nil {
		return session.Identity{}, err
	}
	f, err := g.Factors.Factors(ctx, id.UserID)
	if err != nil {
		return session.Identity{}, err
	}
	if f.Enrolled() {
		return session.Identity{}, &session.FactorNeededError{User: session.FactorUser{ID: id.UserID, Email: id.Email}}
	}
	g.rule(&id)
	return id, nil
}

// Identify implements session.Identifier.
func (g *Guard) Identify(ctx context.Context, userID string) (session.Identity, time.Time, error) {
	id, changed, err := g.Identifier.Identify(ctx, userID)
	if err != nil {
		return session.Identity{}, time.Time{}, err
	}
	id.AMR = nil
	g.rule(&id)
	return id, changed, nil
}

// Mark has policy know of the rule in a session that begins neither by SignIn nor
// after Identify, as that of a registration does.
func (g *Guard) Mark(id *session.Identity) { g.rule(id) }

func (g *Guard) rule(id *session.Identity) {
	if slices.Contains(Rules(), g.Rule) {
		if id.Claims == nil {
			id.Claims = map[string]any{}
		}
		id.Claims[RuleClaim] = string(g.Rule)
	}
}
