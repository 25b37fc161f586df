package engine

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
	"github.com/open-policy-agent/opa/v1/ast"
)

// Bounds of one request's input. Envoy's own limits are of this order (60 KiB
// of headers, 100 fields); they are held here too, for whoever else asks.
const (
	maxPath         = 64 << 10
	maxPathSegments = 1024
	maxQueryValues  = 1024
	maxHeaderFields = 256
)

type item = [2]*ast.Term

// builder puts requests into the shape of Input. It is immutable.
type builder struct {
	cookie          string
	prefix          string
	identityHeaders *ast.Term
}

func newBuilder(e Edge) *builder {
	return &builder{
		cookie:          e.SessionCookie,
		prefix:          strings.ToLower(e.IdentityPrefix),
		identityHeaders: ast.ObjectTerm(item{keyPrefix, ast.StringTerm(strings.ToLower(e.IdentityPrefix))}),
	}
}

// build returns the input document of r. Its values hold strings of r: they
// must not outlive the call that owns r. An error wraps authz.ErrBadRequest
// when the request is at fault.
func (b *builder) build(r *authz.Request) (*ast.Term, error) {
	path, err := parsedPath(r)
	if err != nil {
		return nil, err
	}
	query, err := parsedQuery(r)
	if err != nil {
		return nil, err
	}
	attributes, err := b.attributes(r)
	if err != nil {
		return nil, err
	}
	route, err := b.route(r.Route)
	if err != nil {
		return nil, err
	}
	items := [7]item{
		{keyVersion, termVersion},
		{keyAttributes, attributes},
		{keyParsedPath, path},
		{keyParsedQuery, query},
		{keyParsedBody, ast.InternedNullTerm},
		{keyRoute, route},
	}
	n := 6
	if r.Session != nil {
		s, err := sessionTerm(r.Session)
		if err != nil {
			return nil, err
		}
		items[n] = item{keySession, s}
		n++
	}
	return ast.ObjectTerm(items[:n]...), nil
}

func badRequest(format string, args ...any) error {
	return failf(BadRequest, "%w: %w", authz.ErrBadRequest, fmt.Errorf(format, args...))
}

func parsedPath(r *authz.Request) (*ast.Term, error) {
	if len(r.Path) > maxPath {
		return nil, badRequest("the path has %d bytes, at most %d are judged", len(r.Path), maxPath)
	}
	segments, err := r.ParsedPath()
	if err != nil {
		return nil, badRequest("the path is not percent-encoded well")
	}
	if len(segments) > maxPathSegments {
		return nil, badRequest("the path has %d segments, at most %d are judged", len(segments), maxPathSegments)
	}
	return stringsTerm(segments), nil
}

// parsedQuery refuses what url.ParseQuery refuses (a bad escape, a bare ";"):
// policy and upstream could read such a query differently.
func parsedQuery(r *authz.Request) (*ast.Term, error) {
	_, raw := r.SplitPath()
	if raw == "" {
		return ast.InternedEmptyObject, nil
	}
	if strings.Count(raw, "&") >= maxQueryValues {
		return nil, badRequest("the query has more than %d parameters", maxQueryValues)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("the query is not encoded well")
	}
	items := make([]item, 0, len(values))
	for name, vs := range values {
		items = append(items, item{ast.StringTerm(name), stringsTerm(vs)})
	}
	return ast.ObjectTerm(items...), nil
}

func (b *builder) attributes(r *authz.Request) (*ast.Term, error) {
	headers, err := b.headers(r.Headers)
	if err != nil {
		return nil, err
	}
	extensions := ast.InternedEmptyObject
	if len(r.Extensions) > 0 {
		items := make([]item, 0, len(r.Extensions))
		for k, v := range r.Extensions {
			items = append(items, item{ast.StringTerm(k), ast.StringTerm(v)})
		}
		extensions = ast.ObjectTerm(items...)
	}
	return ast.ObjectTerm(
		item{keySource, peerTerm(r.Source, r.Certificate)},
		item{keyDestination, peerTerm(r.Destination, nil)},
		item{keyRequest, ast.ObjectTerm(
			item{keyTime, timeTerm(r.Time)},
			item{keyHTTP, ast.ObjectTerm(
				item{keyID, ast.StringTerm(r.ID)},
				item{keyMethod, ast.StringTerm(r.Method)},
				item{keyHeaders, headers},
				item{keyPath, ast.StringTerm(r.Path)},
				item{keyHost, ast.StringTerm(r.Host)},
				item{keyScheme, ast.StringTerm(r.Scheme)},
				item{keyProtocol, ast.StringTerm(r.Protocol)},
			)},
		)},
		item{keyContextExtensions, extensions},
	), nil
}

func peerTerm(p authz.Peer, c *authz.Certificate) *ast.Term {
	var items [3]item
	n := 0
	if address, ok := addressText(p.Addr); ok {
		items[n] = item{keyAddress, ast.ObjectTerm(item{keySocketAddress, ast.ObjectTerm(
			item{keyAddress, ast.StringTerm(address)},
			item{keyPortValue, ast.IntNumberTerm(int(p.Addr.Port()))},
		)})}
		n++
	}
	if p.Principal != "" {
		items[n] = item{keyPrincipal, ast.StringTerm(p.Principal)}
		n++
	}
	if c != nil {
		items[n] = item{keyCertificate, certificateTerm(c)}
		n++
	}
	return ast.ObjectTerm(items[:n]...)
}

func certificateTerm(c *authz.Certificate) *ast.Term {
	return ast.ObjectTerm(
		item{keySubject, ast.StringTerm(c.Subject)},
		item{keyIssuer, ast.StringTerm(c.Issuer)},
		item{keyDNSNames, stringsTerm(c.DNSNames)},
		item{keyURINames, stringsTerm(c.URINames)},
		item{keyFingerprint, ast.StringTerm(c.Fingerprint)},
		item{keySerial, ast.StringTerm(c.Serial)},
		item{keyNotBefore, timeTerm(c.NotBefore)},
		item{keyNotAfter, timeTerm(c.NotAfter)},
	)
}

// headers joins repeated fields (RFC 9110, 5.3; cookies RFC 9113, 8.2.3) and
// takes the session cookie out: policy, and what policy logs, never see it.
func (b *builder) headers(hs authz.Headers) (*ast.Term, error) {
	if len(hs) > maxHeaderFields {
		return nil, badRequest("the request has %d header fields, at most %d are judged", len(hs), maxHeaderFields)
	}
	items := make([]item, 0, len(hs))
	for i := range hs {
		name, value, separator := hs[i].Name, hs[i].Value, ", "
		if name == "cookie" {
			separator = "; "
			if value = b.withoutSession(value); value == "" {
				continue
			}
		}
		if at := indexName(items, name); at >= 0 {
			value = string(items[at][1].Value.(ast.String)) + separator + value
			items[at][1] = ast.StringTerm(value)
			continue
		}
		items = append(items, item{ast.StringTerm(name), ast.StringTerm(value)})
	}
	return ast.ObjectTerm(items...), nil
}

func indexName(items []item, name string) int {
	for i := range items {
		if string(items[i][0].Value.(ast.String)) == name {
			return i
		}
	}
	return -1
}

// withoutSession returns a Cookie value without any pair of the session
// cookie's name.
func (b *builder) withoutSession(value string) string {
	if b.cookie == "" || !strings.Contains(value, b.cookie) {
		return value
	}
	var kept []string
	for pair := range strings.SplitSeq(value, ";") {
		pair = strings.TrimSpace(pair)
		name, _, _ := strings.Cut(pair, "=")
		if pair != "" && strings.TrimSpace(name) != b.cookie {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "; ")
}

func (b *builder) route(r *authz.Route) (*ast.Term, error) {
	if r == nil { // no policy can know a route without a name: every rule by route fails to match
		return ast.ObjectTerm(item{keyName, ast.InternedEmptyString}, item{keyPolicy, ast.InternedEmptyObject}), nil
	}
	policy, err := objectTerm(r.Policy)
	if err != nil {
		return nil, fmt.Errorf("the policy settings of route %q: %w", r.Name, err)
	}
	items := [3]item{{keyName, ast.StringTerm(r.Name)}, {keyPolicy, policy}}
	n := 2
	if r.PassIdentityHeaders {
		items[n] = item{keyIdentityHeaders, b.identityHeaders}
		n++
	}
	return ast.ObjectTerm(items[:n]...), nil
}

func sessionTerm(s *session.Session) (*ast.Term, error) {
	id := &s.Identity
	claims, err := objectTerm(id.Claims)
	if err != nil {
		return nil, fmt.Errorf("the claims of session %s: %w", s.Key.Short(), err)
	}
	user := [5]item{
		{keyID, ast.StringTerm(id.UserID)},
		{keyEmail, ast.StringTerm(id.Email)},
		{keyEmailVerified, ast.InternedTerm(id.EmailVerified)},
	}
	n := 3
	if id.Name != "" {
		user[n] = item{keyName, ast.StringTerm(id.Name)}
		n++
	}
	if id.Organization != "" {
		user[n] = item{keyOrganization, ast.StringTerm(id.Organization)}
		n++
	}
	return ast.ObjectTerm(
		item{keyID, ast.StringTerm(s.Key.String())},
		item{keyUser, ast.ObjectTerm(user[:n]...)},
		item{keyRoles, stringsTerm(id.Roles)},
		item{keyGroups, stringsTerm(id.Groups)},
		item{keyClaims, claims},
		item{keyProvider, ast.StringTerm(id.Provider)},
		item{keyAuthenticatedAt, timeTerm(id.AuthenticatedAt)},
		item{keyExpiresAt, timeTerm(s.ExpiresAt)},
		item{keyAMR, stringsTerm(id.AMR)},
		item{keyKind, ast.StringTerm(string(s.Kind))},
	), nil
}

func timeTerm(t time.Time) *ast.Term {
	return ast.StringTerm(timeText(t))
}

func stringsTerm(ss []string) *ast.Term {
	if len(ss) == 0 {
		return ast.InternedEmptyArray
	}
	terms := make([]*ast.Term, len(ss))
	for i, s := range ss {
		terms[i] = ast.StringTerm(s)
	}
	return ast.ArrayTerm(terms...)
}
