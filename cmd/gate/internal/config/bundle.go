package config

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// PolicyBundle is where the policy comes from as a bundle of a server, and what
// is kept of those that were active.
type PolicyBundle struct {
	// URL is where the bundle is; "" means policy.path has it.
	URL string `yaml:"url"`
	// TokenFile holds a bearer token for the server, CA the certificates its own is
	// of; both may be empty.
	TokenFile string `yaml:"token_file"`
	CA        string `yaml:"ca"`
	// Poll is the time between two questions; Wait is how long a server that can
	// may keep one until there is something new, 0 not at all.
	Poll time.Duration `yaml:"poll"`
	Wait time.Duration `yaml:"wait"`
	// Keep is how many bundles are kept to go back to.
	Keep int `yaml:"keep"`
	// TestTime bounds the tests of a bundle.
	TestTime time.Duration `yaml:"test_time"`
}

// PolicyVerify says whose bundles are taken.
type PolicyVerify struct {
	// Keys are files of public keys: PEM, JWK or JWK sets. With any, a bundle must be
	// signed by one of them.
	Keys []string `yaml:"keys"`
	// Required has a configuration refused that has no keys, or takes its policy from
	// a directory, which nobody signs.
	Required *bool `yaml:"required"`
	// Scope is what signatures must state as theirs.
	Scope string `yaml:"scope"`
}

// Verified reports whether bundles must be signed.
func (v *PolicyVerify) Verified() bool { return len(v.Keys) > 0 }

func (c *Config) checkBundle() error {
	b, v := &c.Policy.Bundle, &c.Policy.Verify
	switch {
	case b.URL != "" && c.Policy.Path != "":
		return c.errf("policy.bundle.url", "and policy.path are both set; the policy comes from one of them")
	case b.URL == "" && (b.TokenFile != "" || b.CA != ""):
		return c.errf("policy.bundle.url", "is empty, and a token or a CA for it is given; name the server")
	case b.Poll < time.Second || b.Poll > 24*time.Hour:
		return c.errf("policy.bundle.poll", "must be from 1s to 24h")
	case b.Wait < 0 || b.Wait > 10*time.Minute:
		return c.errf("policy.bundle.wait", "must be from 0 (off) to 10m")
	case b.Keep < 2 || b.Keep > 100:
		return c.errf("policy.bundle.keep", "must be from 2 to 100")
	case b.TestTime < time.Second || b.TestTime > 10*time.Minute:
		return c.errf("policy.bundle.test_time", "must be from 1s to 10m")
	case v.Required != nil && *v.Required && !v.Verified():
		return c.errf("policy.verify.required", "is true and policy.verify.keys is empty; name the files of the public keys")
	case v.Required != nil && !*v.Required && v.Verified():
		return c.errf("policy.verify.required", "is false, but with policy.verify.keys nothing unsigned is taken; take out one of the two")
	}
	if b.URL == "" {
		return nil
	}
	u, err := url.Parse(b.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil:
		return c.errf("policy.bundle.url", "must be an address as https://bundles.example.com/policy.tar.gz, without a password")
	case u.Scheme == "http" && !v.Verified() && !loopback(u.Hostname()):
		return c.errf("policy.bundle.url", "is http, by which anybody on the way could put in rules of their own: use https, or have bundles signed (policy.verify.keys)")
	case u.Scheme == "http" && b.TokenFile != "" && !loopback(u.Hostname()):
		return c.errf("policy.bundle.token_file", "would be sent to %s unencrypted: use https", u.Host)
	}
	return nil
}

func loopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// complete makes paths absolute.
func (b *PolicyBundle) complete(dir string) { absolute(dir, &b.TokenFile, &b.CA) }

func (v *PolicyVerify) complete(dir string) {
	for i := range v.Keys {
		absolute(dir, &v.Keys[i])
	}
}

func absolute(dir string, files ...*string) {
	for _, f := range files {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(dir, *f)
		}
	}
}
