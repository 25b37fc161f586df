package config

import (
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Audit is where the audit trail is kept, and how it proves itself.
type Audit struct {
	// Path is a SQLite file of its own; empty means audit.db beside
	// session.path. With session.store postgres the trail is there, and this is
	// not looked at.
	Path string `yaml:"path"`
	// Keys is the file of the keys that sign checkpoints, mode 0600; made on
	// first use. Empty means audit-keys beside path; with postgres, where all
	// gates need the same one, no checkpoints are made then.
	Keys string `yaml:"keys"`
	// Decisions says which decisions about requests are entries: off, deny or all.
	Decisions string `yaml:"decisions"`
	// Required refuses requests whose decisions cannot be kept.
	Required bool `yaml:"required"`
	// Keep is for how many days entries are kept ("365d"); empty means for ever.
	Keep        string      `yaml:"keep"`
	Checkpoints Checkpoints `yaml:"checkpoints"`
}

// Checkpoints say when the trail's state is signed, and where that goes.
type Checkpoints struct {
	// Every is how old a checkpoint may be while entries follow it, and Entries
	// how many may, whichever is first.
	Every   time.Duration `yaml:"every"`
	Entries int           `yaml:"entries"`
	// File is appended to, Dir gets a file of each, and URL a POST of each.
	File string `yaml:"file"`
	Dir  string `yaml:"dir"`
	URL  string `yaml:"url"`
}

func defaultAudit() Audit {
	return Audit{Decisions: "off", Checkpoints: Checkpoints{Every: time.Minute, Entries: 1000}}
}

// complete makes paths absolute; session.path is already.
func (a *Audit) complete(dir, sessions, store string) {
	switch {
	case a.Path == "" && sessions == "":
		a.Path = filepath.Join(dir, "audit.db")
	case a.Path == "":
		a.Path = filepath.Join(filepath.Dir(sessions), "audit.db")
	case !filepath.IsAbs(a.Path):
		a.Path = filepath.Join(dir, a.Path)
	}
	if a.Keys == "" && store != "postgres" {
		a.Keys = filepath.Join(filepath.Dir(a.Path), "audit-keys")
	}
	for _, p := range []*string{&a.Keys, &a.Checkpoints.File, &a.Checkpoints.Dir} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// maxKeep bounds audit.keep: a hundred years.
const maxKeep = 36500

// KeepDays returns for how many days entries are kept; 0 is for ever.
func (a *Audit) KeepDays() (int, error) { return ParseDays(a.Keep) }

// ParseDays reads a number of days as audit.keep has it.
func ParseDays(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(s, "d"))
	if err != nil || !strings.HasSuffix(s, "d") || n < 1 || n > maxKeep {
		return 0, errors.New("must be a number of days from 1d to 36500d, for example 365d")
	}
	return n, nil
}

func (c *Config) checkAudit() error {
	a := &c.Audit
	_, keep := a.KeepDays()
	u, badURL := url.Parse(a.Checkpoints.URL)
	exports := a.Checkpoints.File != "" || a.Checkpoints.Dir != "" || a.Checkpoints.URL != ""
	switch {
	case !slices.Contains([]string{"off", "deny", "all"}, a.Decisions):
		return c.errf("audit.decisions", "must be off, deny or all")
	case a.Required && a.Decisions == "off":
		return c.errf("audit.required", "is about decisions, and audit.decisions is off: say deny or all, or leave it out")
	case keep != nil:
		return c.errf("audit.keep", "%v", keep)
	case a.Checkpoints.Every < time.Second || a.Checkpoints.Every > 24*time.Hour:
		return c.errf("audit.checkpoints.every", "must be from 1s to 24h")
	case a.Checkpoints.Entries < 1 || a.Checkpoints.Entries > 1_000_000:
		return c.errf("audit.checkpoints.entries", "must be from 1 to 1000000")
	case a.Checkpoints.URL != "" && (badURL != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == ""):
		return c.errf("audit.checkpoints.url", "must begin with https:// or http:// and name a host")
	case c.Session.Store == "postgres" && a.Keys == "" && (exports || a.Keep != ""):
		return c.errf("audit.keys", "is empty: with session.store postgres checkpoints and audit.keep need a key file, the same for all gates")
	}
	return nil
}
