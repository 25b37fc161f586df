package config

import (
	"net/url"
	"path/filepath"
	"time"
)

// Decisions say where the decision log goes. With neither file nor url there is
// none.
type Decisions struct {
	// File is the newest file; older ones are beside it as FILE.1, FILE.2 and so on.
	File string `yaml:"file"`
	// MaxMiB is how large a file gets, and Files how many there are in all.
	MaxMiB int `yaml:"max_mib"`
	Files  int `yaml:"files"`
	// Sync is after how long written records are synced to disk; 0 syncs full and
	// closed files alone.
	Sync time.Duration `yaml:"sync"`
	// URL is that of a service that takes OPA's decision logs: they are posted to
	// URL/logs. TokenFile holds a bearer token for it.
	URL       string `yaml:"url"`
	TokenFile string `yaml:"token_file"`
	// Allows is the share of allowed requests that is kept, from 0 to 1; all others
	// always are.
	Allows float64 `yaml:"allows"`
	// BufferMiB is how much may wait to be written.
	BufferMiB int `yaml:"buffer_mib"`
	// Labels are in each record.
	Labels map[string]string `yaml:"labels"`
}

// On reports whether there is a decision log.
func (d *Decisions) On() bool { return d.File != "" || d.URL != "" }

func defaultDecisions() Decisions {
	return Decisions{MaxMiB: 64, Files: 8, Sync: time.Second, Allows: 1, BufferMiB: 16}
}

func (d *Decisions) complete(dir string) {
	for _, p := range []*string{&d.File, &d.TokenFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

func (c *Config) checkDecisions() error {
	d := &c.Decisions
	u, badURL := url.Parse(d.URL)
	switch {
	case d.File != "" && d.URL != "":
		return c.errf("decisions", "has both file and url: take one out")
	case d.URL != "" && (badURL != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == ""):
		return c.errf("decisions.url", "must begin with https:// or http:// and name a host")
	case d.URL != "" && u.User != nil:
		return c.errf("decisions.url", "must not hold a password, which would be in logs: use decisions.token_file")
	case d.URL != "" && u.Scheme == "http" && d.TokenFile != "" && !loopback(u.Hostname()):
		return c.errf("decisions.token_file", "would be sent to %s unencrypted: use https", u.Host)
	case d.TokenFile != "" && d.URL == "":
		return c.errf("decisions.token_file", "is for decisions.url, which is not set")
	case d.MaxMiB < 1 || d.MaxMiB > 4096:
		return c.errf("decisions.max_mib", "must be from 1 to 4096")
	case d.Files < 1 || d.Files > 1000:
		return c.errf("decisions.files", "must be from 1 to 1000")
	case d.Sync < 0 || d.Sync > time.Hour:
		return c.errf("decisions.sync", "must be from 0 (full and closed files alone) to 1h")
	case !(d.Allows >= 0 && d.Allows <= 1):
		return c.errf("decisions.allows", "must be a share from 0 to 1")
	case d.BufferMiB < 1 || d.BufferMiB > 1024:
		return c.errf("decisions.buffer_mib", "must be from 1 to 1024")
	case len(d.Labels) > 32:
		return c.errf("decisions.labels", "are more than 32")
	}
	return nil
}
