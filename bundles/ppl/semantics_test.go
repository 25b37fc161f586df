package ppl_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What follows is Pomerium's way to evaluate its policy language, written anew
// after its documentation: a result is a verdict and whether it came of nobody
// being signed in.

type result struct{ is, login bool }

type atom struct {
	yaml string
	of   func(p *person, method string) result
}

func personal(holds func(p *person) bool) func(*person, string) result {
	return func(p *person, _ string) result {
		if p == nil {
			return result{false, true}
		}
		return result{holds(p), false}
	}
}

var atoms = []atom{
	{"{accept: true}", func(*person, string) result { return result{true, false} }},
	{"{reject: true}", func(*person, string) result { return result{false, false} }},
	{"{authenticated_user: true}", personal(func(*person) bool { return true })},
	{"{user: u-1}", personal(func(p *person) bool { return p.id == "u-1" })},
	{"{email: {ends_with: '@example.com', not: 'boss@example.com'}}", personal(func(p *person) bool {
		return strings.HasSuffix(p.email, "@example.com") && p.email != "boss@example.com"
	})},
	{"{domain: {in: [example.com, example.org]}}", personal(func(p *person) bool {
		_, d, _ := strings.Cut(p.email, "@")
		return d == "example.com" || d == "example.org"
	})},
	{"{claim/team: ops}", personal(func(p *person) bool { return p.claims["team"] == "ops" })},
	{"{claim/team: {exclude: ops}}", personal(func(p *person) bool { return p.claims["team"] != "ops" })},
	{"{http_method: {in: [GET, HEAD]}}", func(_ *person, m string) result { return result{m == "GET", false} }},
	{"{http_path: {starts_with: /b}}", func(*person, string) result { return result{false, false} }},
}

func invert(rs []result) []result {
	out := make([]result, len(rs))
	for i, r := range rs {
		out[i] = result{!r.is, r.login}
	}
	return out
}

// merge joins results: with and, those that failed decide, or all if none did;
// with or, those that held.
func merge(rs []result, and bool) result {
	out, decisive := result{is: and}, false
	for _, r := range rs {
		if r.is != and {
			decisive = true
		}
	}
	if decisive {
		out.is = !and
	}
	for _, r := range rs {
		if (!decisive || r.is != and) && r.login {
			out.login = true
		}
	}
	return out
}

func operator(op string, rs []result) result {
	switch op {
	case "and":
		return merge(rs, true)
	case "or":
		return merge(rs, false)
	case "not":
		return merge(invert(rs), true)
	}
	return merge(invert(rs), false)
}

type drawn struct {
	action, op string
	atoms      []atom
}

func (d drawn) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - %s:\n      %s:\n", d.action, d.op)
	for _, a := range d.atoms {
		fmt.Fprintf(&b, "      - %s\n", a.yaml)
	}
	return b.String()
}

// want is what Pomerium says: sign in first, refused or allowed.
func want(rules []drawn, p *person, method string) string {
	var allow, deny []result
	for _, r := range rules {
		var rs []result
		for _, a := range r.atoms {
			rs = append(rs, a.of(p, method))
		}
		if x := operator(r.op, rs); r.action == "allow" {
			allow = append(allow, x)
		} else {
			deny = append(deny, x)
		}
	}
	a, d := merge(allow, false), merge(deny, false)
	switch {
	case a.login || d.login:
		return "sign in"
	case a.is && !d.is:
		return "allowed"
	}
	return "refused"
}

func TestPPLMeansWhatItMeansInPomerium(t *testing.T) {
	t.Parallel()
	people := []*person{
		nil, {id: "u-1", email: "ana@example.com"}, {id: "u-2", email: "boss@example.com", claims: map[string]any{"team": "ops"}},
		{id: "u-3", email: "eve@example.net", claims: map[string]any{"team": "ops"}}, {id: "u-4", email: "bo@example.org"},
	}
	rules := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) drawn {
		return drawn{
			action: rapid.SampledFrom([]string{"allow", "allow", "deny"}).Draw(rt, "action"), op: rapid.SampledFrom([]string{"and", "or", "not", "nor"}).Draw(rt, "operator"),
			atoms: rapid.SliceOfN(rapid.SampledFrom(atoms), 1, 3).Draw(rt, "criteria"),
		}
	}), 1, 4)
	const routes = 80 // of one file: compiling takes longest
	var b strings.Builder
	drawnBy := make([][]drawn, routes)
	for i := range routes {
		drawnBy[i] = rules.Example(i)
		fmt.Fprintf(&b, "- from: https://r%d.example.com\n  to: http://r\n  policy:\n", i)
		for _, d := range drawnBy[i] {
			b.WriteString(d.yaml())
		}
	}
	p := program(t, imported(t, b.String(), options(t)))
	seen := map[string]int{}
	for i, rules := range drawnBy {
		for _, who := range people {
			for _, method := range []string{"GET", "POST"} {
				d := decide(t, p, ask(fmt.Sprintf("r%d", i), method, who, noon))
				got := "refused"
				if d.Allowed {
					got = "allowed"
				} else if len(d.Reasons) == 1 && d.Reasons[0] == "unauthenticated" {
					got = "sign in"
				}
				seen[got]++
				if w := want(rules, who, method); got != w {
					t.Errorf("%s by %+v: %s %v, want %s\n%v", method, who, got, d.Reasons, w, rules)
				}
			}
		}
	}
	if seen["allowed"] < 30 || seen["refused"] < 30 || seen["sign in"] < 30 {
		t.Errorf("too few of some kind: %v", seen)
	}
}
