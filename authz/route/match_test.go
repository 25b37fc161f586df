package route

import (
	"strings"
	"testing"
)

const matchFile = `
gate: https://gate.kappa4.com
upstreams:
  web: web:80
hosts:
- origin: https://gate.kappa4.com
  routes:
  - {name: gate, prefix: /, upstream: gate}
- origin: https://api.kappa4.com
  routes:
  - {name: api, prefix: /, upstream: web}
  - {name: auth, prefix: /api/auth, upstream: gate}
  - {name: exact, path: /api/auth/me, upstream: web}
- origin: https://apps.kappa4.com
  routes:
  - {name: apps, prefix: /a, upstream: web}
`

func TestMatchTakesTheEntryThatEnvoyTakes(t *testing.T) {
	f, err := Parse("routes.yaml", []byte(matchFile))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		"api.kappa4.com/": "api", "API.kappa4.com/x": "api", "api.kappa4.com/api/auth": "auth", "api.kappa4.com/api/auth/": "auth",
		"api.kappa4.com/api/auth/x": "auth", "api.kappa4.com/api/authx": "api", "api.kappa4.com/api/auth/me": "exact", "api.kappa4.com/api/auth/me/": "auth",
		"api.kappa4.com/API/auth": "api", "apps.kappa4.com/a/b": "apps", "apps.kappa4.com/": "no route", "x.apps.kappa4.com/a": "no host", "kappa4.com/": "no host", "x.api.kappa4.com/": "no host",
	} {
		host, p, _ := strings.Cut(at, "/")
		got := "no host"
		h, e := f.Match(host, "/"+p)
		switch {
		case e != nil:
			got = e.Route.Name
		case h != nil:
			got = "no route"
		}
		if got != want {
			t.Errorf("%s matches %s, want %s", at, got, want)
		}
	}
}

func TestNormaliseLeavesAPathAsEnvoyDoes(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/": "/a/", "//a//b": "/a/b", "/a/../b": "/b", "/a/./b/.": "/a/b/", "/../..": "/", "/a/b/..": "/a/",
		"/a%20b": "/a%20b", "/a;x=1": "/a;x=1", `/a\b`: "/a/b",
		"a": "", "": "", "/a%2fb": "", "/a%5Cb": "", "/a%2": "", "/a%zz": "", "/a b": "", "/a\nb": "",
	} {
		got, err := Normalise(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q becomes %q (%v), want %q", in, got, err, want)
		}
	}
}
