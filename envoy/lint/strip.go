package lint

import (
	"regexp"
	"slices"
	"strings"
)

// identity are headers that upstreams take for who somebody is.
var identity = []string{
	"x-pomerium-jwt-assertion", "x-pomerium-email", "x-pomerium-user", "x-pomerium-groups", "x-forwarded-user", "x-forwarded-email",
	"x-auth-request-user", "x-auth-request-email", "x-remote-user", "remote-user",
}

// steering are headers by which frameworks take another path or method than the
// one that was judged.
var steering = []string{"x-original-url", "x-rewrite-url", "x-http-method-override"}

// stripping looks whether clients' own values are taken off before anything looks
// at the request.
func (l *linter) stripping(ext node, c *chain) {
	var removers []func(string) bool
	for _, e := range ext.list() {
		config := e.at("typed_config")
		if config.typed() != "HeaderMutation" {
			l.notJudged(e, config.typed())
			continue
		}
		for _, m := range config.body().at("mutations").list() {
			if name := m.at("remove").text(); name != "" {
				removers = append(removers, func(h string) bool { return strings.EqualFold(h, name) })
			}
			if match := m.at("remove_on_match", "key_matcher"); match.there() {
				removers = append(removers, l.matcher(match))
			}
		}
	}
	gone := func(h string) bool {
		return slices.ContainsFunc(removers, func(f func(string) bool) bool { return f(h) })
	}
	for _, set := range []struct {
		s     Severity
		names []string
		what  string
	}{
		{Error, identity, "a client may say who it is: its own values of these headers reach the check and upstreams"},
		{Warning, steering, "a client may name another path or method than the one that is judged, to frameworks that obey these headers"},
	} {
		var kept []string
		for _, h := range set.names {
			if !gone(h) && (set.s == Warning || c.settable(h) || strings.HasPrefix(h, "x-pomerium-") || len(removers) == 0) {
				kept = append(kept, h)
			}
		}
		if len(kept) > 0 {
			l.add(set.s, "not_stripped", ext, set.what+": "+strings.Join(kept, ", "), "remove them by early_header_mutation_extensions, as `gate envoy bootstrap` does: at the route it is too late")
		}
	}
}

// maxRegex bounds an expression that is tried; Envoy takes a hundred
// instructions by default.
const maxRegex = 4 << 10

// matcher is a StringMatcher as a function.
func (l *linter) matcher(m node) func(string) bool {
	fold := m.at("ignore_case").yes()
	norm := func(s string) string {
		if fold {
			return strings.ToLower(s)
		}
		return s
	}
	for key, f := range map[string]func(s, want string) bool{
		"exact": func(s, w string) bool { return s == w }, "prefix": strings.HasPrefix, "suffix": strings.HasSuffix, "contains": strings.Contains,
	} {
		if x := m.at(key); x.there() {
			return func(s string) bool { return f(norm(s), norm(x.text())) }
		}
	}
	re := l.regex(m.at("safe_regex"))
	return func(s string) bool { return re != nil && re.MatchString(s) }
}

// regex compiles a RegexMatcher, which matches the whole text; nil, and a note,
// if it cannot be.
func (l *linter) regex(n node) *regexp.Regexp {
	text := n.at("regex").text()
	if text == "" {
		return nil
	}
	if len(text) <= maxRegex {
		if re, err := regexp.Compile(`^(?:` + text + `)$`); err == nil {
			return re
		}
	}
	l.notJudged(n, "an expression that is too long or no RE2")
	return nil
}
