package oidclogin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/claims"
)

// protocolClaims belong to the one token and say nothing of the person.
var protocolClaims = []string{"nonce", "at_hash", "c_hash", "s_hash"}

// person is who signed in.
type person struct {
	session.Identity
	// sid is the provider's session, "" if it did not say.
	sid string
	// issued is when the ID token was.
	issued time.Time
	// inProject: the ID token names the provider's project among its audiences,
	// as Zitadel's do.
	inProject bool
}

// identify checks the ID token, completes its claims from userinfo, and says
// who that is.
func (p *provider) identify(ctx context.Context, m *metadata, t *tokens, nonce string) (*person, error) {
	v, err := p.checkID(ctx, m, t, nonce)
	if err != nil {
		return nil, err
	}
	if err := p.complement(ctx, m, t, v); err != nil {
		return nil, err
	}
	id, err := p.identity(v.claims)
	if err != nil {
		return nil, &flowError{session.LoginIdentity, err}
	}
	id.AuthenticatedAt = v.IssuedAt.UTC()
	if at, ok := v.authTime(); ok && !at.After(p.clock()) {
		id.AuthenticatedAt = at
	}
	sid, _ := v.claims["sid"].(string)
	if len(sid) > 255 {
		return nil, errors.New("ID token: sid is too long")
	}
	return &person{Identity: id, sid: sid, issued: v.IssuedAt, inProject: slices.Contains(v.Audience, p.ProjectID)}, nil
}

// identifyAgain says who a refresh is about: nil if it does not say. What the
// provider says no more is gone: claims and roles of before are not kept, for
// some providers take the last role away by leaving the claim out.
func (p *provider) identifyAgain(ctx context.Context, m *metadata, t *tokens, was *session.Identity, nonce string) (*session.Identity, error) {
	v := new(verified)
	var err error
	switch {
	case t.ID != "":
		if v, err = p.checkRefreshed(ctx, m, t, was.Subject, nonce); err == nil {
			err = p.complement(ctx, m, t, v)
		}
	case m.UserinfoEndpoint != "":
		v.claims, err = p.userinfo(ctx, m, t.Access, was.Subject)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	id, err := p.identity(v.claims)
	if err != nil {
		return nil, &flowError{session.LoginIdentity, err}
	}
	if id.UserID != was.UserID {
		return nil, errors.New("the refresh is about somebody else")
	}
	id.AuthenticatedAt = was.AuthenticatedAt
	if len(id.AMR) == 0 {
		id.AMR = was.AMR
	}
	return &id, nil
}

// complement adds what userinfo says and the ID token does not.
func (p *provider) complement(ctx context.Context, m *metadata, t *tokens, v *verified) error {
	if m.UserinfoEndpoint == "" || !p.lacks(v.claims) {
		return nil
	}
	more, err := p.userinfo(ctx, m, t.Access, v.Subject)
	if err != nil {
		return err
	}
	if email, ok := v.claims["email"]; ok && email != more["email"] {
		delete(more, "email_verified") // it speaks of the other address
	}
	for name, value := range more {
		if _, ok := v.claims[name]; !ok {
			v.claims[name] = value
		}
	}
	return nil
}

// lacks reports whether userinfo may have more to say.
func (p *provider) lacks(c map[string]any) bool {
	has := func(name string) bool { _, ok := c[name]; return ok }
	return !has("email") || !has("name") || !slices.ContainsFunc(p.roleClaims(), has)
}

// roleClaims are the claims in which claims.Map looks for roles.
func (p *provider) roleClaims() []string {
	switch {
	case len(p.RoleClaims) > 0:
		return p.RoleClaims
	case p.ProjectID != "":
		return []string{"urn:zitadel:iam:org:project:" + p.ProjectID + ":roles", "urn:zitadel:iam:org:project:roles", "roles"}
	}
	return []string{"urn:zitadel:iam:org:project:roles", "roles"}
}

// identity maps claims as access tokens' are mapped, so that a person has the
// same id, roles and email by either way.
func (p *provider) identity(c map[string]any) (session.Identity, error) {
	id, err := claims.Map(c, claims.MapOptions{
		Provider: p.ID, Issuer: p.Issuer, ProjectID: p.ProjectID, RoleClaims: p.RoleClaims, GroupClaims: p.GroupClaims,
		DefaultRole: p.DefaultRole, KnownRoles: p.KnownRoles, Domains: p.Domains,
	})
	if err != nil {
		return session.Identity{}, err
	}
	if len(p.Organizations) > 0 && !slices.Contains(p.Organizations, id.Organization) {
		return session.Identity{}, fmt.Errorf("the organization %q is not among the provider's configured organizations", clip(id.Organization))
	}
	id.Claims = maps.Clone(c)
	for _, name := range protocolClaims {
		delete(id.Claims, name)
	}
	return id, nil
}

// sidKey and subKey name the notes about a provider's session and user.
func sidKey(purpose, issuer, sid string) session.Key {
	return noteKey(purpose+" by sid", issuer, sid)
}

func subKey(purpose, issuer, sub string) session.Key {
	return noteKey(purpose+" by sub", issuer, sub)
}
