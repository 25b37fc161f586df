package bearer

import (
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/claims"
)

// Defaults of Options.
const (
	DefaultCacheSize  = 50_000
	DefaultCacheBytes = 256 << 20
)

// Options set up a Verifier. At least one provider is needed.
type Options struct {
	Providers []Provider
	// Own are the issuers of tokens that the gate signs itself. No provider may
	// claim one: an assertion made for upstreams is no access token.
	Own []string
	// Marks are looked at with every request: those of everybody, of the token's
	// user and of the token itself, which are the same on all replicas and
	// outlive them. nil means that only what is denied here ends tokens.
	Marks *session.MarkCopies
	// Client makes the requests to providers. Redirects are never followed and
	// every answer is bounded, whatever it says. nil means one of its own.
	Client *http.Client
	// Clock is time.Now if nil. It should tell the same time as the instants
	// that ByBearer is called with.
	Clock func() time.Time
	// CacheSize and CacheBytes bound what is remembered: how many tokens, and
	// about how much memory they and their claims take. 0 means the defaults.
	CacheSize  int
	CacheBytes int64
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none are shown.
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
}

// Provider is an issuer of access tokens.
type Provider struct {
	// ID names it in logs, metrics and sessions.
	ID string
	// Issuer is the iss of its tokens, to the letter, and where its metadata
	// is found (OpenID Connect Discovery).
	Issuer string
	// Audiences are those of which a token must name one. Never the id of the
	// client that signs people in: ID tokens have that one.
	Audiences []string
	// Algorithms are the accepted ones; empty means RS256, ES256 and EdDSA.
	// Symmetric ones and "none" are refused.
	Algorithms []string
	// Types are the accepted values of the header typ, "application/" apart;
	// empty means "at+jwt". "JWT" stands for a missing typ too, and asks of
	// a token that it has a jti, which ID tokens mostly lack.
	Types []string
	// Clients are those to which a token may have been issued (client_id or
	// azp); empty means any.
	Clients []string
	// JWKSURL is where the keys are; empty means where the metadata says.
	JWKSURL string
	// Insecure lets the provider be asked over plain http at an address that
	// is not this machine's own.
	Insecure bool
	// Introspection is how opaque tokens are asked about; nil refuses them.
	Introspection *Introspection
	// Identity says how claims are read. Its Provider and Issuer are set from
	// here.
	Identity claims.MapOptions
}

// Introspection is a provider's RFC 7662 endpoint and who we are there. One of
// ClientSecret and Key is needed.
type Introspection struct {
	// URL is the endpoint; empty means the one that the metadata names.
	URL string
	// ClientID and ClientSecret authenticate by HTTP Basic (RFC 6749, 2.3.1).
	ClientID, ClientSecret string
	// Key authenticates by private_key_jwt instead (RFC 7523).
	Key *ClientKey
	// Prefix starts the opaque tokens of this provider. With two providers that
	// are asked, each needs one that the other's does not start with: asking
	// the wrong one would hand it the other's token.
	Prefix string
	// AllowNoAudience takes answers that name no audience at all, as some
	// providers give; those that name others are refused all the same.
	AllowNoAudience bool
}

// ClientKey signs client assertions.
type ClientKey struct {
	// ID is the kid under which the provider knows the public key.
	ID string
	// Algorithm is RS256, ES256 or EdDSA, as fits Private.
	Algorithm string
	// Private is an *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey.
	Private crypto.Signer
}

var (
	defaultAlgorithms = []string{"RS256", "ES256", "EdDSA"}
	defaultTypes      = []string{"at+jwt"}
)

func (o *Options) complete() error {
	if len(o.Providers) == 0 {
		return errors.New("no provider")
	}
	if o.CacheSize < 0 || o.CacheSize > 1<<24 || o.CacheBytes < 0 {
		return fmt.Errorf("CacheSize is not 0 to %d, or CacheBytes negative", 1<<24)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.CacheSize == 0 {
		o.CacheSize = DefaultCacheSize
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	o.Providers = slices.Clone(o.Providers)
	for i := range o.Providers {
		p := &o.Providers[i]
		if err := p.complete(); err != nil {
			return fmt.Errorf("provider %q: %w", p.ID, err)
		}
		if slices.Contains(o.Own, p.Issuer) {
			return fmt.Errorf("provider %q: issuer %s is the gate itself, whose assertions are no access tokens", p.ID, p.Issuer)
		}
		for _, q := range o.Providers[:i] {
			if err := p.apart(q); err != nil {
				return err
			}
		}
	}
	return nil
}

// apart reports what two providers must not share.
func (p Provider) apart(q Provider) error {
	if p.ID == q.ID || p.Issuer == q.Issuer {
		return fmt.Errorf("providers %q and %q have the same id or issuer: a token would belong to either", q.ID, p.ID)
	}
	if p.Introspection == nil || q.Introspection == nil {
		return nil
	}
	a, b := p.Introspection.Prefix, q.Introspection.Prefix
	if strings.HasPrefix(a, b) || strings.HasPrefix(b, a) {
		return fmt.Errorf("providers %q and %q are both asked about opaque tokens, with the prefixes %q and %q: give each its own, or one's tokens would be shown to the other", q.ID, p.ID, b, a)
	}
	return nil
}

func (p *Provider) complete() error {
	switch {
	case p.ID == "" || len(p.ID) > 64 || strings.Trim(p.ID, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "":
		return errors.New("its id must be 1 to 64 of a-z, 0-9, - and _")
	case len(p.Audiences) == 0 || slices.Contains(p.Audiences, ""):
		return errors.New("no audience: name the API (for Zitadel the project id), or tokens for others would count")
	case slices.Contains(p.Clients, ""):
		return errors.New("an empty client id")
	}
	if err := p.checkURL("issuer", p.Issuer, false); err != nil {
		return err
	}
	if err := p.checkURL("JWKS URL", p.JWKSURL, true); err != nil {
		return err
	}
	if len(p.Algorithms) == 0 {
		p.Algorithms = defaultAlgorithms
	}
	for _, a := range p.Algorithms {
		if _, ok := algorithms[a]; !ok {
			return fmt.Errorf("algorithm %q: want some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA", a)
		}
	}
	types := p.Types
	if len(types) == 0 {
		types = defaultTypes
	}
	p.Types = nil
	for _, t := range types {
		t = mediaType(t)
		if t == "" || strings.Contains(t, "logout") {
			return fmt.Errorf("token type %q: want at+jwt or JWT", t)
		}
		p.Types = append(p.Types, t)
	}
	p.Identity.Provider, p.Identity.Issuer = p.ID, p.Issuer
	if p.Introspection == nil {
		return nil
	}
	in := *p.Introspection
	p.Introspection = &in
	return p.completeIntrospection(&in)
}

func (p *Provider) completeIntrospection(in *Introspection) error {
	switch {
	case in.ClientID == "":
		return errors.New("introspection needs a client id")
	case (in.ClientSecret == "") == (in.Key == nil):
		return errors.New("introspection needs either a client secret or a key")
	case in.Key != nil && (in.Key.Private == nil || !slices.Contains(defaultAlgorithms, in.Key.Algorithm)):
		return errors.New("the introspection key needs a private key and the algorithm RS256, ES256 or EdDSA")
	case strings.Contains(in.Prefix, "."):
		return fmt.Errorf("token prefix %q has a dot, which is the sign of a JWT", in.Prefix)
	}
	return p.checkURL("introspection URL", in.URL, true)
}

// checkURL refuses addresses at which whoever is on the wire would be believed.
func (p *Provider) checkURL(what, text string, optional bool) error {
	if text == "" && optional {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.RawQuery != "" && what == "issuer":
		return fmt.Errorf("%s %q is no plain https address", what, text)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (p.Insecure || isLocal(u.Hostname())):
		return nil
	}
	return fmt.Errorf("%s %s must begin with https://", what, text)
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// mediaType returns a typ as it is compared (RFC 7515, 4.1.9).
func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}
