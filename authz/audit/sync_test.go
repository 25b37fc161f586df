package audit_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
)

// deferred opens a trail whose entries are on disk once sync has returned.
func deferred(t *testing.T, sync func(db *sqlstore.Deferred) error) (*sqlstore.Deferred, *audit.Trail) {
	t.Helper()
	db, err := sqlstore.OpenDeferred(t.Context(), filepath.Join(t.TempDir(), "audit.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tr, err := audit.New(t.Context(), audit.Options{DB: db.DB, Dialect: sqlstore.SQLite(), Logger: slog.New(slog.DiscardHandler), Sync: func() error { return sync(db) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return db, tr
}

// count is how many entries the database has.
func count(t *testing.T, db *sqlstore.Deferred) (n int64) {
	t.Helper()
	if err := db.QueryRow(`SELECT count(*) FROM audit_entries`).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

func TestNobodyIsAnsweredBeforeTheirEntryIsSynced(t *testing.T) {
	t.Parallel()
	var synced atomic.Int64
	var turn sync.Mutex
	db, tr := deferred(t, func(db *sqlstore.Deferred) error {
		turn.Lock()
		defer turn.Unlock()
		n := count(t, db) // at least these are on disk afterwards
		if err := db.Sync(); err != nil {
			return err
		}
		synced.Store(n)
		return nil
	})
	var answered atomic.Int64
	var all sync.WaitGroup
	const writers, each = 48, 20
	for range writers {
		all.Go(func() {
			for i := range each {
				if err := tr.Append(context.Background(), event("ana", i)); err != nil {
					t.Error(err)
				}
				if n := answered.Add(1); n > synced.Load() {
					t.Errorf("%d are answered and %d on disk", n, synced.Load())
				}
			}
		})
	}
	all.Wait()
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	if n := count(t, db); n != writers*each {
		t.Errorf("%d entries, want %d", n, writers*each)
	}
}

func TestAnEntryThatCannotBeSyncedIsNotKept(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is broken")
	_, tr := deferred(t, func(*sqlstore.Deferred) error { return broken })
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if err := tr.Append(context.Background(), event("ana", 1)); !errors.Is(err, session.ErrUnavailable) || !errors.Is(err, broken) {
				t.Errorf("error %v", err)
			}
		})
	}
	all.Wait()
}

// A checkpoint that has left and an entry that a power cut took back would look like
// a trail that was cut off.
func TestNoCheckpointLeavesBeforeItsEntriesAreSynced(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	db, tr := deferred(t, func(db *sqlstore.Deferred) error {
		if broken.Load() {
			return errors.New("the disk is broken")
		}
		return db.Sync()
	})
	keys, err := audit.OpenKeys(filepath.Join(t.TempDir(), "keys"), "audit.test")
	if err != nil {
		t.Fatal(err)
	}
	notes := filepath.Join(t.TempDir(), "notes")
	n, err := audit.NewNotary(audit.NotaryOptions{DB: db.DB, Dialect: sqlstore.SQLite(), Trail: tr, Keys: keys, Sinks: []audit.Sink{audit.DirSink(notes)}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Append(t.Context(), event("ana", 1)); err != nil {
		t.Fatal(err)
	}
	left := func() int {
		all, err := filepath.Glob(filepath.Join(notes, "*.note"))
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	broken.Store(true)
	if err := n.Round(t.Context()); !errors.Is(err, session.ErrUnavailable) || left() != 0 {
		t.Errorf("error %v, and %d checkpoints have left", err, left())
	}
	broken.Store(false)
	if err := n.Round(t.Context()); err != nil || left() != 1 {
		t.Errorf("error %v, and %d checkpoints have left, want 1", err, left())
	}
}
