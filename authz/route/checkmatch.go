package route

import (
	"cmp"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/neosc/gate/authz/route/strictyaml"
)

const (
	maxPriority = 1000
	// maxRegex bounds an expression in bytes, and maxRegexes how many one host
	// can have: Envoy tries them one after the other on each request.
	maxRegex   = 256
	maxRegexes = 100
)

// entries gives one copy of e for each path, expression and prefix.
func (c *checker) entries(y *routeYAML, e Entry) []Entry {
	var list []Entry
	add := func(m Match) {
		e.Match = m
		list = append(list, e)
	}
	for i, p := range y.Path {
		if c.path(y.Where, "path", element("path", i), p) {
			add(Match{Path: p})
		}
	}
	for i, x := range y.Regex {
		if c.regex(y.Where, element("regex", i), x) {
			add(Match{Regex: x})
		}
	}
	for i, p := range y.Prefix {
		if !c.path(y.Where, "prefix", element("prefix", i), p) {
			continue
		}
		if p != "/" && strings.HasSuffix(p, "/") {
			c.report.Add(y.Where, element("prefix", i), "prefix: %q ends with a slash; write %q, which also matches what lies below it", clip(p), strings.TrimRight(p, "/"))
			continue
		}
		add(Match{Prefix: p})
	}
	if len(y.Path)+len(y.Prefix)+len(y.Regex) == 0 {
		c.report.Add(y.Where, "name", "the route %q has neither path nor prefix nor regex; give it one, such as prefix: /", clip(y.Name))
	}
	return list
}

// path checks a path of key, which stands at element at of w.
func (c *checker) path(w strictyaml.Where, key, at, p string) bool {
	segments := strings.Split(p, "/")
	switch {
	case len(p) > 256 || !pathForm.MatchString(p):
		c.report.Add(w, at, "%s: %q is no path; begin with / and use letters, digits and .-_~!$&'()*+,=:@", key, clip(p))
	case strings.Contains(p, "//") || slices.Contains(segments, ".") || slices.Contains(segments, ".."):
		c.report.Add(w, at, "%s: %q is not as Envoy leaves paths; write it without //, /./ and /../", key, clip(p))
	default:
		return true
	}
	return false
}

// newPath checks the path or prefix that takes the place of what a route
// matched.
func (c *checker) newPath(y *routeYAML, w strictyaml.Where, key, path, prefix string) {
	switch {
	case path != "" && prefix != "":
		c.report.Add(w, "path", "%s: path takes the place of the whole path and prefix of a part of it; take one out", key)
	case path != "":
		c.path(w, key+".path", "path", path)
	case prefix != "":
		if c.path(w, key+".prefix", "prefix", prefix) && prefix != "/" && strings.HasSuffix(prefix, "/") {
			c.report.Add(w, "prefix", "%s.prefix: %q ends with a slash; leave it out, what follows is joined with one", key, clip(prefix))
		}
		if len(y.Regex) > 0 {
			c.report.Add(w, "prefix", "%s.prefix: a regex matches the whole path and leaves nothing to keep; give %s.path", key, key)
		}
	}
}

// regex checks that Go and Envoy read an expression alike, and that it matches
// whole paths.
func (c *checker) regex(w strictyaml.Where, at, x string) bool {
	complain := func(format string, args ...any) bool {
		c.report.Add(w, at, "regex: "+format, args...)
		return false
	}
	if len(x) > maxRegex || strings.IndexFunc(x, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return complain("%q is too long or not plain ASCII; use at most %d printable characters", clip(x), maxRegex)
	}
	re, err := syntax.Parse(x, syntax.Perl)
	if err != nil {
		return complain("%q is no RE2 expression: %v", clip(x), err)
	}
	if anchored(re) {
		return complain("%q holds ^, $, \\b or the like; leave them out, an expression always matches the whole path", clip(x))
	}
	if !strings.HasPrefix(x, "/") {
		return complain("%q does not begin with a slash, as every path does; write /%s", clip(x), clip(x))
	}
	if n := pathCost(re); n > RE2Budget {
		return complain("%q is too large for Envoy (%d of %d instructions); split it or shorten its counts", clip(x), n, RE2Budget)
	}
	if _, err := regexp.Compile(whole(x)); err != nil {
		return complain("%q is no RE2 expression: %v", clip(x), err)
	}
	return true
}

// whole lets Go match as Envoy does: the whole path.
func whole(x string) string { return `\A(?:` + x + `)\z` }

// anchored reports whether an expression looks at positions, which the matchers
// treat differently, and which a match of the whole path does not need.
func anchored(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	}
	return slices.ContainsFunc(re.Sub, anchored)
}

// kind orders matches: a path says most, a prefix least.
func (m Match) kind() int {
	switch {
	case m.Path != "":
		return 0
	case m.Regex != "":
		return 1
	}
	return 2
}

// order sorts a host's entries as they match: by priority, then paths, then
// expressions in the order of the file, then prefixes, the longest first. So the
// order of the file decides between expressions alone. It refuses two routes
// with the same match and those that nothing can ever reach.
func (c *checker) order(y *hostYAML, entries []Entry) {
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(
			cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Match.kind(), b.Match.kind()),
			cmp.Compare(len(b.Match.Path), len(a.Match.Path)), cmp.Compare(len(b.Match.Prefix), len(a.Match.Prefix)),
		)
	})
	seen := map[Match]*Entry{}
	var regexes []*Entry
	var open *Entry // a public prefix
	for i := range entries {
		e := &entries[i]
		if other := seen[e.Match]; other != nil {
			c.report.Add(y.Where, "routes", "the routes %q and %q of this host have the same match %q; only one can have it", other.Route.Name, e.Route.Name, e.Match)
			continue
		}
		if other := shadow(seen, regexes, e.Match); other != nil {
			c.report.Add(y.Where, "routes", "no request reaches the route %q by its %s, since %q with %s comes first; change a priority", e.Route.Name, e.Match, other.Route.Name, other.Match)
		}
		if open != nil && !e.Public && e.Match.Regex != "" {
			c.report.Add(y.Where, "routes", "the public route %q comes before the %s of %q and could open what that names; give it a lower priority", open.Route.Name, e.Match, e.Route.Name)
		}
		if e.Public && e.Match.Prefix != "" {
			open = e
		}
		if e.Match.Regex != "" {
			regexes = append(regexes, e)
		}
		seen[e.Match] = e
	}
	if len(regexes) > maxRegexes {
		c.report.Add(y.Where, "routes", "routes: the host has %d expressions, which Envoy tries one by one; use at most %d, or prefixes", len(regexes), maxRegexes)
	}
}

// shadow finds an earlier entry that takes everything that m could match.
func shadow(seen map[Match]*Entry, regexes []*Entry, m Match) *Entry {
	if m.Regex != "" {
		return seen[Match{Prefix: "/"}]
	}
	for p := range ancestors(m.Path + m.Prefix) {
		if e := seen[Match{Prefix: p}]; e != nil {
			return e
		}
	}
	if m.Path == "" {
		return nil
	}
	for _, e := range regexes {
		if re, err := regexp.Compile(whole(e.Match.Regex)); err == nil && re.MatchString(m.Path) {
			return e
		}
	}
	return nil
}
