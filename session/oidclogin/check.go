package oidclogin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Checked is what Check found of one provider.
type Checked struct {
	Provider, Issuer string
	// Err says what is wrong and what mends it; nil if nothing is.
	Err error
	// Notes are what nobody can tell before somebody signs in, and what looks odd.
	Notes []string
}

// Check says what is wrong with the options, of which it needs Providers and
// GateOrigin alone. If online, it asks each provider for its configuration and
// its keys, and whether it knows the client, its credential and the redirect
// URIs. It signs nobody in.
func Check(ctx context.Context, o Options, online bool) ([]Checked, error) {
	l, err := build(o)
	if err != nil {
		return nil, err
	}
	return l.check(ctx, online), nil
}

func (l *Logins) check(ctx context.Context, online bool) []Checked {
	out := make([]Checked, len(l.providers))
	for i, p := range l.providers {
		out[i] = Checked{Provider: p.ID, Issuer: p.Issuer}
		if online {
			out[i].Notes, out[i].Err = p.check(ctx)
		}
	}
	return out
}

func (p *provider) check(ctx context.Context) ([]string, error) {
	m, err := p.discovery.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w (issuer, or ZITADEL_AUTHORITY, is %s)", err, p.Issuer)
	}
	notes := p.projectNotes(m)
	if _, err := p.fetchKeys(ctx); err != nil {
		return notes, err
	}
	// Which client that is comes first: of one that it does not know a provider
	// says nothing about redirect URIs.
	if err := p.checkClient(ctx, m); err != nil {
		return notes, err
	}
	for _, uri := range append([]string{p.redirectURI}, p.AppRedirectURIs...) {
		err = errors.Join(err, p.checkRedirect(ctx, m, uri))
	}
	return notes, err
}

// checkClient has the provider refuse a code that does not exist: one that does
// not take the client says so first (RFC 6749, section 5.2). Whatever else it
// says tells nothing.
func (p *provider) checkClient(ctx context.Context, m *metadata) error {
	_, err := p.redeem(ctx, m, "gate-check-"+random(), random(), p.redirectURI)
	e, answered := errors.AsType[*tokenError](err)
	switch {
	case err == nil:
		return nil
	case !answered:
		return err
	case e.status != http.StatusUnauthorized && e.code != "invalid_client" && e.code != "unauthorized_client":
		return nil
	}
	credential := "the client there must be a public one (PKCE, no secret)"
	if p.ClientAuth != AuthNone {
		credential = "its secret or key must be this one"
	}
	return fmt.Errorf("%w: it does not take the client; mend client_id (or ZITADEL_CLIENT_ID), which is %s, or how it proves itself: client_auth is %s, and %s", err, p.ClientID, p.ClientAuth, credential)
}

// projectNotes says what can be known of a project id: next to nothing. Zitadel
// takes any in a scope, makes a claim only for those in which a person has
// roles, and shows a project to its administrators alone.
func (p *provider) projectNotes(m *metadata) []string {
	if p.ProjectID == "" {
		return nil
	}
	zitadel := strings.HasSuffix(m.AuthorizationEndpoint, "/oauth/v2/authorize") && strings.HasSuffix(m.TokenEndpoint, "/oauth/v2/token")
	out := []string{fmt.Sprintf("project_id %s (or ZITADEL_PROJECT_ID) shows when somebody signs in: a log line says so if the ID token does not name it", p.ProjectID)}
	if !zitadel {
		out = append(out, "project_id is for Zitadel, and this provider does not look like one")
	} else if strings.Trim(p.ProjectID, "0123456789") != "" {
		out = append(out, "project_id has more than digits; Zitadel shows the id of a project on its page, such as 360327617871609860: it is not the project's name")
	}
	return out
}

func (p *provider) checkRedirect(ctx context.Context, m *metadata, uri string) error {
	to, err := p.authorizeURL(m, loginState{Nonce: random(), Verifier: random()}, random(), uri)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("authorization endpoint: %w", withoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	return p.judge(resp, uri)
}

// judge says what an answer to an authorization request means. A provider that
// does not know client or redirect URI must not redirect to it
// (RFC 6749, section 4.1.2.1); other errors it sends there.
func (p *provider) judge(resp *http.Response, uri string) error {
	if resp.StatusCode >= 400 {
		return fmt.Errorf("authorization endpoint: answered %d; register the redirect URI %s at the provider for the client id %s, to the letter, or mend client_id", resp.StatusCode, uri, p.ClientID)
	}
	to, err := resp.Location()
	if errors.Is(err, http.ErrNoLocation) {
		return nil // its sign-in page
	} else if err != nil {
		return errors.New("authorization endpoint: it redirects to no address")
	}
	q, err := url.ParseQuery(to.RawQuery)
	if err != nil || !strings.HasPrefix(to.String(), uri) || !q.Has("error") {
		return nil // its sign-in page
	}
	code := q.Get("error")
	if !errorCode.MatchString(code) {
		code = "an odd error"
	}
	if code == "login_required" || code == "interaction_required" {
		return nil
	}
	return fmt.Errorf("authorization endpoint: answered %s; the client's registration there must allow the code flow and the scopes %s", code, strings.Join(p.Scopes, " "))
}
