package session

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCookieValuesAreFoundAndStripped(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, header string
		values       []string
		rest         string
	}{
		{"None", "a=1; b=2", nil, "a=1; b=2"},
		{"Empty", "", nil, ""},
		{"Alone", "_p=x", []string{"x"}, ""},
		{"First", "_p=x; a=1", []string{"x"}, "a=1"},
		{"Last", "a=1; _p=x", []string{"x"}, "a=1"},
		{"Twice", "_p=x; a=1; _p=y", []string{"x", "y"}, "a=1"},
		{"NoSpaces", "a=1;_p=x;b=2", []string{"x"}, "a=1; b=2"},
		{"OddSpaces", "a=1 ;\t _p = x ;; b=2", []string{"x"}, "a=1; b=2"},
		{"EqualsInValue", "_p=x=y==", []string{"x=y=="}, ""},
		{"EmptyValue", "_p=", []string{""}, ""},
		{"Quoted", `_p="x"`, []string{`"x"`}, ""},
		{"NamePrefix", "_pp=x; x_p=y", nil, "_pp=x; x_p=y"},
		{"OtherCase", "_P=x; a=1", nil, "a=1"},
		{"QuotedName", `"_p"=x; a=1`, nil, "a=1"},
		{"NoEquals", "_p; a=1", nil, "a=1"},
		{"InQuotes", `a="1; _p=x; b=2"`, []string{"x"}, `a="1; b=2"`},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := AppendCookieValues(nil, c.header, "_p"); !slices.Equal(got, c.values) {
				t.Errorf("values %q, want %q", got, c.values)
			}
			rest, found := StripCookie(c.header, "_p")
			if rest != c.rest || found != (c.rest != c.header) {
				t.Errorf("rest %q (found %v), want %q", rest, found, c.rest)
			}
		})
	}
}

func TestManyCookiesAreNotAllCollected(t *testing.T) {
	t.Parallel()
	header := strings.Repeat("_p=x; ", 10_000)
	got := AppendCookieValues(nil, header, "_p")
	got = AppendCookieValues(got, header, "_p") // a second header field
	if len(got) != MaxCookieValues+1 {
		t.Errorf("%d values, want %d: enough to refuse", len(got), MaxCookieValues+1)
	}
	if rest, _ := StripCookie(header, "_p"); rest != "" {
		t.Errorf("%d bytes are left", len(rest))
	}
}

func TestCookieHelpersAllocateNothingInTheCommonCase(t *testing.T) {
	header := "theme=dark; _p=v1.abc; lang=es"
	other := "theme=dark; lang=es"
	var buf [MaxCookieValues + 1]string
	if n := testing.AllocsPerRun(100, func() {
		AppendCookieValues(buf[:0], header, "_p")
		StripCookie(other, "_p")
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func checkStripped(t interface{ Fatalf(string, ...any) }, header string) {
	rest, _ := StripCookie(header, "_p")
	if vs := AppendCookieValues(nil, rest, "_p"); len(vs) != 0 {
		t.Fatalf("%q: stripped to %q, which still has %q", header, rest, vs)
	}
	if again, found := StripCookie(rest, "_p"); found || again != rest {
		t.Fatalf("%q: stripping twice gives %q, then %q", header, rest, again)
	}
	if len(rest) > len(header)+strings.Count(header, ";") {
		t.Fatalf("%q grew to %q", header, rest)
	}
}

func TestNothingIsLeftAfterStripping(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		checkStripped(t, rapid.StringMatching(`([_pPa"]{0,3}[ \t]?=?[ "]?x?;? ?){0,8}`).Draw(t, "header"))
	})
}

func FuzzStripCookie(f *testing.F) {
	for _, s := range []string{"_p=x; a=1", "a=1", ";;_p", `"_p"="x;"`, "\t_P =;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) { checkStripped(t, header) })
}

func TestSetCookieLines(t *testing.T) {
	t.Parallel()
	c := CookieSpec{Name: "_pomerium", Domain: ".kappa4.com", Secure: true}
	want := "_pomerium=v1.x; Path=/; Domain=.kappa4.com; Secure; HttpOnly; SameSite=Lax; Max-Age=28800"
	if got := c.Set("v1.x", 8*time.Hour+time.Millisecond); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	bare := CookieSpec{Name: "_pomerium"}
	want = "_pomerium=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=1"
	if got := bare.Set("v", time.Second); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// where a Set-Cookie line would put the cookie.
func where(line string) string {
	var path, domain string
	for part := range strings.SplitSeq(line, "; ") {
		if v, ok := strings.CutPrefix(part, "Path="); ok {
			path = v
		}
		if v, ok := strings.CutPrefix(part, "Domain="); ok {
			domain = v
		}
	}
	return domain + path
}

func TestExpireReachesEveryPlaceThatASiblingCanSet(t *testing.T) {
	t.Parallel()
	c := CookieSpec{Name: "_pomerium", Domain: ".kappa4.com", Secure: true}
	tests := []struct {
		name, host, path string
		want             []string
	}{
		{"Root", "gate.kappa4.com", "/", []string{"/", ".kappa4.com/", "gate.kappa4.com/"}},
		{"Apex", "kappa4.com", "/", []string{"/", ".kappa4.com/"}},
		{"Deeper", "api.portal.kappa4.com", "/", []string{"/", ".kappa4.com/", "api.portal.kappa4.com/", "portal.kappa4.com/"}},
		{"Foreign", "evilkappa4.com", "/", []string{"/"}},
		{"Junk", "a b.kappa4.com", "/", []string{"/"}},
		{"Path", "kappa4.com", "/oauth2/sign_in", []string{"/", ".kappa4.com/", "/oauth2", ".kappa4.com/oauth2", "/oauth2/", ".kappa4.com/oauth2/"}},
		{"BadPath", "kappa4.com", "/a;Secure/", []string{"/", ".kappa4.com/"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, line := range c.Expire(tc.host, tc.path) {
				if !strings.HasPrefix(line, "_pomerium=;") || !strings.Contains(line, "; Max-Age=0;") {
					t.Errorf("%s does not expire anything", line)
				}
				got = append(got, where(line))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if n := len(c.Expire(strings.Repeat("a.", 50)+"kappa4.com", strings.Repeat("/a", 500))); n != maxVariants {
		t.Errorf("%d lines, want the bound", n)
	}
}

func TestCookieSettingsThatBrowsersWouldDrop(t *testing.T) {
	t.Parallel()
	for _, good := range []CookieSpec{
		{Name: "_pomerium", Domain: ".kappa4.com", Secure: true}, {Name: "_pomerium", Domain: "neosc.localhost"},
		{Name: "_pomerium"}, {Name: "__Host-x", Secure: true},
	} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, bad := range []CookieSpec{
		{}, {Name: "a b"}, {Name: "a;b"}, {Name: "a=b"}, {Name: "ä"}, {Name: "__Host-x", Secure: true, Domain: ".kappa4.com"},
		{Name: "__Host-x"}, {Name: "__Secure-x"}, {Name: "x", Domain: "localhost"}, {Name: "x", Domain: "127.0.0.1"},
		{Name: "x", Domain: ".kappa4.com; Path=/x"}, {Name: "x", Domain: "a..b"}, {Name: "x", Domain: "Kappa4.com"},
		{Name: "x", Domain: strings.Repeat("a.", 200) + "com"},
	} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}
