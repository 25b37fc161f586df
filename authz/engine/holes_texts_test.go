package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestTextsThatAreNoMarks: a text that must be of a form, such as an instant, is no
// hole once that is seen; the others are.
func TestTextsThatAreNoMarks(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, compiled(t, `decision := {"allowed": true, "stream_until": input.session.expires_at, "headers": {"x-pomerium-t": input.session.user.id}}`, nil), 1<<20)
	by := map[string]int{}
	for n := range people {
		_, of := c.ask(t, person(n))
		by[of]++
	}
	if got := c.open(); !slices.Equal(got, []string{"session.user.id"}) || by[Machine] > 4 {
		t.Errorf("%q are holes, %v", got, by)
	}
}

// TestTextsThatAreNoHoles: what a header or the key of a limit could not be, what the
// policy knows and what is no text is decided on as if there were no holes.
func TestTextsThatAreNoHoles(t *testing.T) {
	t.Parallel()
	const rego = `decision := {"allowed": input.session.claims.team != "root", "headers": {"x-pomerium-t": input.session.claims.team}, "rate_limits": [{"name": "n", "key": key, "requests_per_second": 1, "burst": 2}]}
decision := {"allowed": false, "reasons": ["none"]} if not input.session.claims.team
default key := "nobody"
key := input.session.claims.team if is_string(input.session.claims.team)`
	odd := []any{"", "root", "a\r\nb", "a\x00b", "\x7f", "a\tb", "\xff", "\xed\xa0\x80", strings.Repeat("x", maxBucketName), strings.Repeat("x", maxBucketName+1),
		strings.Repeat("x", maxHeaderValue+1), strings.Repeat("ü", maxBucketName/2), strings.Repeat("ü", maxBucketName/2+1), "ü\u2028", " a ", ",", "%", 1, 1.5, true, false, nil, []any{"a"}, map[string]any{"a": "b"}, absent{}}
	for _, first := range []int{0, 2, 5} {
		c := newCrowd(t, compiled(t, rego, nil), 1<<20)
		for n := range first { // so that there is a blank, or not yet
			c.ask(t, person(n))
		}
		for range 3 {
			for _, v := range odd {
				r := person(1000)
				r.Session.Identity.Claims = with(nil, "team", v)
				c.ask(t, r)
			}
		}
		if d, by := c.ask(t, person(999)); by != Cached || d.Charges[0].Key != "team 999" {
			t.Errorf("after %d people and odd values: by %s: %+v", first, by, d)
		}
	}
}

// TestPresenceAndKindOfAHoleAreInTheKey: whoever lacks a text, or has none but a
// number, is decided on otherwise than those who have one.
func TestPresenceAndKindOfAHoleAreInTheKey(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, compiled(t, `decision := {"allowed": allowed, "headers": headers}
default allowed := false
allowed if input.session.user.name
headers["x-pomerium-n"] := input.session.user.name
headers["x-pomerium-t"] := input.session.claims.team if is_string(input.session.claims.team)
headers["x-pomerium-k"] := type_name(input.session.claims.team)`, nil), 1<<20)
	for round := range 3 {
		for n := range 12 {
			r := person(n + 12*round)
			if n%2 == 1 {
				r.Session.Identity.Name = ""
			}
			if n%3 == 1 {
				r.Session.Identity.Claims = with(nil, "team", 7)
			} else if n%3 == 2 {
				r.Session.Identity.Claims = nil
			}
			if n == 11 {
				r.Session = nil
			}
			c.ask(t, r)
		}
	}
	if got := c.open(); len(got) != 2 {
		t.Errorf("%q are holes", got)
	}
	if n := entries(c.blanks.cache); n != 4 { // whoever has a name, with a team, a number or neither, and a team alone
		t.Errorf("%d blanks, want 4", n)
	}
}

// TestHolesOfOneText: a text may be that of two holes, or one that the policy states;
// each place has what is its own all the same.
func TestHolesOfOneText(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, compiled(t, `decision := {"allowed": true, "headers": {"x-pomerium-a": input.session.user.id, "x-pomerium-b": input.session.user.email, "x-pomerium-c": "same", "x-pomerium-d": input.session.user.name}}`, nil), 1<<20)
	for n, texts := range [][3]string{{"same", "same", "same"}, {"other", "other", "other"}, {"a", "b", "c"}, {"c", "b", "a"}, {"same", "b", "other"}, {"b", "b", "same"}} {
		r := person(n)
		id := &r.Session.Identity
		id.UserID, id.Email, id.Name = texts[0], texts[1], texts[2]
		d, by := c.ask(t, r)
		if n > 1 && by != Cached {
			t.Errorf("%q is decided on by %s", texts, by)
		}
		if got := fmt.Sprint(headerOf(d, "x-pomerium-a"), headerOf(d, "x-pomerium-b"), headerOf(d, "x-pomerium-d")); got != fmt.Sprintf("[%s] [%s] [%s]", texts[0], texts[1], texts[2]) {
			t.Errorf("%q: %s", texts, got)
		}
	}
}

// TestHolesThatAreLeftKeepTheirPlaces: once one of them is none any more, what was
// remembered before with the others is not filled with texts of each other.
func TestHolesThatAreLeftKeepTheirPlaces(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"name", "id", "email"} {
		c := newCrowd(t, compiled(t, strings.ReplaceAll(`decision := {"allowed": false, "body": body, "headers": {"x-a": input.session.claims.a, "x-b": input.session.claims.b, "x-c": input.session.claims.c}}
default body := ""
body := input.session.user.FIRST if input.session.user.FIRST`, "FIRST", first), nil), 1<<20)
		for n := range people {
			r := person(n)
			id := &r.Session.Identity
			id.Claims = map[string]any{"a": fmt.Sprint("a ", n), "b": fmt.Sprint("b ", n), "c": fmt.Sprint("c ", n)}
			if n%10 != 3 && n%10 != 4 {
				r.Session.Identity.Name, id.UserID, id.Email = "", "", ""
			}
			c.ask(t, r)
		}
		if got := c.open(); len(got) != 3 || slices.Contains(got, "session.user."+first) {
			t.Errorf("%q are holes", got)
		}
	}
}

// TestThePathIsNoHole: the key has its parts by it alone.
func TestThePathIsNoHole(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, compiled(t, `decision := {"allowed": input.parsed_path[0] == "a", "headers": headers, "reasons": reasons}
default reasons := ["none"]
reasons := input.parsed_query.q
headers := {"x-pomerium-t": input.attributes.request.http.path, "x-pomerium-u": input.session.user.id} if input.parsed_path[0] == "a" else := {}
`, nil), 1<<20)
	for n, path := range []string{"/a/1", "/a/2", "/b/3", "/a/4", "/b/5?q=x", "/a/6?q=y", "/b/7"} {
		r := person(n)
		r.Path = path
		c.ask(t, r)
	}
}
