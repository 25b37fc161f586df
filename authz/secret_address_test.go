package authz_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/neosc/gate/authz"
)

func TestSecretsOfAddressesAreMasked(t *testing.T) {
	t.Parallel()
	token := "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl-_c2lnbmF0dXJl"
	for in, want := range map[string]string{
		"/": "/", "/a?x=1&y=a%20b+c": "/a?x=1&y=a%20b+c", "/100%?q=50%": "/100%?q=50%", "/a?x=a==": "/a?x=a==", "/a?token": "/a?token",
		"/a?x=1;token=K":      "/a?x=1;token=masked",
		"/a?t%6Fken=K":        "/a?t%6Fken=masked",
		"/a?code=a/b?c=d&x=1": "/a?code=masked?c=d&x=1",
		"/a;jsessionid=K/b":   "/a;jsessionid=masked/b",
		"/a;sid=K?":           "/a;sid=masked?",
		"/a%3Bsid%3DK/b":      "/a%3Bsid=masked/b",
		"/a#access_token=K":   "/a#access_token=masked",
		"/a?x=a=token=K":      "/a?x=a=token=masked",
		"/a?rd=https%3A%2F%2Fx%2F%3Fa%3D1%26token%3DK&b=c": "/a?rd=https%3A%2F%2Fx%2F%3Fa%3D1%26token%3Dmasked&b=c",
		"/a?rd=/b?token=K":                              "/a?rd=/b?token=masked",
		"/a?%2Fb%3Ftoken%3DK":                           "/a?%2Fb%3Ftoken%3Dmasked",
		"/a?%2Fb%3Ftoken%3DK=1":                         "/a?%2Fb%3Ftoken%3Dmasked=masked",
		"/a?x=%zz&token=K":                              "/a?x=%zz&token=masked",
		"/" + strings.ReplaceAll(token, ".", "%2E"):     "/%28masked%29",
		"/a?x=" + strings.ReplaceAll(token, ".", "%2e"): "/a?x=%28masked%29",
		"/a?x=" + token:                                 "/a?x=(masked)",
	} {
		got := authz.MaskAddress(in)
		if unescaped, err := url.PathUnescape(got); got != want && (err != nil || unescaped != want) {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
		if again := authz.MaskAddress(got); again != got {
			t.Errorf("%s becomes %s, then %s", in, got, again)
		}
	}
}

func TestOtherAddressesHaveNoQuery(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://x/a": "https://x/a", "https://x/a?b=c": "https://x/a", "https://x/a#b?c": "https://x/a", "https://x/a;sid=K/b?c": "https://x/a;sid=masked/b",
		"0;url=https://x/?a=b": "0;url=https://x/", "": "",
	} {
		if got := authz.MaskForeign(in); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
}

func TestAnAddressWithoutSecretsAllocatesNothing(t *testing.T) {
	for _, path := range []string{"/settings/420?tab=limits&page=2", "/a/b;c=d", "/"} {
		s := authz.Secrets{}
		if n := testing.AllocsPerRun(100, func() {
			s.Reset()
			if s.Path(path); s.Hide("user:1") != "user:1" || s.ShownPath() != path || authz.MaskAddress(path) != path {
				t.Error(path)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

// FuzzMaskAddress: where nothing is masked in a path nothing is in what policy reads
// of it.
func FuzzMaskAddress(f *testing.F) {
	for _, s := range []string{"/a?rd=%2Fb%3Ftoken%3DK&x=a+b", "/a%3Bsid%3DK;code=x/b?c", "/a%2Fb=%3Fpin%3D1", "/100%?%zz", "/?x=%2525&%3D=1#pin=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if authz.MaskAddress(s) != s {
			return
		}
		r := authz.Request{Path: s}
		_, query := r.SplitPath()
		values, _ := url.ParseQuery(query)
		for name, list := range values {
			for _, v := range append(list, name) {
				if authz.MaskAddress(v) != v && !authz.SecretParameter(name) {
					t.Errorf("%q of %q becomes %q", v, s, authz.MaskAddress(v))
				}
			}
		}
		segments, _ := r.ParsedPath()
		for _, v := range segments {
			if authz.MaskAddress(v) != v {
				t.Errorf("%q of %q becomes %q", v, s, authz.MaskAddress(v))
			}
		}
	})
}
