package ppl

import (
	"regexp"
	"slices"
	"strings"
)

// Pomerium takes the first route of a host, in the order of the file, whose match
// fits, and its prefixes are those of a text: /api fits /api-internal too. Here
// paths go before expressions and those before prefixes, the longest first, which
// fit whole segments only. What follows keeps a request from coming to a route
// that it never came to there, and whose rules could open to it.

// covers reports whether every request that o fits comes to m, where m is first.
func (m matchModel) covers(o matchModel) bool {
	switch {
	case m == o:
		return true
	case m.path != "":
		return false
	case m.regex != "" && o.path == "":
		return false
	case m.regex != "":
		re, err := regexp.Compile(`\A(?:` + m.regex + `)\z`)
		return err == nil && re.MatchString(o.path)
	case o.regex != "":
		return m.prefix == "/"
	}
	return strings.HasPrefix(o.path+o.prefix, m.prefix)
}

// trimmed is a prefix as routes files have them, without a slash at its end.
func (m matchModel) trimmed() string {
	if m.prefix == "/" {
		return m.prefix
	}
	return strings.TrimRight(m.prefix, "/")
}

// order has each host's routes take what they took in the order of the file, and
// refuses what cannot be told from another's.
func (im *importer) order() {
	hosts := map[string][]*routeModel{}
	for _, r := range im.routes {
		hosts[r.origin] = append(hosts[r.origin], r)
		if p := r.match.trimmed(); p != r.match.prefix {
			im.note(r.line, Denies, r.name, "prefix", "here a prefix fits its own path too, so that %s, without the slash, is refused", p)
			r.close(r.line, "the path without the slash", "ppl.path == "+quote(p))
		}
	}
	for _, r := range slices.Concat(im.routes, im.left) {
		im.keepOff(r, hosts[r.origin])
	}
	for _, routes := range hosts {
		if mixed(routes) {
			for i, r := range routes {
				if r.priority = len(routes) - i; r.match.path != "" {
					r.priority = len(routes) // nothing before it takes its path: see add
				}
			}
		}
	}
}

// keepOff closes the host's later routes to paths that r takes in Pomerium and not
// here.
func (im *importer) keepOff(r *routeModel, host []*routeModel) {
	p := r.match.prefix
	if p == "" || strings.HasSuffix(p, "/") {
		return
	}
	for _, later := range host {
		if later.at <= r.at || later.match.regex == "" && (later.match.prefix == "" || !strings.HasPrefix(p, later.match.prefix)) {
			continue
		}
		im.note(r.line, Denies, later.name, "prefix", "%s fits only %s and what lies below it here, and in Pomerium every path that begins so: those others are refused", p, p)
		later.close(r.line, "paths that begin with "+p, "startswith(ppl.path, "+quote(p)+")")
	}
}

// mixed reports whether some prefix stands before an expression, and would here
// go after it.
func mixed(routes []*routeModel) bool {
	prefix := false
	for _, r := range routes {
		if r.match.regex != "" && prefix {
			return true
		}
		prefix = prefix || r.match.prefix != ""
	}
	return false
}

// close adds a denial that the file has not.
func (r *routeModel) close(line int, text, body string) {
	c := &criterion{line: line, text: text, body: body}
	r.call(c, "path")
	r.deny = append(r.deny, rule{line: line, op: "and", criteria: []*criterion{c}, ours: true})
}
