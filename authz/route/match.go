package route

import (
	"iter"
	"regexp"
	"strings"
)

// matcher finds a host's entry without looking at all of them: the index of
// each path and prefix, and the expressions, which have to be tried.
type matcher struct {
	paths, prefixes map[string]int
	regexes         []regexEntry
}

type regexEntry struct {
	re    *regexp.Regexp
	index int
}

// newMatcher indexes entries in the order in which they match. What does not
// compile was reported before and is left out.
func newMatcher(entries []Entry) *matcher {
	m := &matcher{paths: map[string]int{}, prefixes: map[string]int{}}
	first := func(into map[string]int, key string, i int) {
		if _, has := into[key]; !has {
			into[key] = i
		}
	}
	for i, e := range entries {
		switch {
		case e.Match.Path != "":
			first(m.paths, e.Match.Path, i)
		case e.Match.Regex != "":
			if re, err := regexp.Compile(whole(e.Match.Regex)); err == nil {
				m.regexes = append(m.regexes, regexEntry{re, i})
			}
		default:
			first(m.prefixes, e.Match.Prefix, i)
		}
	}
	return m
}

// find returns the index of the first entry that matches p, or -1.
func (m *matcher) find(p string) int {
	best := -1
	better := func(i int, ok bool) {
		if ok && (best < 0 || i < best) {
			best = i
		}
	}
	i, ok := m.paths[p]
	better(i, ok)
	for q := range ancestors(p) {
		i, ok := m.prefixes[q]
		better(i, ok)
	}
	for _, r := range m.regexes {
		if best >= 0 && best < r.index {
			break
		}
		better(r.index, r.re.MatchString(p))
	}
	return best
}

// ancestors yields the prefixes that match a path: itself, what is left when
// segments are cut off one by one, and "/".
func ancestors(p string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for q := p; q != "" && q != "/"; q = q[:strings.LastIndexByte(q, '/')] {
			if !yield(q) {
				return
			}
		}
		yield("/")
	}
}

// Match finds the entry that Envoy takes for a host name and a path without its
// query, both as Envoy leaves them (see Normalise): of the host, the first entry
// that matches. It is for showing people what Envoy will do, never for deciding:
// decisions go by the name that Envoy sends. h is nil for an unknown host, e for
// a path that no route of the host has.
func (f *File) Match(host, p string) (h *Host, e *Entry) {
	i, ok := f.findHost(strings.ToLower(host))
	if !ok {
		return nil, nil
	}
	h = &f.hosts[i]
	if j := f.matchers[i].find(p); j >= 0 {
		return h, &h.Entries[j]
	}
	return h, nil
}

// findHost takes the exact host, else the wildcard that leaves least to it.
func (f *File) findHost(host string) (int, bool) {
	if i, ok := f.byHost[host]; ok && !strings.HasPrefix(host, "*") {
		return i, true
	}
	if !dnsName.MatchString(host) {
		return 0, false // the edge answers 400 to what is no name below a wildcard
	}
	for _, rest, more := strings.Cut(host, "."); more; _, rest, more = strings.Cut(rest, ".") {
		if i, ok := f.byHost["*."+rest]; ok {
			return i, true
		}
	}
	return 0, false
}

// IsOrigin reports whether s is exactly an origin of the file: return targets
// and Origin headers are compared as browsers write them, never loosely. Below
// a wildcard the host must be a DNS name in lower case.
func (f *File) IsOrigin(s string) bool {
	if f.isOrigin[s] {
		return true
	}
	host, err := parseOrigin(s)
	if err != nil {
		return false
	}
	i, ok := f.findHost(host)
	if !ok {
		return false
	}
	scheme, rest, wild := strings.Cut(f.hosts[i].Origin, "://*.")
	return wild && strings.HasPrefix(s, scheme+"://") && strings.HasSuffix(s, "."+rest)
}
