package switches_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/neosc/gate/authz/switches"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
	"github.com/neosc/gate/session/storetest"
)

func TestSwitchesInSQLite(t *testing.T) {
	t.Parallel()
	db, err := sqlstore.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "gate.db"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := switches.NewSQL(t.Context(), db, sqlstore.SQLite())
	if err != nil {
		t.Fatal(err)
	}
	storetest.Switches(t, st, st)
	if _, err := db.Exec(`UPDATE policy_switches SET value = 'maybe' WHERE name = 'hours'`); err != nil {
		t.Fatal(err)
	}
	_, err = st.LoadSwitches(t.Context())
	storetest.WantErr(t, err, session.ErrUnavailable)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.WantErr(t, st.PutSwitch(t.Context(), session.StoredSwitch{Name: "x", Version: 1}), session.ErrUnavailable)
}

func TestSwitchesInPostgresAreTheSameOnEveryGate(t *testing.T) {
	t.Parallel()
	s, err := pgtest.New("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var gates []session.SwitchStore
	for range 2 {
		st, err := sqlstore.OpenPostgres(context.Background(), sqlstore.PostgresOptions{URL: s.URL, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		kept, err := switches.NewSQL(t.Context(), st.DB(), sqlstore.Postgres())
		if err != nil {
			t.Fatal(err)
		}
		gates = append(gates, kept)
	}
	storetest.Switches(t, gates...)
}
