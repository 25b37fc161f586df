package route

import (
	"cmp"
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
	host, err := parseOrigin(y.Origin)
	if err != nil {
		c.report.Add(y.Where, "origin", "origin: %v", err)
	} else if i := slices.IndexFunc(c.file.hosts, func(h Host) bool { return h.Name == host }); i >= 0 {
		c.report.Add(y.Where, "origin", "origin: the host %q is already given by %q; put its routes together under one", host, c.file.hosts[i].Origin)
	}
	if len(y.Routes) == 0 {
		c.report.Add(y.Where, "routes", "routes: the host has none; add one or take the host out")
	}
	h := Host{Origin: y.Origin, Name: host, CORS: c.cors(y.CORS)}
	for i := range y.Routes {
		h.Entries = append(h.Entries, c.route(&y.Routes[i], y.Origin)...)
	}
	c.order(y, h.Entries)
	c.file.hosts = append(c.file.hosts, h)
	c.file.origins = append(c.file.origins, y.Origin)
}

// order puts the more particular match first, so that the order of the file
// never decides who may pass, and refuses two routes with the same match.
func (c *checker) order(y *hostYAML, entries []Entry) {
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(len(b.Match.Path), len(a.Match.Path)), cmp.Compare(len(b.Match.Prefix), len(a.Match.Prefix)))
	})
	seen := map[Match]string{}
	for _, e := range entries {
		if other, dup := seen[e.Match]; dup {
			c.report.Add(y.Where, "routes", "the routes %q and %q of this host have the same match %q; only one can have it", other, e.Route.Name, e.Match.Path+e.Match.Prefix)
		}
		seen[e.Match] = e.Route.Name
	}
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
	case c.file.routes[y.Name] != nil:
		c.report.Add(y.Where, "name", "name: another route is called %q too; names are unique in the file", y.Name)
	}
	c.file.routes[y.Name] = r
	c.leadsSomewhere(y)
	e := Entry{Route: r, Upstream: y.Upstream, Timeout: DefaultTimeout, IdleTimeout: -1, Upgrades: c.upgrades(y)}
	if y.Has("timeout") {
		e.Timeout = y.Timeout
		if y.Timeout == 0 {
			e.IdleTimeout = 0 // a stream without a timeout may also be silent
		}
	}
	if y.Has("idle_timeout") {
		e.IdleTimeout = y.IdleTimeout
	}
	return c.entries(y, e)
}

func (c *checker) leadsSomewhere(y *routeYAML) {
	if y.Upstream == GateUpstream {
		return
	}
	if _, ok := c.y.Upstreams[y.Upstream]; ok {
		return
	}
	known := []string{GateUpstream}
	for n := range c.y.Upstreams {
		known = append(known, n)
	}
	slices.Sort(known)
	if near, ok := strictyaml.Nearest(y.Upstream, known); ok {
		c.report.Add(y.Where, "upstream", "upstream: there is none called %q; did you mean %q?", clip(y.Upstream), near)
		return
	}
	c.report.Add(y.Where, "upstream", "upstream: there is none called %q; there are %s", clip(y.Upstream), strings.Join(known, ", "))
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

// entries gives one copy of e for each path and prefix.
func (c *checker) entries(y *routeYAML, e Entry) []Entry {
	var list []Entry
	for i, p := range y.Path {
		if c.path(y.Where, "path", i, p) {
			e.Match = Match{Path: p}
			list = append(list, e)
		}
	}
	for i, p := range y.Prefix {
		if !c.path(y.Where, "prefix", i, p) {
			continue
		}
		if p != "/" && strings.HasSuffix(p, "/") {
			c.report.Add(y.Where, element("prefix", i), "prefix: %q ends with a slash; write %q, which also matches what lies below it", clip(p), strings.TrimRight(p, "/"))
			continue
		}
		e.Match = Match{Prefix: p}
		list = append(list, e)
	}
	if len(y.Path)+len(y.Prefix) == 0 {
		c.report.Add(y.Where, "name", "the route %q has neither path nor prefix; give it one, such as prefix: /", clip(y.Name))
	}
	return list
}

func (c *checker) path(w strictyaml.Where, key string, i int, p string) bool {
	segments := strings.Split(p, "/")
	switch {
	case len(p) > 256 || !pathForm.MatchString(p):
		c.report.Add(w, element(key, i), "%s: %q is no path; begin with / and use letters, digits and .-_~!$&'()*+,=:@", key, clip(p))
	case strings.Contains(p, "//") || slices.Contains(segments, ".") || slices.Contains(segments, ".."):
		c.report.Add(w, element(key, i), "%s: %q is not as Envoy leaves paths; write it without //, /./ and /../", key, clip(p))
	default:
		return true
	}
	return false
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
