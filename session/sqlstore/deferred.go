package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Deferred is a SQLite database whose commits are on disk once Sync has
// returned, and not before: so one wait for the disk serves several of them, and
// the next is made meanwhile. What a power cut takes away is the last commits and
// no part of one. For a writer that tells nobody of a commit before.
type Deferred struct {
	*sql.DB
	wal string

	mu     sync.Mutex
	file   *os.File
	opened os.FileInfo
	failed error
}

const journalSize = 4200 * 4120

// OpenDeferred is OpenSQLite with deferred commits.
func OpenDeferred(ctx context.Context, path string, more ...SQLiteOption) (*Deferred, error) {
	// Indexes of many entries are written all over: with 16 MiB of pages few have to
	// be read for that, and with four times the usual journal fewer are written twice.
	db, err := openSQLite(ctx, path, more, "synchronous(NORMAL)", "cache_size(-16384)", "wal_autocheckpoint(4000)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(sqliteConns + 1) // its writer keeps one
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	d := &Deferred{DB: db, wal: real + "-wal"}
	if err := d.reserve(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("database %s: its journal: %w", path, err)
	}
	return d, nil
}

// reserve fills the journal up to its full length with zeros, which SQLite takes for its
// end. A file that grows, or whose blocks are filled for the first time, costs each
// fdatasync a commit of the file system's own journal, three times of what it is to write
// over what is there. With the write lock held nobody else writes to the journal.
func (d *Deferred) reserve(ctx context.Context) (err error) {
	c, err := d.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	tx, err := c.BeginTx(ctx, nil) // immediate
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	f, err := os.OpenFile(d.wal, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := st.Size(); at < journalSize; {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), journalSize-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return fdatasync(f)
}

// Sync returns once all that was committed before is on disk. Where the disk has
// failed once it fails for ever: the system takes pages that it could not write for
// written, so that a later success would say nothing of them, and what was added
// behind them would be lost with them.
//
// What SQLite itself writes back to the database it has synced before.
func (d *Deferred) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil {
		return d.failed
	}
	now, err := os.Stat(d.wal)
	if err != nil {
		return fmt.Errorf("the database's journal: %w", err)
	}
	// SQLite makes a new journal when the last connection was closed.
	if d.file == nil || !os.SameFile(now, d.opened) {
		if d.file != nil {
			_ = d.file.Close()
		}
		if d.file, err = os.Open(d.wal); err != nil {
			return fmt.Errorf("the database's journal: %w", err)
		}
		if d.opened, err = d.file.Stat(); err != nil {
			return fmt.Errorf("the database's journal: %w", err)
		}
	}
	if err := fdatasync(d.file); err != nil {
		d.failed = fmt.Errorf("the database's journal: %w", err)
	}
	return d.failed
}

// Close closes the database, which syncs it.
func (d *Deferred) Close() error {
	err := d.DB.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == nil {
		d.failed = errors.New("the database is closed")
	}
	if d.file != nil {
		err = errors.Join(err, d.file.Close())
		d.file = nil
	}
	return err
}
