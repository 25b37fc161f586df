package route

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/route/strictyaml"
)

// upgrades that a route may list.
var upgrades = []string{"websocket", "spdy/3.1"}

// Upgrades lists the protocols to which routes can let requests switch.
func Upgrades() []string { return slices.Clone(upgrades) }

// defaultMethods and the rest are what a host's cors has when it says nothing.
var (
	defaultMethods = []string{"GET", "HEAD", "POST"}
	defaultHeaders = []string{"accept", "content-type"}
)

const defaultMaxAge = 10 * time.Minute

var (
	method = regexp.MustCompile(`^[A-Z]+$`)
	// pathForm is what Envoy's normalisation leaves as it is. Percent signs,
	// semicolons and backslashes are refused: a rule on a spelling that never
	// arrives would not hold.
	pathForm = regexp.MustCompile(`^/[A-Za-z0-9._~!$&'()*+,=:@/-]*$`)
)

// element is the key of a list's i-th element in strictyaml.Where.
func element(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }

func (c *checker) host(y *hostYAML) {
	host, err := parseHostOrigin(y.Origin)
	if err != nil {
		c.report.Add(y.Where, "origin", "origin: %v", err)
	} else if i, dup := c.file.byHost[host]; dup {
		c.report.Add(y.Where, "origin", "origin: the host %q is already given by %q; put its routes together under one", host, c.file.hosts[i].Origin)
	}
	if len(y.Routes) == 0 {
		c.report.Add(y.Where, "routes", "routes: the host has none; add one or take the host out")
	}
	h := Host{Origin: y.Origin, Name: host, CORS: c.cors(y.CORS)}
	c.hostTLS(y, &h)
	for i := range y.Routes {
		entries := c.route(&y.Routes[i], y.Origin)
		for j := range entries {
			entries[j].Route.ClientCertificate = h.ClientCertificates.Use()
			entries[j].Route.RevocationList = h.ClientCertificates.list()
		}
		h.Entries = append(h.Entries, entries...)
	}
	c.order(y, h.Entries)
	c.file.byHost[host] = len(c.file.hosts)
	c.file.hosts = append(c.file.hosts, h)
	c.file.origins = append(c.file.origins, y.Origin)
	c.file.isOrigin[y.Origin] = !strings.HasPrefix(host, "*")
	c.file.matchers = append(c.file.matchers, newMatcher(h.Entries))
}

func (c *checker) route(y *routeYAML, origin string) []Entry {
	r := &authz.Route{
		Name: y.Name, Origin: origin, AllowedOrigins: c.originList(y.Where, "allowed_origins", y.AllowedOrigins),
		Policy: y.Policy, PassIdentityHeaders: y.PassIdentityHeaders, PassAuthorization: y.PassAuthorization,
		Gate: y.Upstream == GateUpstream,
	}
	switch {
	case !name.MatchString(y.Name):
		c.report.Add(y.Where, "name", "name: %q is no route name; use a-z, 0-9 and dashes, at most 63", clip(y.Name))
	case c.names[y.Name]:
		c.report.Add(y.Where, "name", "name: another route is called %q too; names are unique in the file", y.Name)
	}
	c.names[y.Name] = true
	if y.Public {
		c.public(y)
	} else {
		c.file.routes[y.Name] = r
	}
	if y.Priority < -maxPriority || y.Priority > maxPriority {
		c.report.Add(y.Where, "priority", "priority: %d is out of range; use -%d to %d", y.Priority, maxPriority, maxPriority)
	}
	e := Entry{Route: r, Public: y.Public, Priority: y.Priority, Timeout: DefaultTimeout, IdleTimeout: -1}
	c.action(y, origin, &e)
	return c.entries(y, e)
}

// public refuses what has no meaning, or a dangerous one, where nobody is asked.
func (c *checker) public(y *routeYAML) {
	for _, key := range []string{"pass_identity_headers", "allowed_origins", "policy"} {
		if y.Has(key) {
			c.report.Add(y.Where, key, "%s: the route is public, so that nobody is asked who it is; take out this or public", key)
		}
	}
	if y.Has("regex") {
		c.report.Add(y.Where, "regex", "regex: a public route names its paths and prefixes one by one, since an expression opens more than one sees")
	}
	if y.Upstream == GateUpstream {
		c.report.Add(y.Where, "public", "public: the gate's own pages are opened by policy; take it out")
	}
}

func (c *checker) upgrades(y *routeYAML) []string {
	var list []string
	for i, u := range y.Upgrades {
		l := strings.ToLower(u)
		if !slices.Contains(upgrades, l) {
			c.report.Add(y.Where, element("upgrades", i), "upgrades: %q is not one of %s", clip(u), strings.Join(upgrades, ", "))
			continue
		}
		if !slices.Contains(list, l) {
			list = append(list, l)
		}
	}
	return list
}

func (c *checker) originList(w strictyaml.Where, key string, list []string) []string {
	for i, o := range list {
		if _, err := parseOrigin(o); err != nil {
			c.report.Add(w, element(key, i), "%s: %v", key, err)
		}
	}
	return list
}

func (c *checker) cors(y *corsYAML) *CORS {
	if y == nil {
		return nil
	}
	out := &CORS{
		AllowOrigins: c.originList(y.Where, "allow_origins", y.AllowOrigins), Credentials: y.Credentials,
		Methods: defaultMethods, Headers: defaultHeaders, ExposeHeaders: y.ExposeHeaders, MaxAge: defaultMaxAge,
	}
	if len(y.AllowOrigins) == 0 {
		c.report.Add(y.Where, "allow_origins", "allow_origins: the list is empty; name an origin or take cors out")
	}
	if y.Has("methods") {
		out.Methods = y.Methods
	}
	if y.Has("headers") {
		out.Headers = y.Headers
	}
	if y.Has("max_age") {
		out.MaxAge = y.MaxAge
	}
	for i, m := range out.Methods {
		if !method.MatchString(m) || len(m) > 20 {
			c.report.Add(y.Where, element("methods", i), "methods: %q is no method; methods are in capitals", clip(m))
		}
	}
	for key, list := range map[string][]string{"headers": out.Headers, "expose_headers": out.ExposeHeaders} {
		for i, h := range list {
			if !headerName.MatchString(h) || len(h) > 64 {
				c.report.Add(y.Where, element(key, i), "%s: %q is no header name; write it in lower case, with dashes", key, clip(h))
			}
		}
	}
	if out.MaxAge > 24*time.Hour {
		c.report.Add(y.Where, "max_age", "max_age: no browser keeps a preflight longer than 24h; use at most that")
	}
	return out
}
