package switches_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

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
	hearing(t, gates)
}

// hearing has one gate turn a switch, and the other hear of it by itself.
func hearing(t *testing.T, gates []session.SwitchStore) {
	t.Helper()
	keepers := make([]*switches.Keeper, len(gates))
	for i, st := range gates {
		k, err := switches.New(switches.Options{Logger: slog.New(slog.DiscardHandler), Every: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var revision string
		data := map[string]any{"neosc": map[string]any{
			"switches":    map[string]any{"mfa": false},
			"switch_info": map[string]any{"mfa": map[string]any{"type": "boolean", "title": "MFA"}},
		}}
		activate := func() error {
			mu.Lock()
			defer mu.Unlock()
			_, r, err := k.Fold(data, "r")
			if err == nil {
				revision = r
			}
			return err
		}
		active := func() (string, uint64) {
			mu.Lock()
			defer mu.Unlock()
			return revision, 1
		}
		if err := errors.Join(activate(), k.Open(t.Context(), switches.Backing{Store: st, Activate: activate, Active: active})); err != nil {
			t.Fatal(err)
		}
		go k.Run(t.Context())
		keepers[i] = k
	}
	on := session.BooleanValue(true)
	if _, err := keepers[0].SetSwitch(t.Context(), "mfa", &on, 0); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, "the other gate has heard of it", func() bool {
		all, err := keepers[1].Switches(t.Context())
		return err == nil && all.Switches[0].Value == on
	})
	if _, err := keepers[1].SetSwitch(t.Context(), "mfa", nil, 0); !errors.Is(err, session.ErrSwitchChanged) {
		t.Errorf("whoever has not seen the change: %v", err)
	}
	if _, err := keepers[1].SetSwitch(t.Context(), "mfa", nil, 1); err != nil {
		t.Error(err)
	}
}
