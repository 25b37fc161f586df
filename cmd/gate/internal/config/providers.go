package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Provider is an OpenID Connect provider at which people sign in. Its redirect
// URI is <gate origin>/callback/<id>.
type Provider struct {
	// ID is [a-z0-9_-]{1,32}, for example zitadel_onprem.
	ID string `yaml:"id,required"`
	// Name and Note are what people read on the page on which they choose.
	Name string `yaml:"name"`
	Note string `yaml:"note"`
	// Issuer is the provider's address as it writes it itself.
	Issuer   string `yaml:"issuer,required"`
	ClientID string `yaml:"client_id,required"`
	// ClientSecret or ClientSecretFile, or PrivateKeyFile (PEM, or the JSON
	// file that Zitadel hands out) with KeyID; none of them for a public client.
	ClientSecret     string `yaml:"client_secret"`
	ClientSecretFile string `yaml:"client_secret_file"`
	PrivateKeyFile   string `yaml:"private_key_file"`
	KeyID            string `yaml:"key_id"`
	// ClientAuth is none, client_secret_basic, client_secret_post or
	// private_key_jwt; it follows from the credential if it is left out.
	ClientAuth string `yaml:"client_auth"`
	// Scopes are openid, profile and email if left out. Most providers want
	// offline_access among them for the refresh token by which roles follow.
	Scopes []string `yaml:"scopes"`
	// ProjectID is Zitadel's.
	ProjectID   string   `yaml:"project_id"`
	RoleClaims  []string `yaml:"role_claims"`
	GroupClaims []string `yaml:"group_claims"`
	// DefaultRole is for people who have none of KnownRoles.
	DefaultRole string   `yaml:"default_role"`
	KnownRoles  []string `yaml:"known_roles"`
	// Domains are those for whose addresses the provider answers.
	Domains []string `yaml:"domains"`
	// Organizations, if any, are the only ones that are let in.
	Organizations []string      `yaml:"organizations"`
	Audiences     []string      `yaml:"audiences"`
	MaxAge        time.Duration `yaml:"max_age"`
	// TokenExchange lets single-page apps sign people in with this provider.
	TokenExchange TokenExchange `yaml:"token_exchange"`
	// Bearer makes access tokens of this provider count.
	Bearer *Bearer `yaml:"bearer"`
}

// TokenExchange says which apps may have the codes of their own sign-ins
// redeemed at POST /api/auth/token-exchange.
type TokenExchange struct {
	// RedirectURIs are the apps', to the letter; their origins are those from
	// which the request may come.
	RedirectURIs []string `yaml:"redirect_uris"`
}

// Sign-in with passwords: on, off, or on unless there are providers.
const (
	PasswordsAuto = "auto"
	PasswordsOn   = "on"
	PasswordsOff  = "off"
)

// Passwords reports whether people may sign in with a password here.
func (c *Config) Passwords() bool {
	return c.Accounts.Passwords == PasswordsOn || (c.Accounts.Passwords == PasswordsAuto && len(c.Providers) == 0)
}

// zitadelID is the provider that the ZITADEL_ variables make or change.
const zitadelID = "zitadel_onprem"

// overrideZitadel applies ZITADEL_AUTHORITY, ZITADEL_CLIENT_ID and
// ZITADEL_PROJECT_ID. Together they make the provider if the file lacks it.
func overrideZitadel(c *Config, environ []string) error {
	set := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		switch name {
		case "ZITADEL_AUTHORITY", "ZITADEL_CLIENT_ID", "ZITADEL_PROJECT_ID":
			if value != "" {
				set[name] = value
			}
		}
	}
	if len(set) == 0 {
		return nil
	}
	var p *Provider
	for i := range c.Providers {
		if c.Providers[i].ID == zitadelID {
			p = &c.Providers[i]
		}
	}
	if p == nil {
		if set["ZITADEL_AUTHORITY"] == "" || set["ZITADEL_CLIENT_ID"] == "" {
			return fmt.Errorf("environment: ZITADEL_AUTHORITY and ZITADEL_CLIENT_ID are needed together, since no provider has the id %s", zitadelID)
		}
		c.Providers = append([]Provider{{ID: zitadelID, Name: "Zitadel"}}, c.Providers...)
		p = &c.Providers[0]
	}
	for name, field := range map[string]*string{"ZITADEL_AUTHORITY": &p.Issuer, "ZITADEL_CLIENT_ID": &p.ClientID, "ZITADEL_PROJECT_ID": &p.ProjectID} {
		if v := set[name]; v != "" {
			*field = v
		}
	}
	return nil
}

// checkProviders makes the paths absolute and reads secrets from their files.
// What else must hold of a provider is checked where it is used.
func (c *Config) checkProviders(dir string) error {
	for i := range c.Providers {
		p := &c.Providers[i]
		key := fmt.Sprintf("providers[%d] (%s)", i, p.ID)
		for _, path := range []*string{&p.ClientSecretFile, &p.PrivateKeyFile} {
			if *path != "" && !filepath.IsAbs(*path) {
				*path = filepath.Join(dir, *path)
			}
		}
		if p.ClientSecretFile != "" {
			if p.ClientSecret != "" {
				return c.errf(key, "has client_secret and client_secret_file; keep one")
			}
			var err error
			if p.ClientSecret, err = readSecret(p.ClientSecretFile); err != nil {
				return c.errf(key, "client_secret_file: %v", err)
			}
		}
		if err := c.checkBearer(key, dir, p); err != nil {
			return err
		}
	}
	return nil
}
