package config

import (
	"path/filepath"
	"slices"
)

// DemoActions is a target of Zitadel's Actions: it tells a provider that is a
// Zitadel the claims of people's demo sessions before it makes tokens.
type DemoActions struct {
	// Provider is the provider's id.
	Provider string `yaml:"provider,required"`
	// KeysFile has the target's signing keys, one a line, mode 0600.
	KeysFile string `yaml:"keys_file,required"`
}

func (c *Config) checkDemoActions(dir string) error {
	for i := range c.Demo.Actions {
		a := &c.Demo.Actions[i]
		if !slices.ContainsFunc(c.Providers, func(p Provider) bool { return p.ID == a.Provider }) {
			return c.errf("demo.actions", "has the provider %q, which is none of providers", a.Provider)
		}
		if a.KeysFile == "" {
			return c.errf("demo.actions", "has %s without keys_file; name the file of its target's signing key", a.Provider)
		}
		if !filepath.IsAbs(a.KeysFile) {
			a.KeysFile = filepath.Join(dir, a.KeysFile)
		}
	}
	return nil
}
