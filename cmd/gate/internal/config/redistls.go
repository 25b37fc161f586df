package config

import (
	"path/filepath"
	"strings"
)

// RedisTLS is for a rediss:// URL, as PEM files.
type RedisTLS struct {
	// CA vouches for the server; the system's authorities if left out.
	CA string `yaml:"ca"`
	// Cert and Key are who the gate is, for a server that asks (tls-auth-clients);
	// read again when they change.
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// Name is what the server's certificate must name; the URL's host if left out.
	Name string `yaml:"name"`
}

// checkRedisTLS refuses certificates where nothing is encrypted.
func (c *Config) checkRedisTLS() error {
	for _, x := range []struct {
		key, url string
		tls      *RedisTLS
	}{{"session.redis_tls", c.Session.Redis, &c.Session.RedisTLS}, {"limits.redis_tls", c.Limits.Redis, &c.Limits.RedisTLS}} {
		t := x.tls
		switch {
		case *t == (RedisTLS{}):
		case (t.Cert == "") != (t.Key == ""):
			return c.errf(x.key, "cert and key go together; give both files or neither")
		case t.Name != "" && !certificateName(t.Name) && !isAddress(t.Name):
			return c.errf(x.key+".name", "%q is no DNS name or address", t.Name)
		case x.url != "" && !strings.HasPrefix(x.url, "rediss://"):
			return c.errf(x.key, "is for rediss:// URLs, and this one is none")
		}
	}
	return nil
}

func (t *RedisTLS) complete(dir string) {
	for _, p := range []*string{&t.CA, &t.Cert, &t.Key} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}
