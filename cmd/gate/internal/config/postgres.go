package config

import (
	"strings"

	"github.com/neosc/gate/session/sqlstore"
)

// postgresVariable overrides session.postgres; GATE_SESSION_POSTGRES goes
// before it.
const postgresVariable = "DATABASE_URL"

func overridePostgres(c *Config, environ []string) {
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, postgresVariable+"="); ok && v != "" {
			c.Session.Postgres = v
		}
	}
}

// checkPostgres never shows the URL: it may hold a password. An empty one is not
// refused before the database is opened: operators' commands read the same
// file, without the variable that the service has.
func (c *Config) checkPostgres() error {
	if c.Session.Store != "postgres" || c.Session.Postgres == "" {
		return nil
	}
	if err := sqlstore.CheckPostgresURL(c.Session.Postgres); err != nil {
		return c.errf("session.postgres", "(or %s) is wrong: %v", postgresVariable, err)
	}
	return nil
}
