package route

import (
	"regexp"
	"slices"
	"strings"
)

// alwaysForwarded are the request headers that the gate itself needs to see:
// credentials, where the request comes from and what kind of client sends it.
var alwaysForwarded = []string{
	"accept", "access-control-request-headers", "access-control-request-method", "authorization", "cookie",
	"origin", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user", "upgrade", "user-agent",
	"x-envoy-external-address", "x-request-id", "x-requested-with",
}

// AlwaysForwarded lists the request headers that reach policy whatever the routes
// file says, in lower case.
func AlwaysForwarded() []string { return slices.Clone(alwaysForwarded) }

// defaultSettable are the headers of set_headers when the file gives none.
var defaultSettable = []string{"x-pomerium-*", "x-session-id", "x-user-email", "x-workspace-type"}

// gateMutates are request headers that the gate changes itself, whatever
// policy says: it takes its cookie and Authorization off, and ends streams.
var gateMutates = []string{"authorization", "cookie", "x-envoy-upstream-stream-duration-ms"}

// Headers that Envoy sets itself after stripping; they may be forwarded though
// a client's value of them is stripped.
var setByEnvoy = []string{"x-envoy-external-address", "x-forwarded-for", "x-forwarded-proto"}

// framing are headers without which a message cannot be read.
var framing = []string{
	"host", "connection", "content-length", "content-type", "content-encoding", "transfer-encoding", "te", "trailer", "expect",
}

// Headers that frame a message or steer the proxy. Setting one from policy
// would change where the request goes or where it ends.
var neverSettable = []string{
	"host", "connection", "content-length", "date", "expect", "forwarded", "keep-alive", "te", "trailer",
	"transfer-encoding", "upgrade", "grpc-timeout", "x-request-id", "set-cookie", "cookie", "authorization",
}

var neverSettablePrefixes = []string{"x-envoy-", "x-forwarded-", "proxy-", "access-control-", "sec-"}

// HeaderSet is a set of header names in lower case, each either exact or, with
// a "*" at its end, all names that begin so. The zero value is empty.
type HeaderSet struct{ patterns []string }

// Has reports whether the set holds a name, which must be in lower case.
func (s HeaderSet) Has(name string) bool {
	for _, p := range s.patterns {
		if prefix, wild := strings.CutSuffix(p, "*"); p == name || wild && strings.HasPrefix(name, prefix) && len(name) > len(prefix) {
			return true
		}
	}
	return false
}

// Patterns lists the set, sorted; must not be changed.
func (s HeaderSet) Patterns() []string { return s.patterns }

func newHeaderSet(patterns []string) HeaderSet {
	sorted := slices.Clone(patterns)
	slices.Sort(sorted)
	return HeaderSet{patterns: slices.Compact(sorted)}
}

var (
	headerName    = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	headerPattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*(-\*)?$`)
)

// baseStrip is taken off every request: what proxies trust of each other and a
// client must not say (attack cases H1 to H4 and H8), method overrides, CGI's
// HTTP_PROXY, the header that skipped a popular frontend's middleware
// (CVE-2025-29927), and identity headers of other proxies.
var baseStrip = []string{
	"x-envoy-*", "x-pomerium-*", "grpc-timeout", "forwarded", "proxy", "true-client-ip", "cf-connecting-ip",
	"x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-original-*", "x-rewrite-*", "x-host", "x-scheme",
	"x-http-method", "x-http-method-override", "x-method-override", "x-client-trace-id", "x-middleware-*",
	"x-auth-request-*", "x-remote-*", "remote-user",
}

// forwardedStrip covers X-Forwarded-*. Behind trusted proxies the two that
// Envoy reads by their count of hops stay.
func forwardedStrip(trustedHops uint32) []string {
	if trustedHops == 0 {
		return []string{"x-forwarded-*"}
	}
	return []string{
		"x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-uri", "x-forwarded-method",
		"x-forwarded-path", "x-forwarded-server", "x-forwarded-scheme", "x-forwarded-ssl", "x-forwarded-user",
		"x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username", "x-forwarded-access-token",
		"x-forwarded-client-cert",
	}
}

// separator is a class of all punctuation that a header name may hold. A CGI
// style server turns any of it into "_", so that X.Pomerium.Email and
// X--Pomerium-Email would both become HTTP_X_POMERIUM_EMAIL or nearly so.
const separator = "[!#-'*+.^_`|~-]"

// stripExpressions gives as few expressions as RE2Budget allows that together
// match every spelling of the given patterns: Envoy tries each of them on each
// header of each request, so thirty small ones would cost more than the check.
func stripExpressions(patterns []string) []string {
	var out []string
	for _, start := range []string{"x-", ""} {
		var group []string
		for _, p := range newHeaderSet(patterns).Patterns() {
			rest, isX := strings.CutPrefix(p, "x-")
			if isX != (start == "x-") {
				continue
			}
			more := append(slices.Clone(group), spellings(rest))
			if n, err := re2Cost(joinSpellings(start, more)); err != nil || n > RE2Budget {
				out = append(out, joinSpellings(start, group))
				more = []string{spellings(rest)}
			}
			group = more
		}
		out = append(out, joinSpellings(start, group))
	}
	return out
}

func joinSpellings(start string, alternatives []string) string {
	if start != "" {
		start = "x" + separator + "+"
	}
	return start + "(" + strings.Join(alternatives, "|") + ")"
}

// spellings is an expression for every spelling of a name or pattern.
func spellings(pattern string) string {
	base, wild := strings.CutSuffix(pattern, "-*")
	expr := strings.Join(strings.Split(base, "-"), separator+"+")
	if wild {
		return expr + "(" + separator + ".*)?"
	}
	return expr
}

// mutationExpression matches exactly the given patterns.
func mutationExpression(patterns []string) string {
	sorted := slices.Clone(patterns)
	slices.Sort(sorted)
	var alternatives, xs []string
	for _, p := range slices.Compact(sorted) {
		p = strings.ReplaceAll(p, "*", ".*")
		if rest, ok := strings.CutPrefix(p, "x-"); ok {
			xs = append(xs, rest)
		} else {
			alternatives = append(alternatives, p)
		}
	}
	if len(xs) > 0 {
		alternatives = append(alternatives, "x-("+strings.Join(xs, "|")+")")
	}
	return strings.Join(alternatives, "|")
}
