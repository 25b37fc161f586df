package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/cmd/gate/internal/config"
)

const oneProvider = least + `providers:
  - id: zitadel_onprem
    issuer: https://login.kappa4.com
    client_id: c1
    project_id: P1
    scopes: [openid, email]
    max_age: 1h
`

func TestProvidersComeFromTheFile(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("gate.yaml", []byte(oneProvider), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Providers[0]
	if p.ID != "zitadel_onprem" || p.Issuer != "https://login.kappa4.com" || p.ProjectID != "P1" || len(p.Scopes) != 2 || p.MaxAge != time.Hour {
		t.Errorf("%+v", p)
	}
	if c.Passwords() {
		t.Error("passwords are on though there is a provider")
	}
}

func TestZitadelsVariablesMakeAndChangeTheProvider(t *testing.T) {
	t.Parallel()
	env := []string{"ZITADEL_AUTHORITY=https://zitadel.kappa4.com", "ZITADEL_CLIENT_ID=c2", "ZITADEL_PROJECT_ID=P2"}
	for name, yaml := range map[string]string{"Makes": least, "Changes": oneProvider} {
		c, err := config.Parse("gate.yaml", []byte(yaml), env)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Providers) != 1 {
			t.Fatalf("%s: %d providers", name, len(c.Providers))
		}
		if p := c.Providers[0]; p.ID != "zitadel_onprem" || p.Issuer != "https://zitadel.kappa4.com" || p.ClientID != "c2" || p.ProjectID != "P2" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if _, err := config.Parse("gate.yaml", []byte(least), env[1:]); err == nil || !strings.Contains(err.Error(), "ZITADEL_AUTHORITY") {
		t.Errorf("half of the variables: %v", err)
	}
	if c, err := config.Parse("gate.yaml", []byte(least), []string{"ZITADEL_AUTHORITY="}); err != nil || len(c.Providers) != 0 {
		t.Errorf("an empty variable made a provider, or error %v", err)
	}
}

func TestASecretCanComeFromAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "empty"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(more string) (*config.Config, error) {
		return config.Parse(filepath.Join(dir, "gate.yaml"), []byte(oneProvider+more), nil)
	}
	if c, err := at("    client_secret_file: secret\n"); err != nil || c.Providers[0].ClientSecret != "hush" {
		t.Errorf("error %v", err)
	}
	for more, want := range map[string]string{
		"    client_secret_file: none\n":                         "client_secret_file",
		"    client_secret_file: empty\n":                        "has no secret",
		"    client_secret_file: secret\n    client_secret: x\n": "keep one",
	} {
		if _, err := at(more); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "zitadel_onprem") {
			t.Errorf("%q: %v", more, err)
		}
	}
}

func TestWhoMaySignInWithAPassword(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		yaml, mode string
		want       bool
	}{{least, "auto", true}, {least, "on", true}, {oneProvider, "auto", false}, {oneProvider, "on", true}, {oneProvider, "off", false}} {
		got, err := config.Parse("gate.yaml", []byte(c.yaml), []string{"GATE_ACCOUNTS_PASSWORDS=" + c.mode})
		if err != nil || got.Passwords() != c.want {
			t.Errorf("%s: %v, error %v", c.mode, got != nil && got.Passwords(), err)
		}
	}
	for env, want := range map[string]string{"GATE_ACCOUNTS_PASSWORDS=off": "nobody could sign in", "GATE_ACCOUNTS_PASSWORDS=maybe": "auto, on or off"} {
		if _, err := config.Parse("gate.yaml", []byte(least), []string{env}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", env, err)
		}
	}
}

func TestAppsOfAProviderComeFromTheFile(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("gate.yaml", []byte(oneProvider+"    token_exchange: {redirect_uris: ['https://portal.kappa4.com/auth/callback']}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Providers[0].TokenExchange.RedirectURIs; len(got) != 1 || got[0] != "https://portal.kappa4.com/auth/callback" {
		t.Errorf("%q", got)
	}
	_, err = config.Parse("gate.yaml", []byte(oneProvider+"    token_exchange: {redirect_uri: x}\n"), nil)
	if err == nil || !strings.Contains(err.Error(), `did you mean "redirect_uris"`) {
		t.Errorf("error %v", err)
	}
}
