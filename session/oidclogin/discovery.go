package oidclogin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// How long metadata is believed, used when the provider cannot be asked, and
// how long a failure is remembered: it doubles from the first to the last.
const (
	metadataFresh = time.Hour
	metadataStale = 24 * time.Hour
	firstBackoff  = time.Second
	lastBackoff   = time.Minute
)

// metadata is what the gate needs of a provider's configuration
// (OpenID Connect Discovery 1.0, section 3).
type metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	SigningAlgs           []string `json:"id_token_signing_alg_values_supported"`
	SendsIssuer           bool     `json:"authorization_response_iss_parameter_supported"`
}

// discovery fetches metadata when it is first needed and keeps it. One
// goroutine asks at a time; the others wait for it as long as their context
// lasts.
type discovery struct {
	p    *provider
	turn chan struct{} // holds one token; whoever has it owns the fields below

	known   *metadata
	fetched time.Time
	failed  error
	backoff time.Duration
	retryAt time.Time
}

func newDiscovery(p *provider) *discovery {
	d := &discovery{p: p, turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	return d
}

// get returns the provider's metadata.
func (d *discovery) get(ctx context.Context) (*metadata, error) {
	select {
	case <-d.turn:
		defer func() { d.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := d.p.clock()
	if d.known != nil && now.Sub(d.fetched) < metadataFresh {
		return d.known, nil
	}
	if d.failed == nil || !now.Before(d.retryAt) {
		d.fetch(ctx, now)
	}
	if d.known != nil && now.Sub(d.fetched) < metadataStale {
		return d.known, nil
	}
	return nil, d.failed
}

func (d *discovery) fetch(ctx context.Context, now time.Time) {
	// Others wait for this answer, so one person who leaves does not end it.
	m, err := d.p.discover(context.WithoutCancel(ctx))
	if err == nil {
		d.known, d.fetched, d.failed, d.backoff = m, now, nil, 0
		return
	}
	d.failed = err
	d.backoff = min(max(2*d.backoff, firstBackoff), lastBackoff)
	d.retryAt = now.Add(d.backoff)
}

func (p *provider) discover(ctx context.Context) (*metadata, error) {
	req, err := http.NewRequest(http.MethodGet, strings.TrimSuffix(p.Issuer, "/")+"/.well-known/openid-configuration", nil)
	if err != nil {
		return nil, err
	}
	status, body, err := p.ask(ctx, "discovery", req)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("discovery endpoint: answered %d; is the issuer %s right?", status, p.Issuer)
	}
	m := new(metadata)
	if err := json.Unmarshal(body, m); err != nil {
		return nil, errors.New("discovery endpoint: the answer is not a provider's configuration")
	}
	return m, m.check(p)
}

// check refuses metadata under which signing in would not be safe.
func (m *metadata) check(p *provider) error {
	if m.Issuer != p.Issuer {
		return fmt.Errorf("discovery: the provider calls itself %q and not %q; set issuer to what it says, to the letter", clip(m.Issuer), p.Issuer)
	}
	for _, e := range []struct {
		name, url string
		needed    bool
	}{
		{"authorization_endpoint", m.AuthorizationEndpoint, true}, {"token_endpoint", m.TokenEndpoint, true}, {"jwks_uri", m.JWKSURI, true},
		{"userinfo_endpoint", m.UserinfoEndpoint, false}, {"revocation_endpoint", m.RevocationEndpoint, false}, {"end_session_endpoint", m.EndSessionEndpoint, false},
	} {
		if e.url == "" && !e.needed {
			continue
		}
		if err := checkEndpoint(p.Issuer, e.url); err != nil {
			return fmt.Errorf("discovery: %s: %w", e.name, err)
		}
	}
	// A provider that lists methods without S256 ignores the challenge or takes
	// "plain", whose challenge is the verifier itself. One that lists none says
	// nothing (RFC 8414), and gets S256 all the same.
	if m.ChallengeMethods != nil && !slices.Contains(m.ChallengeMethods, "S256") {
		return errors.New("discovery: the provider does not offer PKCE with S256")
	}
	if len(m.algs()) == 0 {
		return errors.New("discovery: the provider signs ID tokens with no algorithm that is accepted here")
	}
	return nil
}

// checkEndpoint lets endpoints have a query, and be less protected than the
// issuer never.
func checkEndpoint(issuer, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Fragment != "" || u.User != nil {
		return errors.New("is not an address")
	}
	u.RawQuery = ""
	if err := checkURL(u.String()); err != nil {
		return err
	}
	if strings.HasPrefix(issuer, "https:") && u.Scheme != "https" {
		return errors.New("is not https, though the issuer is")
	}
	return nil
}

// accepted are the algorithms that ID tokens may be signed with: public-key
// ones. Among them is neither "none" nor HS256, with which whoever knows the
// published key could sign.
var accepted = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func (m *metadata) algs() []string {
	if len(m.SigningAlgs) == 0 {
		return []string{"RS256"} // what every provider must offer
	}
	var out []string
	for _, a := range accepted {
		if slices.Contains(m.SigningAlgs, a) {
			out = append(out, a)
		}
	}
	return out
}

// clip shortens what somebody else wrote, for an error text.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
