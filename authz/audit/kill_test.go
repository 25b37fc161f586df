package audit_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
)

// killedWriter names the database in the process that is to be killed.
const killedWriter = "AUDIT_TEST_KILLED_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(killedWriter); path != "" {
		if err := writeUntilKilled(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// manyEvents is what the writer would add if it were left alone.
const manyEvents = 10_000

// writeUntilKilled says of each event that it is kept, in one write each: what
// was said has left the process. The lines are long so that a pipe of 64 KiB holds few
// of them: else the writer could be done before its reader, who kills it, is half-way.
func writeUntilKilled(path string) error {
	db, err := sqlstore.OpenDeferred(context.Background(), path)
	if err != nil {
		return err
	}
	tr, err := audit.New(context.Background(), audit.Options{DB: db.DB, Dialect: sqlstore.SQLite(), Sync: db.Sync, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for n := next.Add(1); n <= manyEvents; n = next.Add(1) {
				if tr.Append(context.Background(), event("ana", int(n))) == nil {
					fmt.Fprintf(os.Stdout, "%255d\n", n)
				}
			}
		})
	}
	all.Wait()
	return nil
}

// What was acknowledged outlives kill -9 in the midst of many writers.
func TestEveryAcknowledgedEventOutlivesKill9(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.db")
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), killedWriter+"="+path)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]bool{}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line without an end was not said
		}
		acknowledged[strings.TrimSpace(line)] = true
		if len(acknowledged) == manyEvents/2 {
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = c.Wait() // it was killed
	if n := len(acknowledged); n < manyEvents/2 || n == manyEvents {
		t.Fatalf("%d events were acknowledged before the kill", n)
	}
	db, err := sqlstore.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	p := place{db: db, d: sqlstore.SQLite()}
	tr, q := p.open(t, nil), session.AuditQuery{Limit: 1000}
	for {
		page, err := tr.Entries(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			delete(acknowledged, e.Details["n"])
		}
		if len(page) < q.Limit {
			break
		}
		q.Before = page[len(page)-1].Number
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged events are gone", len(acknowledged))
	}
	if _, err := verify(t, p, audit.Head{}); err != nil {
		t.Error(err)
	}
}
