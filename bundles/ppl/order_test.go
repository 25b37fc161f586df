package ppl_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/neosc/gate/bundles/ppl"
)

// found is one way in which a route's paths are given.
type found struct{ key, value string }

// fits is Pomerium's reading, whose prefixes are those of a text.
func (f found) fits(path string) bool {
	switch f.key {
	case "path":
		return path == f.value
	case "prefix":
		return strings.HasPrefix(path, f.value)
	}
	return regexp.MustCompile("^(?:" + f.value + ")$").MatchString(path)
}

// No request comes to a route that Pomerium, which takes the first of the file,
// would not have given it; those that cannot be told apart here are refused.
func TestNoRequestComesToARouteThatPomeriumGaveToAnother(t *testing.T) {
	t.Parallel()
	all := []found{
		{"prefix", "/"}, {"prefix", "/a"}, {"prefix", "/a/"}, {"prefix", "/ab"}, {"prefix", "/a/b"}, {"prefix", "/b/"},
		{"path", "/a"}, {"path", "/a/b"}, {"path", "/b"}, {"path", "/a/"},
		{"regex", "/a.*"}, {"regex", "^/(a|b)/[^/]+$"}, {"regex", `/[^/]*\$`}, {"regex", "/.+"},
	}
	paths := []string{"/", "/a", "/a/", "/ab", "/abc", "/ab/c", "/a/b", "/a/b/c", "/a/bc", "/b", "/b/", "/b/c", "/bc", "/c", "/c$", "/a$"}
	lists := rapid.SliceOfN(rapid.SampledFrom(all), 1, 5)
	const hosts = 30 // of one file: compiling takes longest
	var b strings.Builder
	of := make([][]found, hosts)
	for i := range hosts {
		of[i] = lists.Example(i)
		for j, m := range of[i] {
			fmt.Fprintf(&b, "- {from: 'https://h%d.example.com', to: 'http://u%d', %s: '%s', allow_public_unauthenticated_access: true}\n", i, j, m.key, m.value)
		}
	}
	r := imported(t, b.String(), options(t))
	_, _, file := set(t, r)
	p := program(t, r)
	same, lost := 0, 0
	for i, list := range of {
		for _, path := range paths {
			want := ""
			for j, m := range list {
				if m.fits(path) {
					want = fmt.Sprintf("u%d", j)
					break
				}
			}
			_, e := file.Match(fmt.Sprintf("h%d.example.com", i), path)
			if e == nil && want != "" {
				lost++
			}
			if e == nil {
				continue
			}
			q := ask(e.Route.Name, "GET", nil, noon)
			q.Path = path
			switch d := decide(t, p, q); {
			case !d.Allowed && want != "":
				lost++
			case !d.Allowed:
			case e.Upstream != want:
				t.Errorf("%s of %v goes to %s, in Pomerium to %q\n%s", path, list, e.Upstream, want, r.Files["REPORT.txt"])
			default:
				same++
			}
		}
	}
	if same < hosts*6 || lost > same/3 {
		t.Errorf("%d go where they went, %d are refused that did", same, lost)
	}
}

func TestWhatTheOrderOfTheFileMeansIsSaid(t *testing.T) {
	t.Parallel()
	route := func(rest string) string {
		return "- {from: https://a.example.com, to: http://u, allow_any_authenticated_user: true" + rest + "}\n"
	}
	for name, c := range map[string]struct{ text, kind, says string }{
		"NeverReached":   {route("") + route(", prefix: /x"), "look", "the route in line 1 comes first"},
		"BeginsSo":       {route(", prefix: /x") + route(""), "denies", "/x fits only /x and what lies below it here"},
		"Slash":          {route(", prefix: /x/"), "denies", "/x, without the slash, is refused"},
		"SlashAndNone":   {route(", prefix: /x/") + route(", prefix: /x"), "denies", "with a slash at the end and without is the same here"},
		"TheSameAndMore": {route("") + route(", policy: {deny: {or: [reject: true, authenticated_user: true]}}"), "stricter", "has the same host and path"},
	} {
		r := imported(t, c.text, options(t))
		program(t, r)
		var all []string
		hit := false
		for _, n := range r.Notes {
			all = append(all, n.String())
			hit = hit || n.Kind == ppl.Kind(c.kind) && strings.Contains(n.What, c.says)
		}
		if !hit {
			t.Errorf("%s: no note %s says %q: %q", name, c.kind, c.says, all)
		}
	}
}

func TestAnExpressionBehindAPrefixKeepsItsPlace(t *testing.T) {
	t.Parallel()
	r := imported(t, `- {from: https://a.example.com, to: http://x, prefix: /x, allow_any_authenticated_user: true}
- {from: https://a.example.com, to: http://y, regex: '/[xy].*', allow_any_authenticated_user: true}
`, options(t))
	_, _, f := set(t, r)
	for path, want := range map[string]string{"/x": "x", "/x/1": "x", "/y": "y", "/y1": "y"} {
		if _, e := f.Match("a.example.com", path); e == nil || e.Upstream != want {
			t.Errorf("%s goes to %+v, want %s", path, e, want)
		}
	}
}

// A route that says not to pass identity does not, whatever the file says for all.
func TestARouteMayKeepIdentityToItself(t *testing.T) {
	t.Parallel()
	r := imported(t, `pass_identity_headers: true
routes:
- {from: https://own.example.com, to: http://a, pass_identity_headers: false, allow_any_authenticated_user: true}
- {from: https://all.example.com, to: http://a, allow_any_authenticated_user: true}
- {from: https://old.example.com, redirect: {host_redirect: all.example.com}, prefix_rewrite: /x, allow_any_authenticated_user: true}
`, options(t))
	_, _, f := set(t, r)
	if f.Route("own").PassIdentityHeaders || !f.Route("all").PassIdentityHeaders {
		t.Errorf("own passes %t, all %t", f.Route("own").PassIdentityHeaders, f.Route("all").PassIdentityHeaders)
	}
}
