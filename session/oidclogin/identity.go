package oidclogin

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/neosc/gate/session"
)

// Claims by which a provider says who somebody is, the best first.
var (
	emailClaims        = []string{"email", "preferred_username", "sub"}
	nameClaims         = []string{"name", "given_name", "preferred_username"}
	organizationClaims = []string{"org", "urn:zitadel:iam:org:id", "urn:zitadel:iam:user:resourceowner:id"}
	// protocolClaims belong to the one token and say nothing of the person.
	protocolClaims = []string{"nonce", "at_hash", "c_hash", "s_hash"}
)

// person is who signed in.
type person struct {
	session.Identity
	// sid is the provider's session, "" if it did not say.
	sid string
	// issued is when the ID token was.
	issued time.Time
}

// UserID returns the gate's id of a provider's user. Issuer and subject are
// the key, never the email: the same address or subject at another provider is
// another user.
func UserID(issuer, subject string) string {
	k := noteKey("user of a provider", issuer, subject)
	return "idp-" + hex.EncodeToString(k[:16])
}

// identify checks the ID token, completes its claims from userinfo, and says
// who that is.
func (p *provider) identify(ctx context.Context, m *metadata, t *tokens, nonce string) (*person, error) {
	v, err := p.checkID(ctx, m, t, nonce)
	if err != nil {
		return nil, err
	}
	claims := v.claims
	if m.UserinfoEndpoint != "" && p.lacks(claims) {
		more, err := p.userinfo(ctx, m, t.Access, v.Subject)
		if err != nil {
			return nil, err
		}
		for name, value := range more {
			if _, ok := claims[name]; !ok {
				claims[name] = value
			}
		}
	}
	id, err := p.identity(claims)
	if err != nil {
		return nil, &flowError{session.LoginIdentity, err}
	}
	id.AuthenticatedAt = v.IssuedAt.UTC()
	if at, ok := v.authTime(); ok && !at.After(p.clock()) {
		id.AuthenticatedAt = at
	}
	sid, _ := claims["sid"].(string)
	if len(sid) > 255 {
		return nil, errors.New("ID token: sid is too long")
	}
	return &person{Identity: id, sid: sid, issued: v.IssuedAt}, nil
}

// lacks reports whether userinfo may have more to say.
func (p *provider) lacks(claims map[string]any) bool {
	has := func(name string) bool { _, ok := claims[name]; return ok }
	return !has("email") || !has("name") || !slices.ContainsFunc(p.RoleClaims, has)
}

// identity maps claims to an identity.
func (p *provider) identity(claims map[string]any) (session.Identity, error) {
	sub, _ := claims["sub"].(string)
	id := session.Identity{Provider: p.ID, Issuer: p.Issuer, Subject: sub, UserID: UserID(p.Issuer, sub)}
	var err error
	if err = p.contact(&id, claims); err != nil {
		return id, err
	}
	if id.Roles, err = names("role", p.RoleClaims, claims); err != nil {
		return id, err
	}
	if id.Groups, err = names("group", p.GroupClaims, claims); err != nil {
		return id, err
	}
	if p.DefaultRole != "" && !slices.ContainsFunc(id.Roles, func(r string) bool { return slices.Contains(p.KnownRoles, r) }) {
		if id.Roles, err = session.CheckNames("role", append(id.Roles, p.DefaultRole)); err != nil {
			return id, err
		}
	}
	if amr, ok := claims["amr"].([]any); ok {
		for _, a := range amr {
			if s, ok := a.(string); ok && len(id.AMR) < 16 && len(s) <= 64 {
				id.AMR = append(id.AMR, s)
			}
		}
	}
	id.Claims = make(map[string]any, len(claims))
	for name, value := range claims {
		if !slices.Contains(protocolClaims, name) {
			id.Claims[name] = value
		}
	}
	return id, nil
}

// contact fills in email, name and organization.
func (p *provider) contact(id *session.Identity, claims map[string]any) error {
	from := ""
	if id.Email, from = first(claims, emailClaims); id.Email == "" {
		return errors.New("there is no email, preferred_username or sub")
	}
	id.Name, _ = first(claims, nameClaims)
	id.Organization, _ = first(claims, organizationClaims)
	for what, text := range map[string]string{"email": id.Email, "name": id.Name, "organization": id.Organization} {
		if err := checkText(text); err != nil {
			return fmt.Errorf("the %s %w", what, err)
		}
	}
	id.EmailVerified = p.answersFor(id.Email) || (from == "email" && isTrue(claims["email_verified"]) && oneAddress(id.Email))
	if len(p.Organizations) > 0 && !slices.Contains(p.Organizations, id.Organization) {
		return fmt.Errorf("the organization %q is not among the provider's configured organizations", clip(id.Organization))
	}
	return nil
}

// first returns the first claim that is a text, and its name.
func first(claims map[string]any, names []string) (value, name string) {
	for _, n := range names {
		if s, ok := claims[n].(string); ok && s != "" {
			return s, n
		}
	}
	return "", ""
}

// checkText refuses what would break a header, a log line or a page.
func checkText(s string) error {
	switch {
	case len(s) > 254:
		return errors.New("has more than 254 bytes")
	case !utf8.ValidString(s):
		return errors.New("is not UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("has a control character")
	}
	return nil
}

// isTrue takes the text "true" too, which some providers send.
func isTrue(v any) bool { return v == true || v == "true" }

// oneAddress: visible ASCII with exactly one @ and something on both sides.
// "a@evil.example@company.com" has two domains, and which of them counts
// depends on who reads it.
func oneAddress(email string) bool {
	local, domain, ok := strings.Cut(email, "@")
	return ok && local != "" && domain != "" && !strings.Contains(domain, "@") &&
		!strings.ContainsFunc(email, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`,;<>"()`, r) })
}

// answersFor reports whether an address lies in one of the provider's domains.
func (p *provider) answersFor(email string) bool {
	_, domain, _ := strings.Cut(email, "@")
	return oneAddress(email) && slices.Contains(p.Domains, strings.ToLower(domain))
}

// names collects role or group names from several claims.
func names(what string, from []string, claims map[string]any) ([]string, error) {
	var out []string
	for _, claim := range from {
		v, ok := claims[claim]
		if !ok || v == nil {
			continue
		}
		found, err := namesIn(v)
		if err != nil {
			return nil, fmt.Errorf("%ss in the claim %s: %w", what, claim, err)
		}
		out = append(out, found...)
	}
	return session.CheckNames(what, out)
}

// namesIn reads the forms in which providers list names: an object whose keys
// they are (Zitadel: role → organization → domain), an array of names or of
// such objects, or one name.
func namesIn(v any) ([]string, error) {
	switch v := v.(type) {
	case string:
		return []string{v}, nil
	case map[string]any:
		out := make([]string, 0, len(v))
		for name := range v {
			out = append(out, name)
		}
		return out, nil
	case []any:
		var out []string
		for _, e := range v {
			if _, nested := e.([]any); nested {
				return nil, errors.New("an array in an array is no name")
			}
			more, err := namesIn(e)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
			if len(out) > 4*session.MaxNames {
				return nil, fmt.Errorf("more than %d names", 4*session.MaxNames)
			}
		}
		return out, nil
	default:
		return nil, errors.New("it is neither a text nor an array nor an object")
	}
}

// sidKey and subKey name the notes about a provider's session and user.
func sidKey(purpose, issuer, sid string) session.Key {
	return noteKey(purpose+" by sid", issuer, sid)
}

func subKey(purpose, issuer, sub string) session.Key {
	return noteKey(purpose+" by sub", issuer, sub)
}
