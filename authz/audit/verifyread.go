package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const (
	// pageSize is how many entries one statement reads: less than databases take
	// too long for.
	pageSize = 5_000
	// sharePerWorker is how many entries one core checks before it takes more.
	sharePerWorker = 256
)

// read verifies all entries after v.at, one page while the next is read.
func (v *verifier) read(ctx context.Context, tx *sql.Tx, d Dialect) error {
	ctx, stop := context.WithCancel(ctx)
	pages := make(chan page)
	var reading sync.WaitGroup
	defer reading.Wait() // the transaction is its caller's again
	defer stop()
	reading.Go(func() { readPages(ctx, tx, d, v.at.Number, pages) })
	for p := range pages {
		if p.err != nil {
			return fmt.Errorf("audit trail after entry %d: %w", v.at.Number, d.Tidy(p.err))
		}
		if err := v.page(p.rows); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// page is a part of a trail, or why it cannot be read.
type page struct {
	rows []row
	err  error
}

// readPages sends all entries after a number, until ctx ends.
func readPages(ctx context.Context, tx *sql.Tx, d Dialect, after uint64, pages chan<- page) {
	defer close(pages)
	for {
		rows, err := readPage(ctx, tx, d, after)
		select {
		case pages <- page{rows, err}:
		case <-ctx.Done():
			return
		}
		if err != nil || len(rows) < pageSize {
			return
		}
		after = rows[len(rows)-1].number
	}
}

func readPage(ctx context.Context, tx *sql.Tx, d Dialect, after uint64) ([]row, error) {
	rows, err := tx.QueryContext(ctx, d.Bind(`SELECT `+columns+` FROM audit_entries WHERE number > ? ORDER BY number LIMIT ?`), int64(after), pageSize)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := make([]row, 0, pageSize)
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// page checks entries that follow v.at: each in itself on all cores, then their
// places one after another. The first that is wrong is the one that is named.
func (v *verifier) page(rows []row) error {
	wrong := make([]error, len(rows))
	shares := make(chan int)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for from := range shares {
				for i := from; i < min(from+sharePerWorker, len(rows)); i++ {
					before := v.at.Hash
					if i > 0 {
						before = rows[i-1].hash
					}
					wrong[i] = sound(rows[i], before)
				}
			}
		})
	}
	for from := 0; from < len(rows); from += sharePerWorker {
		shares <- from
	}
	close(shares)
	all.Wait()
	for i, r := range rows {
		if want := v.at.Number + 1; r.number != want {
			return tampered(want, "entries %d to %d were removed", want, r.number-1)
		}
		if wrong[i] != nil {
			return wrong[i]
		}
		if err := v.next(r.number, r.hash); err != nil {
			return err
		}
	}
	return nil
}

// kept are the checkpoints in the trail's own database. Whoever can change
// entries can take these out too, so they prove only what they contradict.
type kept struct {
	known   []Checkpoint
	unknown int
}

func readOwn(ctx context.Context, tx *sql.Tx, d Dialect, keys note.Verifiers) (k kept, err error) {
	if keys == nil {
		return k, nil
	}
	failed := func(err error) error { return fmt.Errorf("audit trail's checkpoints: %w", d.Tidy(err)) }
	rows, err := tx.QueryContext(ctx, `SELECT number, note FROM audit_checkpoints ORDER BY number`)
	if err != nil {
		return k, failed(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var number uint64
		var signed []byte
		if err := rows.Scan(&number, &signed); err != nil {
			return k, failed(err)
		}
		c, err := ParseCheckpoint(signed, keys)
		switch {
		case errors.Is(err, ErrUnknownKey):
			k.unknown++
		case err != nil:
			return k, tampered(number, "the checkpoint of entry %d is not as it was signed: %v", number, err)
		case c.Number != number:
			return k, tampered(number, "the checkpoint of entry %d is one of entry %d", number, c.Number)
		default:
			k.known = append(k.known, c)
		}
	}
	if err := rows.Err(); err != nil {
		return k, failed(err)
	}
	return k, nil
}

// readStart returns where the trail begins. It begins after its first entry only
// if a seal says so of a day that was to be kept no longer: else entries are
// missing.
func readStart(ctx context.Context, tx *sql.Tx, d Dialect, own kept, want Expected) (Head, error) {
	start, err := scanHead(tx.QueryRowContext(ctx, `SELECT number, hash FROM audit_start WHERE one = 1`))
	if err != nil {
		return Head{}, fmt.Errorf("audit trail's start: %w", d.Tidy(err))
	}
	if start == (Head{}) {
		return start, nil
	}
	missing := func(why string) error {
		return tampered(1, "entries 1 to %d are missing, and %s", start.Number, why)
	}
	if want.Keys == nil {
		return start, missing("no key was given by which retention could prove that it took them out")
	}
	for _, c := range own.known {
		if c.Head != start || c.Day == "" {
			continue
		}
		if end, err := dayEnd(c.Day); err != nil || end.After(want.KeptFrom) {
			return start, missing("the day that ends with them, " + c.Day + ", is to be kept still")
		}
		return start, nil
	}
	return start, missing("no sealed day ends with them")
}

// dayEnd is the first instant after a UTC day.
func dayEnd(day string) (time.Time, error) {
	t, err := time.Parse(dayForm, day)
	return t.AddDate(0, 0, 1), err
}
