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
}

// Check says what is wrong with the options, of which it needs Providers and
// GateOrigin alone. If online, it asks each provider for its configuration and
// its keys, and whether it knows the client and the redirect URI. It signs
// nobody in, so what only a token shows (a client secret, a project id) it
// cannot tell.
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
			out[i].Err = p.check(ctx)
		}
	}
	return out
}

func (p *provider) check(ctx context.Context) error {
	m, err := p.discovery.get(ctx)
	if err != nil {
		return fmt.Errorf("%w (issuer, or ZITADEL_AUTHORITY, is %s)", err, p.Issuer)
	}
	if _, err := p.fetchKeys(ctx); err != nil {
		return err
	}
	state := random()
	to, err := p.authorizeURL(m, loginState{Nonce: random(), Verifier: random()}, state)
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
	return p.judge(resp)
}

// judge says what an answer to an authorization request means. A provider that
// does not know client or redirect URI must not redirect to it
// (RFC 6749, section 4.1.2.1); other errors it sends there.
func (p *provider) judge(resp *http.Response) error {
	if resp.StatusCode >= 400 {
		return fmt.Errorf("authorization endpoint: answered %d; register the redirect URI %s at the provider for the client id %s, or mend client_id", resp.StatusCode, p.redirectURI, p.ClientID)
	}
	to, err := resp.Location()
	if errors.Is(err, http.ErrNoLocation) {
		return nil // its sign-in page
	} else if err != nil {
		return errors.New("authorization endpoint: it redirects to no address")
	}
	q, err := url.ParseQuery(to.RawQuery)
	if err != nil || !strings.HasPrefix(to.String(), p.redirectURI) || !q.Has("error") {
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
