package config_test

import (
	"strings"
	"testing"

	"github.com/neosc/gate/cmd/gate/internal/config"
)

func TestPostgresURLComesFromTheFileOrTheEnvironment(t *testing.T) {
	t.Parallel()
	const inFile = least + "session: {store: postgres, postgres: 'postgres://file/db'}\n"
	for name, tc := range map[string]struct {
		yaml string
		env  []string
		want string
	}{
		"File":                {inFile, nil, "postgres://file/db"},
		"Environment":         {inFile, []string{"DATABASE_URL=postgresql://env/db"}, "postgresql://env/db"},
		"EmptyIsNone":         {inFile, []string{"DATABASE_URL="}, "postgres://file/db"},
		"OwnVariable":         {inFile, []string{"GATE_SESSION_POSTGRES=postgres://own/db", "DATABASE_URL=postgres://env/db"}, "postgres://own/db"},
		"OnlyTheServiceKnows": {least + "session: {store: postgres}\n", nil, ""},
		"NotAsked":            {least, []string{"DATABASE_URL=anything"}, "anything"},
	} {
		c, err := config.Parse("gate.yaml", []byte(tc.yaml), tc.env)
		if err != nil || c.Session.Postgres != tc.want {
			t.Errorf("%s: %+v, error %v; want %s", name, c, err, tc.want)
		}
	}
}

func TestWrongPostgresURLIsNamedAndNotShown(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://u:hidden@h:port": "session.postgres (or DATABASE_URL)", "mysql://u:hidden@h": "session.postgres (or DATABASE_URL)",
	} {
		_, err := config.Parse("gate.yaml", []byte(least+"session: {store: postgres, postgres: '"+url+"'}\n"), nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: error %v, want one that says %q", url, err, want)
		}
	}
}
