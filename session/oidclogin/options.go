package oidclogin

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

// Ways in which the gate proves at the token endpoint who it is. The way is
// always configured or follows from the credential: trying one after the other
// would send the code twice.
const (
	AuthNone       = "none"
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthPrivateKey = "private_key_jwt"
)

// Provider is one identity provider. ID, Issuer and ClientID are needed.
type Provider struct {
	// ID names it: [a-z0-9_-]{1,32}. Its redirect URI is
	// <gate origin>/callback/<ID>.
	ID string
	// Name is its name for people, ID if empty; Note says whom it is for.
	Name, Note string
	// Issuer as the provider itself writes it: tokens must carry exactly this.
	Issuer   string
	ClientID string
	// ClientSecret is for AuthBasic and AuthPost.
	ClientSecret string
	// PrivateKey (RSA or ECDSA) and KeyID are for AuthPrivateKey.
	PrivateKey crypto.Signer
	KeyID      string
	// ClientAuth is one of the constants above; "" follows from the credential.
	ClientAuth string
	// Scopes are asked for; "openid" is always among them. Empty means openid,
	// profile and email.
	Scopes []string
	// ProjectID is Zitadel's, for the claim that lists its roles.
	ProjectID string
	// RoleClaims and GroupClaims name the claims that list roles and groups;
	// empty means Zitadel's and "roles", and "groups". Where RoleClaims are
	// named, all of them count, whosever project they speak of.
	RoleClaims, GroupClaims []string
	// DefaultRole is given to people who have none of KnownRoles (by default
	// admin, demo-user, neosc and user); "" for none.
	DefaultRole string
	KnownRoles  []string
	// Domains are those whose addresses this provider answers for: they count
	// as verified whatever the provider says.
	Domains []string
	// Organizations, if any, are the only ones whose people are let in. The
	// scope that selects one is a word in the browser's address line, which
	// anybody can edit.
	Organizations []string
	// Audiences may stand in ID tokens beside ClientID.
	Audiences []string
	// MaxAge, if above 0, is how long ago the person may have proved who they
	// are to the provider.
	MaxAge time.Duration
	// AppRedirectURIs are those of single-page apps that sign people in by
	// themselves, with the same client, and have the gate redeem the code.
	AppRedirectURIs []string
}

// Sessions is what this package needs of session.Manager.
type Sessions interface {
	Begin(ctx context.Context, d session.Draft) (s *session.Session, cookie string, secret session.Secret, err error)
	OpenSecret(cookie string) (session.Key, session.Secret, error)
	List(ctx context.Context, q session.Query) ([]*session.Session, error)
	Revoke(ctx context.Context, k session.Key) error
	RevokeUser(ctx context.Context, userID string) (int, error)
	Current(ctx context.Context, k session.Key) (*session.Session, error)
	Renew(ctx context.Context, k session.Key, r session.Renewal) (*session.Session, error)
}

// Options set up Logins. Providers, GateOrigin, Sessions and Notes are needed.
type Options struct {
	Providers  []Provider
	GateOrigin string
	Sessions   Sessions
	Notes      session.Notes
	// Directory keeps who signed in; nil keeps nobody. A sign-in that it cannot
	// keep gives no session.
	Directory session.Directory
	// Transport carries requests to providers; nil means one with bounds of its
	// own that honours the proxy variables of the environment.
	Transport http.RoundTripper
	// Clock is time.Now and Logger slog.Default() if nil.
	Clock  func() time.Time
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none are shown. MetricPrefix is
	// "pomerium_" if empty.
	Registerer   prometheus.Registerer
	MetricPrefix string
}

// Logins implements session.Logins. Safe for concurrent use.
type Logins struct {
	o         Options
	providers []*provider
	byID      map[string]*provider
	metrics   *metrics
	flights   *flights
}

// provider is a configured one with what is known of it.
type provider struct {
	Provider
	redirectURI, signedOutURI string
	client                    *http.Client
	discovery                 *discovery
	keys                      *keySet
	clock                     func() time.Time
	metrics                   *metrics
	// projectMissed: the log says already that ID tokens do not name ProjectID.
	projectMissed atomic.Bool
}

var idPattern = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// New returns Logins, or says which option is wrong. It asks no provider:
// one that is away keeps neither the gate from starting nor the others from
// working.
func New(o Options) (*Logins, error) {
	if o.Sessions == nil || o.Notes == nil {
		return nil, errors.New("providers: Options need Sessions and Notes")
	}
	return build(o)
}

// build is New for a caller that signs nobody in.
func build(o Options) (*Logins, error) {
	if u, err := url.Parse(o.GateOrigin); err != nil || u.Host == "" || u.Scheme+"://"+u.Host != o.GateOrigin {
		return nil, fmt.Errorf("providers: gate origin %q is not an origin such as https://gate.example.com", o.GateOrigin)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	l := &Logins{o: o, byID: map[string]*provider{}, flights: newFlights()}
	var err error
	if l.metrics, err = newMetrics(o.Registerer, o.MetricPrefix); err != nil {
		return nil, fmt.Errorf("providers: %w", err)
	}
	for _, c := range o.Providers {
		if err := c.complete(); err != nil {
			return nil, fmt.Errorf("provider %q: %w", c.ID, err)
		}
		for _, u := range c.AppRedirectURIs {
			if err := checkRedirectURI(u, o.GateOrigin); err != nil {
				return nil, fmt.Errorf("provider %q: token_exchange.redirect_uris: %w", c.ID, err)
			}
		}
		if l.byID[c.ID] != nil {
			return nil, fmt.Errorf("provider %q: the id is taken", c.ID)
		}
		p := &provider{Provider: c, redirectURI: o.GateOrigin + "/callback/" + c.ID, signedOutURI: o.GateOrigin + SignedOutPath, client: newClient(o.Transport), clock: o.Clock, metrics: l.metrics}
		p.discovery = newDiscovery(p)
		p.keys = newKeySet(p)
		l.providers = append(l.providers, p)
		l.byID[c.ID] = p
	}
	return l, nil
}

// complete fills in defaults and says what is wrong.
func (c *Provider) complete() error {
	switch {
	case !idPattern.MatchString(c.ID) || c.ID == "local":
		return errors.New("the id must be 1 to 32 of a-z, 0-9, _ and -, and not \"local\"")
	case c.ClientID == "":
		return errors.New("client_id is empty; the provider's console shows it")
	case c.MaxAge < 0:
		return errors.New("max_age is negative")
	}
	if err := checkURL(c.Issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if err := c.completeAuth(); err != nil {
		return err
	}
	if c.Name == "" {
		c.Name = c.ID
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"openid", "profile", "email"}
	}
	if !slices.Contains(c.Scopes, "openid") {
		c.Scopes = append([]string{"openid"}, c.Scopes...)
	}
	if err := c.checkProject(); err != nil {
		return fmt.Errorf("project_id (or ZITADEL_PROJECT_ID): %w", err)
	}
	if c.DefaultRole != "" {
		if _, err := session.CheckNames("role", []string{c.DefaultRole}); err != nil {
			return fmt.Errorf("default_role: %w", err)
		}
	}
	for i, d := range c.Domains {
		d = strings.ToLower(strings.TrimPrefix(d, "@"))
		if d == "" || strings.ContainsAny(d, "@*/ ") {
			return fmt.Errorf("domains: %q is not a domain such as example.com", c.Domains[i])
		}
		c.Domains[i] = d
	}
	return nil
}

func (c *Provider) completeAuth() error {
	if c.ClientAuth == "" {
		switch {
		case c.PrivateKey != nil:
			c.ClientAuth = AuthPrivateKey
		case c.ClientSecret != "":
			c.ClientAuth = AuthBasic
		default:
			c.ClientAuth = AuthNone
		}
	}
	secret, key := c.ClientSecret != "", c.PrivateKey != nil
	switch c.ClientAuth {
	case AuthNone:
		if secret || key {
			return errors.New("client_auth is none, yet there is a secret or a key; remove one of them")
		}
	case AuthBasic, AuthPost:
		if !secret {
			return fmt.Errorf("client_auth %s needs client_secret or client_secret_file", c.ClientAuth)
		}
	case AuthPrivateKey:
		if !key {
			return errors.New("client_auth private_key_jwt needs private_key_file")
		}
		if _, err := signingAlg(c.PrivateKey); err != nil {
			return err
		}
	default:
		return fmt.Errorf("client_auth must be %s, %s, %s or %s", AuthNone, AuthBasic, AuthPost, AuthPrivateKey)
	}
	return nil
}

var projectPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]{0,200}$`)

// checkProject refuses what is no project's id, or another thing's: with a wrong
// one nobody would get a role, and nothing would say why.
func (c *Provider) checkProject() error {
	switch {
	case c.ProjectID != "" && c.ProjectID == c.ClientID:
		return fmt.Errorf("%s is the client_id; Zitadel shows the project's id on the project's own page", c.ProjectID)
	case !projectPattern.MatchString(c.ProjectID):
		return fmt.Errorf("%q is no id; Zitadel shows it on the project's page, such as 360327617871609860", clip(c.ProjectID))
	}
	return nil
}

// checkURL wants https, or http on this very machine.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.RawQuery != "":
		return fmt.Errorf("%q is not an address such as https://login.example.com", s)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && onThisMachine(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%q is not https", s)
}

func onThisMachine(host string) bool {
	return host == "127.0.0.1" || host == "::1" || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Providers implements session.Logins.
func (l *Logins) Providers() []session.ProviderInfo {
	out := make([]session.ProviderInfo, len(l.providers))
	for i, p := range l.providers {
		out[i] = session.ProviderInfo{ID: p.ID, Name: p.Name, Note: p.Note}
	}
	return out
}
