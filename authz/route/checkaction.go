package route

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRespondBody is Envoy's own limit on a direct response.
	maxRespondBody = 4096
	maxWeight      = 10_000
	maxAttempts    = 5
)

// Conditions under which an upstream cannot have acted on a request, and those
// under which it may have.
var (
	safeRetries  = []string{"connect-failure", "refused-stream", "reset-before-request"}
	otherRetries = []string{"gateway-error", "reset", "5xx", "retriable-4xx"}
)

var (
	redirectStatuses = []uint32{301, 302, 303, 307, 308}
	mediaType        = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9.+-]+(; ?charset=[a-zA-Z0-9-]+)?$`)
)

// action fills in what becomes of a route's requests.
func (c *checker) action(y *routeYAML, origin string, e *Entry) {
	var given []string
	for _, key := range []string{"upstream", "upstreams", "redirect", "respond"} {
		if y.Has(key) {
			given = append(given, key)
		}
	}
	switch len(given) {
	case 0:
		c.report.Add(y.Where, "name", "the route %q leads nowhere; give it upstream, upstreams, redirect or respond", clip(y.Name))
		return
	case 1:
	default:
		c.report.Add(y.Where, given[1], "%s: a route has one way to answer; take out %s or %s", given[1], given[0], given[1])
		return
	}
	switch given[0] {
	case "upstream":
		c.knownUpstream(y.Where, "upstream", y.Upstream)
		e.Upstream = y.Upstream
	case "upstreams":
		e.Weighted = c.weighted(y)
	case "redirect":
		e.Redirect = c.redirect(y.Redirect, origin)
	case "respond":
		e.Respond = c.respond(y.Respond)
	}
	if y.Redirect == nil && y.Respond == nil {
		c.forwarding(y, e)
		return
	}
	for _, key := range []string{"rewrite", "timeout", "idle_timeout", "retries", "upgrades", "pass_identity_headers", "pass_authorization"} {
		if y.Has(key) {
			c.report.Add(y.Where, key, "%s: this route has no upstream to which it could apply; take it out", key)
		}
	}
}

func (c *checker) weighted(y *routeYAML) []Weighted {
	var list []Weighted
	total := uint64(0)
	for _, n := range slices.Sorted(maps.Keys(y.Upstreams)) {
		w := y.Upstreams[n]
		if n == GateUpstream {
			c.report.Add(y.Where, "upstreams."+n, "upstreams: the gate itself cannot share a route with others; give it one of its own")
			continue
		}
		c.knownUpstream(y.Where, "upstreams."+n, n)
		if w > maxWeight {
			c.report.Add(y.Where, "upstreams."+n, "upstreams: the weight %d of %q is too large; use 0 to %d", w, n, maxWeight)
		}
		total += uint64(w)
		list = append(list, Weighted{Upstream: n, Weight: w})
	}
	if total == 0 {
		c.report.Add(y.Where, "upstreams", "upstreams: no weight is above 0, so that nobody gets requests; write upstreams: {old: 90, new: 10}")
	}
	return list
}

// forwarding fills in what only applies on the way to an upstream.
func (c *checker) forwarding(y *routeYAML, e *Entry) {
	e.Upgrades = c.upgrades(y)
	if y.Has("timeout") {
		e.Timeout = y.Timeout
		if y.Timeout == 0 {
			e.IdleTimeout = 0 // a stream without a timeout may also be silent
		}
	}
	if y.Has("idle_timeout") {
		e.IdleTimeout = y.IdleTimeout
	}
	for key, d := range map[string]time.Duration{"timeout": y.Timeout, "idle_timeout": y.IdleTimeout} {
		if d > maxTimeout || d > 0 && d < time.Millisecond {
			c.report.Add(y.Where, key, "%s: %v is out of range; use 1ms to 24h, or 0s for none", key, d)
		}
	}
	e.Retries = c.retries(y.Retries, e.Timeout)
	if r := y.Rewrite; r != nil {
		e.Rewrite = Rewrite{Host: r.Host, Path: r.Path, Prefix: r.Prefix}
		if r.Host == "" && r.Path == "" && r.Prefix == "" {
			c.report.Add(r.Where, "", "rewrite: it is empty; give host, path or prefix, or take it out")
		}
		if r.Host != "" {
			if err := checkHost(r.Host); err != nil {
				c.report.Add(r.Where, "host", "rewrite.host: %q: %v", clip(r.Host), err)
			}
		}
		c.newPath(y, r.Where, "rewrite", r.Path, r.Prefix)
		if e.Upstream == GateUpstream {
			c.report.Add(r.Where, "", "rewrite: the gate reads the address that the browser asked for; take it out")
		}
	}
}

func (c *checker) retries(y *retriesYAML, timeout time.Duration) *Retries {
	if y == nil {
		return nil
	}
	r := &Retries{Attempts: y.Attempts, On: safeRetries, PerTryTimeout: y.PerTryTimeout}
	if y.Attempts < 1 || y.Attempts > maxAttempts {
		c.report.Add(y.Where, "attempts", "retries.attempts: %d; use 1 to %d", y.Attempts, maxAttempts)
	}
	if timeout > 0 && y.PerTryTimeout >= timeout {
		c.report.Add(y.Where, "per_try_timeout", "retries.per_try_timeout: %v leaves no time for a second try within the route's timeout of %v; shorten it", y.PerTryTimeout, timeout)
	}
	if !y.Has("on") {
		return r
	}
	r.On = nil
	for i, o := range y.On {
		if n, err := strconv.ParseUint(o, 10, 16); err == nil && n >= 400 && n <= 599 {
			r.Statuses, r.Safe = append(r.Statuses, uint32(n)), true
			continue
		}
		if !slices.Contains(safeRetries, o) && !slices.Contains(otherRetries, o) {
			c.report.Add(y.Where, element("on", i), "retries.on: %q is not one of %s or a status from \"400\" to \"599\"", clip(o), strings.Join(slices.Concat(safeRetries, otherRetries), ", "))
			continue
		}
		r.On = append(r.On, o)
		r.Safe = r.Safe || slices.Contains(otherRetries, o)
	}
	if len(y.On) == 0 {
		c.report.Add(y.Where, "on", "retries.on: the list is empty; take retries out, or on for the default")
	}
	return r
}

func (c *checker) redirect(y *redirectYAML, origin string) *Redirect {
	r := &Redirect{Path: y.Path, Prefix: y.Prefix, Status: 302, StripQuery: y.StripQuery}
	if y.Has("status") {
		r.Status = y.Status
	}
	if !slices.Contains(redirectStatuses, r.Status) {
		c.report.Add(y.Where, "status", "redirect.status: %d is no redirect; use 301, 302, 303, 307 or 308", r.Status)
	}
	if y.Origin == "" && y.Path == "" && y.Prefix == "" {
		c.report.Add(y.Where, "", "redirect: it leads back to where it came from; give origin, path or prefix")
	}
	// The port is stripped from Host before routing, so that it must be said
	// here even when the host stays.
	to := origin
	if y.Origin != "" {
		host, err := parseOrigin(y.Origin)
		if err != nil {
			c.report.Add(y.Where, "origin", "redirect.origin: %v", err)
			return r
		}
		to, r.Host = y.Origin, host
	}
	if u, err := url.Parse(to); err == nil {
		r.Scheme = u.Scheme
		if p, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
			r.Port = uint16(p)
		}
	}
	return r
}

func (c *checker) respond(y *respondYAML) *Respond {
	r := &Respond{Status: y.Status, Body: y.Body, ContentType: y.ContentType}
	if y.Status < 200 || y.Status > 599 {
		c.report.Add(y.Where, "status", "respond.status: %d is no final status; use 200 to 599", y.Status)
	}
	if len(y.Body) > maxRespondBody {
		c.report.Add(y.Where, "body", "respond.body: %d bytes; at most %d are possible", len(y.Body), maxRespondBody)
	}
	if r.ContentType == "" {
		r.ContentType = "text/plain; charset=utf-8"
	}
	if !mediaType.MatchString(r.ContentType) || len(r.ContentType) > 100 {
		c.report.Add(y.Where, "content_type", "respond.content_type: %q is no media type; write it as text/html; charset=utf-8", clip(y.ContentType))
	}
	return r
}
