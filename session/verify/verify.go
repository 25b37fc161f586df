package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Header is the request header that carries the assertion, unless the gate's
// identity.header_prefix says otherwise.
const Header = "X-Pomerium-Jwt-Assertion"

// maxToken bounds what is parsed at all; the edge signs at most 12 KiB.
const maxToken = 16 << 10

// leeway is how far the clocks of gate and upstream may differ.
const leeway = 30 * time.Second

// ErrInvalid is every cause for which an assertion is refused; the cause is in
// the wrapped text, for logs and not for clients.
var ErrInvalid = errors.New("identity assertion is not valid")

// Identity is who the edge vouches for.
type Identity struct {
	// User is the user's id; never empty.
	User string
	// Email is empty unless verified.
	Email, Name, Organization string
	// Groups are the roles, then the groups. What somebody may do goes by Roles: a
	// group may be called as a role is.
	Groups, Roles []string
	// Session names the session, for logs.
	Session string
	// ExpiresAt is when the assertion ends.
	ExpiresAt time.Time
}

// Options make a Verifier. Issuer, Audience and JWKSURL are needed.
type Options struct {
	// Issuer is the gate's own origin, e.g. "https://gate.kappa4.com".
	Issuer string
	// Audience is the host under which people reach this upstream, e.g.
	// "api.portal.kappa4.com". An upstream behind several hosts needs a Verifier
	// for each, chosen by the request's host.
	Audience string
	// JWKSURL is where the key set is, e.g.
	// "https://gate.kappa4.com/.well-known/pomerium/jwks.json". Plain http is for
	// localhost alone: who can answer in the gate's place is anybody.
	JWKSURL string
	// Header carries the assertion; "" means Header.
	Header string
	// Client fetches the key set; nil means a plain one. In either case a fetch
	// ends after 5 s and redirects are not followed.
	Client *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verifier checks assertions. Safe for concurrent use.
type Verifier struct {
	o    Options
	keys *keySet
}

// New returns a Verifier, or says which option is wrong. Nothing is fetched yet.
func New(o Options) (*Verifier, error) {
	if o.Issuer == "" || o.Audience == "" || o.JWKSURL == "" {
		return nil, errors.New("verify: Issuer, Audience and JWKSURL are needed")
	}
	u, err := url.Parse(o.JWKSURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !local(u.Hostname())) {
		return nil, fmt.Errorf("verify: JWKSURL %q must be an https URL (http is for localhost alone)", o.JWKSURL)
	}
	if o.Header == "" {
		o.Header = Header
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Verifier{o: o, keys: newKeySet(o)}, nil
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// claims are those that the edge signs.
type claims struct {
	jwt.Claims
	Email        string   `json:"email"`
	Name         string   `json:"name"`
	Organization string   `json:"organization"`
	Groups       []string `json:"groups"`
	Roles        []string `json:"roles"`
	SessionID    string   `json:"sid"`
}

// Verify returns who an assertion vouches for. Errors wrap ErrInvalid, or are
// those of fetching the key set: then the assertion may be good, and the
// request is to be answered with 503.
func (v *Verifier) Verify(ctx context.Context, token string) (*Identity, error) {
	if token == "" || len(token) > maxToken {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrInvalid, len(token))
	}
	// Only ES256: "none", HMAC under a public key and the like are refused
	// before anything else is looked at (RFC 8725, 3.1). Of the header nothing
	// but kid is used: jwk, jku and x5u would let a token bring its own key.
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	kid := parsed.Headers[0].KeyID
	if kid == "" || len(kid) > maxKeyID {
		return nil, fmt.Errorf("%w: its key id has %d bytes", ErrInvalid, len(kid))
	}
	key, err := v.keys.find(ctx, kid)
	if err != nil {
		return nil, err
	}
	var c claims
	if err := parsed.Claims(key, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := v.check(&c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return &Identity{
		User: c.Subject, Email: c.Email, Name: c.Name, Organization: c.Organization, Groups: c.Groups, Roles: c.Roles,
		Session: c.SessionID, ExpiresAt: c.Expiry.Time(),
	}, nil
}

// check looks at what the signature covers. The jwt package looks only at what
// is there, so what must be there is asked for first.
func (v *Verifier) check(c *claims) error {
	switch {
	case c.Subject == "" || c.Expiry == nil || c.IssuedAt == nil:
		return errors.New("sub, exp or iat is missing")
	case len(c.Audience) != 1:
		return fmt.Errorf("it is for %d audiences", len(c.Audience))
	}
	return c.ValidateWithLeeway(jwt.Expected{Issuer: v.o.Issuer, AnyAudience: jwt.Audience{v.o.Audience}, Time: v.o.Now()}, leeway)
}

// Request verifies the assertion of a request, which must carry exactly one.
func (v *Verifier) Request(r *http.Request) (*Identity, error) {
	hs := r.Header.Values(v.o.Header)
	if len(hs) != 1 {
		return nil, fmt.Errorf("%w: the request carries %d of %s", ErrInvalid, len(hs), v.o.Header)
	}
	return v.Verify(r.Context(), hs[0])
}

type contextKey struct{}

// From returns the identity that Middleware found.
func From(ctx context.Context) (*Identity, bool) {
	id, ok := ctx.Value(contextKey{}).(*Identity)
	return id, ok
}

// Middleware lets only requests with a valid assertion through, and answers 401
// to the others, or 503 while the key set cannot be fetched. Handlers take the
// identity from From and never from the headers beside the assertion, which
// are as forged as whoever reached this upstream likes.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := v.Request(r)
		switch {
		case errors.Is(err, ErrInvalid):
			http.Error(w, "no valid identity assertion", http.StatusUnauthorized)
		case err != nil:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "identity cannot be checked now", http.StatusServiceUnavailable)
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, id)))
		}
	})
}
