package machine

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

var patterns = []string{
	`^[!-~]{1,256}$`, `^(/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*)+$`, `^[0-9]{1,10}([.][0-9]{1,9})?$`, `a`, ``, `^`, `$`, `^$`, `a$`, `^a`, `(a|b)*c`,
	`a.c`, `(?s)a.c`, `(?i)AbC`, `^a|b$`, `(^a|b)c`, `a{2,3}b`, `[^a]b`, `(a*)*`, `x*$`, `(a$|b)c`, `^^a$$`, `\d+-\w`, `(|a)b`, `[^/]+$`,
}

func agreesWithRegexp(tb failer, pattern, text string) {
	tb.Helper()
	re, err := regexp.Compile(pattern)
	if err != nil {
		return
	}
	if a := newAutomaton(pattern); a != nil {
		if is, ok := a.match(text); ok && is != re.MatchString(text) {
			tb.Fatalf("%q matches %q: %v", pattern, text, is)
		}
	}
}

func FuzzAutomaton(f *testing.F) {
	for _, p := range patterns {
		f.Add(p, "abc")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) < 64 {
			agreesWithRegexp(t, pattern, text)
		}
	})
}

func TestAutomataMatchAsRegexpDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pattern := rapid.SampledFrom(patterns).Draw(rt, "pattern")
		if rapid.Bool().Draw(rt, "own") {
			pattern = rapid.StringMatching(`\^?([ab]|[(]a[|]b?[)]|[.]|\[[a-c]\])([*+?]|)(a|b|)[*]?\$?`).Draw(rt, "made")
		}
		agreesWithRegexp(rt, pattern, rapid.StringMatching(`[abc/.0-9é\n-]{0,8}`).Draw(rt, "text"))
	})
}

func TestShippedPatternsAreAutomata(t *testing.T) {
	for _, p := range patterns[:3] {
		if newAutomaton(p) == nil {
			t.Errorf("%s is none", p)
		}
	}
	if newAutomaton(`\bword\b`) != nil || newAutomaton(`(a|b)*a(a|b){16}`) != nil {
		t.Error("words and explosions are left to Go")
	}
}
