package route

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/neosc/gate/authz/route/strictyaml"
)

// checker turns what was decoded into a File and reports what is wrong.
type checker struct {
	y      *fileYAML
	file   *File
	names  map[string]bool // of routes
	report strictyaml.Report
}

var name = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// reservedUpstreams are names of clusters that the rendered Envoy has anyway.
var reservedUpstreams = []string{GateUpstream, "authz", "leash", "ads"}

func (c *checker) run() {
	y, f := c.y, c.file
	if y.Listen != "" {
		addr, err := netip.ParseAddrPort(y.Listen)
		if err != nil || addr.Port() == 0 {
			c.report.Add(y.Where, "listen", "listen: %q is no address; write it as 0.0.0.0:443", clip(y.Listen))
		}
		f.listen = addr
	}
	if y.TrustedHops > 16 {
		c.report.Add(y.Where, "trusted_hops", "trusted_hops: %d is more proxies than anybody has; use 0 to 16", y.TrustedHops)
	}
	f.trustedHops = y.TrustedHops
	c.shields()
	c.headers()
	c.serverTLS()
	c.upstreams()
	for i := range y.Hosts {
		c.host(&y.Hosts[i])
	}
	c.gate()
}

// gate checks that sign-in has a place of its own.
func (c *checker) gate() {
	y, f := c.y, c.file
	f.gate = y.Gate
	if _, err := parseOrigin(y.Gate); err != nil {
		c.report.Add(y.Where, "gate", "gate: %v", err)
		return
	}
	i := slices.IndexFunc(f.hosts, func(h Host) bool { return h.Origin == y.Gate })
	if i < 0 {
		c.report.Add(y.Where, "gate", "gate: no host has the origin %q; add it to hosts with a route to the upstream %q", y.Gate, GateUpstream)
		return
	}
	if !slices.ContainsFunc(f.hosts[i].Entries, func(e Entry) bool { return e.Upstream == GateUpstream && e.Match.Prefix == "/" }) {
		c.report.Add(y.Where, "gate", "gate: the host %q needs a route with prefix / to the upstream %q, or nobody can sign in", y.Gate, GateUpstream)
	}
}

// headers works out which headers are forwarded, settable and stripped, and
// refuses lists that contradict each other.
func (c *checker) headers() {
	y, f := c.y, c.file
	set, setKey := defaultSettable, ""
	if y.Has("set_headers") {
		set, setKey = c.patterns("set_headers", y.SetHeaders, true), "set_headers"
	}
	f.settable = newHeaderSet(set)
	f.response = newHeaderSet(c.patterns("response_headers", y.ResponseHeaders, true))
	c.stripsNothingNeeded()
	strip := slices.Concat(baseStrip, forwardedStrip(y.TrustedHops), set, c.patterns("strip_headers", y.StripHeaders, false))

	f.forwarded = slices.Clone(alwaysForwarded)
	for i, h := range y.CheckHeaders {
		key := element("check_headers", i)
		if !headerName.MatchString(h) || len(h) > 100 {
			c.report.Add(y.Where, key, "check_headers: %q is no header name; write it in lower case, with dashes", clip(h))
			continue
		}
		f.forwarded = append(f.forwarded, h)
	}
	slices.Sort(f.forwarded)
	f.forwarded = slices.Compact(f.forwarded)
	for _, h := range f.forwarded {
		c.contradiction(h, setKey)
	}
	f.strip = stripExpressions(strip)

	f.rules = mutationExpression(slices.Concat(set, gateMutates))
	if n, err := re2Cost(f.rules); err != nil || n > RE2Budget {
		c.report.Add(y.Where, setKey, "set_headers: the names are too long in all for Envoy's filter (%d of %d instructions); shorten the list with a pattern such as x-acme-*", n, RE2Budget)
	}
}

// contradiction refuses a forwarded header that policy may also set, or that
// never arrives. Policy would take its own or no value for the client's: a deny
// rule on it would fail open.
func (c *checker) contradiction(h, setKey string) {
	y, f := c.y, c.file
	key := ""
	if i := slices.Index(y.CheckHeaders, h); i >= 0 {
		key = element("check_headers", i)
	}
	if f.settable.Has(h) && h != "cookie" {
		if key == "" {
			key = setKey
		}
		c.report.Add(y.Where, key, "the header %q is both forwarded to the check and in set_headers; take it out of one", h)
		return
	}
	if key == "" || slices.Contains(setByEnvoy, h) {
		return
	}
	for _, p := range slices.Concat(baseStrip, forwardedStrip(y.TrustedHops), y.StripHeaders) {
		if newHeaderSet([]string{p}).Has(h) {
			c.report.Add(y.Where, key, "check_headers: %q never arrives, since clients' values of it are stripped (%s); take it out", h, p)
			return
		}
	}
}

// stripsNothingNeeded refuses to strip what the gate must see, or what frames
// a message.
func (c *checker) stripsNothingNeeded() {
	for i, p := range c.y.StripHeaders {
		s := newHeaderSet([]string{p})
		for _, h := range slices.Concat(alwaysForwarded, framing) {
			if s.Has(h) && h != "x-envoy-external-address" {
				c.report.Add(c.y.Where, element("strip_headers", i), "strip_headers: %q would take off %s, which is needed; take it out", p, h)
				break
			}
		}
	}
}

// patterns checks a list of header names and patterns. Those that policy may
// set must not frame the message or steer the proxy.
func (c *checker) patterns(key string, list []string, set bool) []string {
	var good []string
	for i, p := range list {
		at := element(key, i)
		switch {
		case !headerPattern.MatchString(p) || len(p) > 64:
			c.report.Add(c.y.Where, at, "%s: %q is no header name; write it in lower case with dashes, a pattern as x-acme-*, at most 64", key, clip(p))
		case set && !mayBeSet(p):
			c.report.Add(c.y.Where, at, "%s: %q frames the message, carries credentials or steers the proxy and is not policy's to set; take it out", key, p)
		default:
			good = append(good, p)
		}
	}
	return good
}

func mayBeSet(pattern string) bool {
	s := newHeaderSet([]string{pattern})
	if slices.Contains(neverSettable, pattern) || slices.ContainsFunc(neverSettable, s.Has) {
		return false
	}
	base := strings.TrimSuffix(pattern, "*")
	return !slices.ContainsFunc(neverSettablePrefixes, func(p string) bool {
		return strings.HasPrefix(base, p) || base != pattern && strings.HasPrefix(p, base)
	})
}
