package route

import (
	"maps"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/authz/route/strictyaml"
)

// Bounds and defaults of upstreams.
const (
	maxEndpoints          = 64
	defaultConnectTimeout = 2 * time.Second
	maxTimeout            = 24 * time.Hour
	minHealthInterval     = 100 * time.Millisecond
)

func (c *checker) upstreams() {
	for _, n := range slices.Sorted(maps.Keys(c.y.Upstreams)) {
		y := c.y.Upstreams[n]
		key := "upstreams." + n
		if slices.Contains(reservedUpstreams, n) {
			c.report.Add(c.y.Where, key, "upstreams: the name %q is taken; the gate itself needs no entry, choose another name for this one", n)
			continue
		}
		if !name.MatchString(n) {
			c.report.Add(c.y.Where, key, "upstreams: %q is no name; use a-z, 0-9 and dashes, at most 63", clip(n))
			continue
		}
		u := Upstream{Name: n, Endpoints: c.endpoints(n, &y), ConnectTimeout: defaultConnectTimeout}
		if y.Has("connect_timeout") {
			u.ConnectTimeout = y.ConnectTimeout
			if y.ConnectTimeout < time.Millisecond || y.ConnectTimeout > time.Minute {
				c.report.Add(y.Where, "connect_timeout", "connect_timeout: %v makes no sense; use 1ms to 1m", y.ConnectTimeout)
			}
		}
		switch y.Protocol {
		case "", "http1":
		case "http2":
			u.HTTP2 = true
		default:
			c.report.Add(y.Where, "protocol", "protocol: %q is not one of http1, http2", clip(y.Protocol))
		}
		u.HealthCheck = c.health(y.HealthCheck)
		u.TLS = c.upstreamTLS(y.TLS, u.Endpoints)
		c.file.upstreams = append(c.file.upstreams, u)
	}
}

func (c *checker) endpoints(n string, y *upstreamYAML) []Endpoint {
	var list []Endpoint
	if len(y.Address) == 0 && y.Has("address") || len(y.Address) > maxEndpoints {
		c.report.Add(y.Where, "address", "upstreams.%s: %d addresses; give 1 to %d", n, len(y.Address), maxEndpoints)
		return nil
	}
	sockets := 0
	for i, a := range y.Address {
		e, err := parseEndpoint(a)
		switch {
		case err != nil:
			c.report.Add(y.Where, element("address", i), "upstreams.%s: %v", n, err)
			continue
		case slices.Contains(list, e):
			c.report.Add(y.Where, element("address", i), "upstreams.%s: the address %q is given twice; take one out", n, clip(a))
			continue
		}
		if e.Socket != "" {
			sockets++
		}
		list = append(list, e)
	}
	if sockets > 0 && sockets < len(list) {
		c.report.Add(y.Where, "address", "upstreams.%s: Unix sockets and host:port together; make two upstreams of them", n)
	}
	return list
}

func (c *checker) health(y *healthYAML) *HealthCheck {
	if y == nil {
		return nil
	}
	h := &HealthCheck{Path: y.Path, Host: y.Host, Interval: 5 * time.Second, Timeout: time.Second, Healthy: 2, Unhealthy: 3, Statuses: y.Statuses}
	c.path(y.Where, "health_check.path", "path", y.Path)
	if y.Host != "" {
		if err := checkHost(y.Host); err != nil {
			c.report.Add(y.Where, "host", "health_check.host: %q: %v", clip(y.Host), err)
		}
	}
	set := func(key string, into *time.Duration, v, lowest time.Duration) {
		if !y.Has(key) {
			return
		}
		*into = v
		if v < lowest || v > time.Hour {
			c.report.Add(y.Where, key, "health_check.%s: %v is out of range; use %v to 1h", key, v, lowest)
		}
	}
	set("interval", &h.Interval, y.Interval, minHealthInterval)
	set("timeout", &h.Timeout, y.Timeout, time.Millisecond)
	for key, v := range map[string]struct {
		into *uint32
		v    uint32
	}{"healthy": {&h.Healthy, y.Healthy}, "unhealthy": {&h.Unhealthy, y.Unhealthy}} {
		if !y.Has(key) {
			continue
		}
		*v.into = v.v
		if v.v < 1 || v.v > 100 {
			c.report.Add(y.Where, key, "health_check.%s: %d answers in a row; use 1 to 100", key, v.v)
		}
	}
	for i, s := range y.Statuses {
		if s < 200 || s > 499 {
			c.report.Add(y.Where, element("statuses", i), "health_check.statuses: %d is no sign of health; use 200 to 499", s)
		}
	}
	return h
}

func (c *checker) upstreamTLS(y *upstreamTLSYAML, endpoints []Endpoint) *UpstreamTLS {
	if y == nil {
		return nil
	}
	t := &UpstreamTLS{CA: y.CA, ServerName: y.ServerName, SANs: y.SANs, Cert: y.Cert, Key: y.Key}
	for key, p := range map[string]string{"ca": y.CA, "cert": y.Cert, "key": y.Key} {
		if p != "" && (!path.IsAbs(p) || path.Clean(p) != p || strings.ContainsRune(p, 0)) {
			c.report.Add(y.Where, key, "tls.%s: %q must be an absolute path, as Envoy sees it", key, clip(p))
		}
	}
	if y.CA == "" && y.Has("ca") {
		c.report.Add(y.Where, "ca", "tls.ca: it is empty; name a PEM file, for public certificates /etc/ssl/certs/ca-certificates.crt or where Envoy's system has its roots")
	}
	if (y.Cert == "") != (y.Key == "") {
		c.report.Add(y.Where, "tls", "tls: cert and key go together; give both files or neither")
	}
	if y.ServerName != "" {
		if err := checkHost(y.ServerName); err != nil {
			c.report.Add(y.Where, "server_name", "tls.server_name: %q: %v", clip(y.ServerName), err)
		}
	}
	c.pinned(y, t, endpoints)
	return t
}

// pinned makes sure that somebody in particular is expected: by san, else
// server_name, else the one name of the addresses.
func (c *checker) pinned(y *upstreamTLSYAML, t *UpstreamTLS, endpoints []Endpoint) {
	for i, s := range y.SANs {
		if !isSAN(s) {
			c.report.Add(y.Where, element("san", i), "tls.san: %q is no DNS name, IP address or URI such as spiffe://cluster/app", clip(s))
		}
	}
	if len(y.SANs) > 0 {
		return
	}
	names := map[string]bool{}
	for _, e := range endpoints {
		names[e.Host] = true
	}
	switch {
	case y.ServerName != "":
		t.SANs = []string{y.ServerName}
	case len(names) == 1 && !names[""]:
		t.SANs = []string{endpoints[0].Host}
		if _, err := netip.ParseAddr(endpoints[0].Host); err != nil {
			t.ServerName = endpoints[0].Host
		}
	default:
		c.report.Add(y.Where, "tls", "tls: nobody says whose certificate is expected, and the CA vouches for many; give san or server_name")
	}
}

func isSAN(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if checkHost(s) == nil {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && u.Host != "" && len(s) <= 255
}

// knownUpstream reports a name that no upstream has.
func (c *checker) knownUpstream(w strictyaml.Where, key, n string) {
	if n == GateUpstream {
		return
	}
	if _, ok := c.y.Upstreams[n]; ok {
		return
	}
	known := []string{GateUpstream}
	for n := range c.y.Upstreams {
		known = append(known, n)
	}
	slices.Sort(known)
	if near, ok := strictyaml.Nearest(n, known); ok {
		c.report.Add(w, key, "upstream: there is none called %q; did you mean %q?", clip(n), near)
		return
	}
	if len(known) > 20 {
		known = append(known[:20], "…")
	}
	c.report.Add(w, key, "upstream: there is none called %q; there are %s", clip(n), strings.Join(known, ", "))
}
