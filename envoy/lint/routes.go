package lint

import (
	"slices"
	"strings"
)

// routeConfig judges a table of routes behind the filters of c; nil c means that
// they are not known, and a check is taken to be there.
func (l *linter) routeConfig(rc node, c *chain) {
	if c == nil {
		c = &chain{unknown: true, authz: []string{extAuthzName}, held: []string{extProcName}}
	}
	forwards := false
	l.late(rc, c)
	for _, v := range rc.at("virtual_hosts").list() {
		for _, d := range v.at("domains").list() {
			if d.text() == "*" {
				l.add(Warning, "any_host", d, "hosts that nobody named are served as well: by address, or with a name that an attacker chose", "name the hosts")
			}
		}
		l.late(v, c)
		for _, r := range v.at("routes").list() {
			l.report.Routes++
			forwards = l.route(r, place{rc: rc, vhost: v, chain: c}) || forwards
		}
		if v.at("matcher").there() {
			forwards = true
			l.notJudged(v.at("matcher"), "a tree of matchers")
		}
	}
	if forwards && !c.checked() {
		l.add(Error, "no_check", rc, "nobody is asked about these requests: there is no ext_authz filter before the router, or it is disabled", "put envoy.filters.http.ext_authz before the router")
	}
}

// Names of filters where none is known.
const (
	extAuthzName = "envoy.filters.http.ext_authz"
	extProcName  = "envoy.filters.http.ext_proc"
)

// place is where a route stands: what it does not say is said there.
type place struct {
	rc, vhost node
	chain     *chain
}

// setting is the most specific per-filter config of one of names.
func (p place) setting(r node, names []string) node {
	for _, at := range []node{r, p.vhost, p.rc} {
		for _, n := range names {
			if x := at.at("typed_per_filter_config", n); x.there() {
				return x
			}
		}
	}
	return node{}
}

// off reports whether a per-filter config turns its filter off.
func off(x node) bool {
	if x.typed() == "FilterConfig" {
		return x.at("disabled").yes() || off(x.at("config")) && x.at("config").there()
	}
	return x.body().at("disabled").yes()
}

// route judges one route and reports whether it leads anywhere.
func (l *linter) route(r node, p place) (forwards bool) {
	a := r.at("route")
	if !a.there() {
		if !r.at("direct_response").there() && !r.at("redirect").there() {
			l.notJudged(r, "a route with another action")
		}
		return false
	}
	unchecked := false
	if x := p.setting(r, p.chain.authz); x.there() && off(x) {
		unchecked = true
		if l.public(r) {
			l.add(Note, "public_route", x, "nobody is asked about the requests of this route; the session cookie is taken off them", "")
		} else {
			l.add(Error, "unchecked_route", x, "nobody is asked about the requests of this route, which lead to an upstream, cookies and all", "take it out; a path that is open on purpose is `public: true` in the routes file")
		}
	}
	if !unchecked {
		l.late(r, p.chain)
	}
	for _, w := range a.at("weighted_clusters", "clusters").list() {
		if x := (place{chain: p.chain}).setting(w, p.chain.authz); x.there() && off(x) {
			l.add(Error, "unchecked_route", x, "nobody is asked about the requests that go to this cluster", "take it out")
		}
		l.late(w, p.chain)
	}
	l.target(a)
	l.match(r.at("match"))
	l.stream(r, a, p)
	return true
}

// public reports whether a route that is not checked at least lets no session
// cookie through: somebody meant it.
func (l *linter) public(r node) bool {
	return slices.ContainsFunc(r.at("request_headers_to_remove").list(), func(n node) bool { return strings.EqualFold(n.text(), "cookie") })
}

// target judges who decides where the request goes.
func (l *linter) target(a node) {
	if n := a.at("cluster_header"); n.there() {
		l.add(Error, "cluster_header", n, "the header "+n.text()+" chooses the upstream, and a client may send it", "name the cluster")
	}
	for _, k := range []string{"host_rewrite_header", "host_rewrite_path_regex"} {
		if n := a.at(k); n.there() {
			l.add(Warning, "host_rewrite", n, "a client chooses the host that the upstream sees", "host_rewrite_literal")
		}
	}
}

func (l *linter) match(m node) {
	if n := m.at("connect_matcher"); n.there() {
		l.add(Error, "connect", n, "CONNECT opens a tunnel in which nothing is checked any more", "take the route out; WebSockets over HTTP/2 need none")
	}
	if n := m.at("case_sensitive"); n.there() && !n.yes() {
		l.add(Warning, "case", n, "/Admin and /admin are one route and two paths to policies and upstreams", "take it out")
	}
}

// stream looks whether what lives longer than a request ends with its session.
func (l *linter) stream(r, a node, p place) {
	upgrades := false
	for _, u := range a.at("upgrade_configs").list() {
		upgrades = upgrades || !u.at("enabled").there() || u.at("enabled").yes()
	}
	timeout, set := a.at("timeout").duration()
	endless := set && timeout == 0
	if !upgrades && !endless {
		return
	}
	if x := p.setting(r, p.chain.held); x.there() && !off(x) || !x.there() && (p.chain.holds || p.chain.unknown) {
		return
	}
	problem := "nothing ends what was upgraded here when its session ends or is revoked; the route's timeout does not"
	at := a.at("upgrade_configs")
	if !upgrades {
		problem, at = "answers here have no timeout, and nothing ends them when their session ends or is revoked", a.at("timeout")
	}
	l.add(Warning, "unheld_stream", at, problem, "hold them on a leash, as `gate envoy bootstrap` does")
}

// late reports identity headers that are removed after the check: the check saw
// the client's value, and what the check set goes with it.
func (l *linter) late(at node, c *chain) {
	for _, n := range at.at("request_headers_to_remove").list() {
		h := strings.ToLower(n.text())
		if slices.Contains(identity, h) || c.settable(h) && h != "cookie" && h != "authorization" {
			l.add(Error, "removed_too_late", n, h+" is removed after the check, which sees a client's value of it, and with it goes the gate's own", "remove it by early_header_mutation_extensions")
		}
	}
}
