package sqlstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/neosc/gate/session/sqlstore"
)

func TestADeferredDatabaseSyncsItsJournalAlsoWhenThatIsAnother(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deferred.db")
	db, err := sqlstore.OpenDeferred(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`CREATE TABLE x (n INTEGER)`); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := db.Exec(`INSERT INTO x VALUES (1)`); err != nil {
			t.Fatal(err)
		}
		if err := db.Sync(); err != nil {
			t.Fatal(err)
		}
		// All connections close, and with them the journal ends.
		db.SetMaxIdleConns(0)
		if _, err := os.Stat(path + "-wal"); !os.IsNotExist(err) {
			t.Fatalf("the journal is still there (error %v)", err)
		}
		if err := db.Sync(); err == nil {
			t.Error("a journal that is not there was synced")
		}
		db.SetMaxIdleConns(2)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Sync(); err == nil {
		t.Error("a closed database was synced")
	}
	again, err := sqlstore.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	var n int
	if err := again.QueryRow(`SELECT count(*) FROM x`).Scan(&n); err != nil || n != 3 {
		t.Errorf("%d rows (error %v), want 3", n, err)
	}
}
