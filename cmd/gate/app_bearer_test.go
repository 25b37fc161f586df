package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session/bearer"
)

// gateYAML parses a gate.yaml with one provider that has the given bearer block.
func gateYAML(t *testing.T, block string) (*config.Config, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(" s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Parse(filepath.Join(dir, "gate.yaml"), []byte(`
cookie: {domain: .kappa4.com}
providers:
  - id: zitadel_onprem
    issuer: https://id.kappa4.com
    client_id: "111"
    client_secret: own
    project_id: "222"
    default_role: user
`+block), nil)
}

func TestBearerBlock(t *testing.T) {
	c, err := gateYAML(t, `
    bearer:
      types: [at+jwt, JWT]
      clients: ["111"]
      introspection: {client_id: api, client_secret_file: secret, prefix: on_}
`)
	if err != nil {
		t.Fatal(err)
	}
	ps, err := bearerProviders(c)
	if err != nil || len(ps) != 1 {
		t.Fatal(ps, err)
	}
	v, err := bearer.New(bearer.Options{Providers: ps})
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	p := ps[0]
	if p.Audiences[0] != "222" || p.Identity.ProjectID != "222" || p.Identity.DefaultRole != "user" || p.Introspection.ClientSecret != "s3cret" || p.Introspection.Prefix != "on_" || len(p.Types) != 2 {
		t.Errorf("%+v, %+v", p, p.Introspection)
	}
}

func TestIntrospectionTakesTheProvidersOwnClientByDefault(t *testing.T) {
	c, err := gateYAML(t, "    bearer: {introspection: {}}\n")
	if err != nil {
		t.Fatal(err)
	}
	ps, err := bearerProviders(c)
	if err != nil || ps[0].Introspection.ClientID != "111" || ps[0].Introspection.ClientSecret != "own" {
		t.Errorf("%+v, %v", ps, err)
	}
}

func TestWithoutABearerBlockNoTokenCounts(t *testing.T) {
	c, err := gateYAML(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if ps, err := bearerProviders(c); err != nil || len(ps) != 0 {
		t.Errorf("%+v, %v", ps, err)
	}
	v, err := (&app{cfg: c}).openBearer()
	if err != nil || v != nil {
		t.Errorf("%v, %v; want nil, which the manager asks for", v, err)
	}
}

func TestBearerBlocksThatAreRefused(t *testing.T) {
	for block, want := range map[string]string{
		"    bearer: {audience: x}\n":                                                                 "audience",
		"    bearer: {introspection: {client_secret: x}}\n":                                           "no client_id",
		"    bearer: {introspection: {client_id: a, client_secret_file: none}}\n":                     "client_secret_file",
		"    bearer: {introspection: {client_id: a, client_secret: x, client_secret_file: secret}}\n": "keep one",
	} {
		if _, err := gateYAML(t, block); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", strings.TrimSpace(block), err, want)
		}
	}
}
