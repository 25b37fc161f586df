package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Bearer says which access tokens of a provider count. Without it none does.
type Bearer struct {
	// Audiences are those of which a token must name one: the API's, and never
	// a client's id, which ID tokens name. project_id if left out.
	Audiences []string `yaml:"audiences"`
	// Algorithms are RS256, ES256 and EdDSA if left out, Types at+jwt. Zitadel
	// and others that type every token JWT need JWT there.
	Algorithms []string `yaml:"algorithms"`
	Types      []string `yaml:"types"`
	// Clients, if any, are the only ones to which a token may have been issued.
	Clients []string `yaml:"clients"`
	// JWKSURL is where the keys are, if not where the provider's metadata says.
	JWKSURL string `yaml:"jwks_url"`
	// Introspection makes opaque tokens count.
	Introspection *Introspection `yaml:"introspection"`
}

// Introspection is how a provider is asked about opaque tokens.
type Introspection struct {
	// URL is the endpoint, if not the one that the provider's metadata names.
	URL string `yaml:"url"`
	// ClientID with ClientSecret, ClientSecretFile or PrivateKeyFile (and
	// KeyID): who asks. The provider's own client if left out.
	ClientID         string `yaml:"client_id"`
	ClientSecret     string `yaml:"client_secret"`
	ClientSecretFile string `yaml:"client_secret_file"`
	PrivateKeyFile   string `yaml:"private_key_file"`
	KeyID            string `yaml:"key_id"`
	// Prefix starts this provider's opaque tokens. Needed where several are asked.
	Prefix string `yaml:"prefix"`
	// AllowNoAudience takes tokens that are said to be for nobody in particular.
	AllowNoAudience bool `yaml:"allow_no_audience"`
}

// checkBearer completes what a provider's bearer block leaves out. What else
// must hold is checked where it is used.
func (c *Config) checkBearer(key, dir string, p *Provider) error {
	b := p.Bearer
	if b == nil {
		return nil
	}
	if len(b.Audiences) == 0 && p.ProjectID != "" {
		b.Audiences = []string{p.ProjectID}
	}
	in := b.Introspection
	if in == nil {
		return nil
	}
	if in.ClientID == "" {
		if in.ClientSecret != "" || in.ClientSecretFile != "" || in.PrivateKeyFile != "" {
			return c.errf(key, "bearer.introspection has a credential and no client_id")
		}
		in.ClientID, in.ClientSecret, in.PrivateKeyFile, in.KeyID = p.ClientID, p.ClientSecret, p.PrivateKeyFile, p.KeyID
		return nil
	}
	for _, path := range []*string{&in.ClientSecretFile, &in.PrivateKeyFile} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	if in.ClientSecretFile == "" {
		return nil
	}
	if in.ClientSecret != "" {
		return c.errf(key, "bearer.introspection has client_secret and client_secret_file; keep one")
	}
	secret, err := readSecret(in.ClientSecretFile)
	if err != nil {
		return c.errf(key, "bearer.introspection.client_secret_file: %v", err)
	}
	in.ClientSecret = secret
	return nil
}

func readSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(b))
	if s == "" || len(s) > 4096 {
		return "", fmt.Errorf("%s has no secret", path)
	}
	return s, nil
}
