package config

import "path/filepath"

// Audit is where the audit trail is kept. With session.store postgres it is
// there, and this is not looked at.
type Audit struct {
	// Path is a SQLite file of its own; empty means audit.db beside
	// session.path.
	Path string `yaml:"path"`
}

// complete makes the path absolute; session.path is already.
func (a *Audit) complete(dir, sessions string) {
	switch {
	case a.Path == "" && sessions == "":
		a.Path = filepath.Join(dir, "audit.db")
	case a.Path == "":
		a.Path = filepath.Join(filepath.Dir(sessions), "audit.db")
	case !filepath.IsAbs(a.Path):
		a.Path = filepath.Join(dir, a.Path)
	}
}
