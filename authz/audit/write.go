package audit

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Statements of every transaction.
const (
	// moveKnown moves the head if it is where the trail left it, which is so unless
	// another gate has written since.
	moveKnown  = `UPDATE audit_head SET number = ?, hash = ? WHERE one = 1 AND number = ? AND hash = ?`
	lockHead   = `UPDATE audit_head SET number = number WHERE one = 1 RETURNING number, hash`
	moveHead   = `UPDATE audit_head SET number = ?, hash = ? WHERE one = 1`
	insertRows = `INSERT INTO audit_entries (number, at, action, user_id, user_email, actor_id, actor_email, event, hash) VALUES `
	noteOnce   = `INSERT INTO audit_once (name, number) VALUES (?, ?) ON CONFLICT DO NOTHING`
	insertRow  = `(?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// perInsert is how many entries one statement adds at most, a power of two: nine
// parameters each, of which every database takes a few thousand.
const perInsert = 128

// statements are made ready once, so that SQLite does not parse them each time.
type statements struct {
	// own is the connection that all are of, where the database is in this process;
	// nil for those of the pool.
	own                         *ownConn
	moveKnown, lock, move, once *sql.Stmt
	// insert[i] adds 1<<i entries. A database in this process gets them one by
	// one: it has no way to save, and keeps a journal for a statement that may
	// fail half-way.
	insert []*sql.Stmt
}

func (t *Trail) prepare(ctx context.Context) error {
	s := &t.statements
	most := perInsert
	ready := func(query string) (*sql.Stmt, error) { return t.o.DB.PrepareContext(ctx, t.o.Dialect.Bind(query)) }
	if t.o.Dialect.InProcess() {
		own, err := newOwnConn(ctx, t.o.DB)
		if err != nil {
			return err
		}
		most, s.own = 1, own
		ready = func(query string) (*sql.Stmt, error) { return own.conn.PrepareContext(ctx, t.o.Dialect.Bind(query)) }
	}
	for to, query := range map[**sql.Stmt]string{&s.moveKnown: moveKnown, &s.lock: lockHead, &s.move: moveHead, &s.once: noteOnce} {
		var err error
		if *to, err = ready(query); err != nil {
			t.unprepare()
			return err
		}
	}
	for n := 1; n <= most; n *= 2 {
		one, err := ready(insertRows + strings.TrimSuffix(strings.Repeat(insertRow+", ", n), ", "))
		if err != nil {
			t.unprepare()
			return err
		}
		s.insert = append(s.insert, one)
	}
	return nil
}

func (t *Trail) unprepare() {
	for _, s := range append(t.statements.insert, t.statements.moveKnown, t.statements.lock, t.statements.move, t.statements.once) {
		if s != nil {
			_ = s.Close()
		}
	}
	if t.statements.own != nil {
		_ = t.statements.own.close()
	}
}

// write adds the entries of some calls in one transaction. The update of the
// head comes first: its row's lock has gates that share the trail take turns.
func (t *Trail) write(calls []*call) (err error) {
	ctx, cancel := t.bounded()
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			// A driver's panic on this goroutine would end the gate.
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			t.head = nil // who knows how far it came
			err = t.unavailable(err)
		}
	}()
	var rows []row
	for _, c := range calls {
		rows = append(rows, c.rows...)
	}
	if slices.ContainsFunc(rows, func(r row) bool { return r.once != "" }) {
		t.head = nil // how many are new is known only behind the head's lock
	}
	var end Head
	if t.head != nil {
		end = number(*t.head, rows)
	}
	tx, err := t.begin(ctx)
	if err != nil {
		return err
	}
	defer tx.undo()
	moved := false
	if t.head != nil {
		if moved, err = t.move(ctx, tx, *t.head, end); err != nil {
			return err
		}
	}
	if !moved {
		was, err := scanHead(tx.row(ctx, t.statements.lock))
		if err != nil {
			return err
		}
		if rows, err = t.fresh(ctx, tx, was, rows); err != nil {
			return err
		}
		end = number(was, rows)
		if _, err := tx.exec(ctx, t.statements.move, int64(end.Number), end.Hash[:]); err != nil {
			return err
		}
	}
	if err := t.insert(ctx, tx, rows); err != nil {
		return err
	}
	if err := tx.commit(ctx); err != nil {
		return err
	}
	t.head, t.last, t.wrote = &end, end.Number, time.Now()
	t.tail.add(rows)
	t.metrics.written(end.Number, len(rows))
	if t.findsDue(end.Number) {
		t.wakeFinds()
	}
	return nil
}

// fresh leaves out the events that come to pass once and are in the trail, and
// notes those that are not. It is called with the head's lock.
func (t *Trail) fresh(ctx context.Context, tx transaction, was Head, rows []row) ([]row, error) {
	out := rows[:0]
	for _, r := range rows {
		if r.once != "" {
			done, err := tx.exec(ctx, t.statements.once, r.once, int64(was.Number)+int64(len(out))+1)
			if err != nil {
				return nil, err
			}
			if n, err := done.RowsAffected(); err != nil || n == 0 {
				if err != nil {
					return nil, err
				}
				continue
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// bounded is the context of a transaction. One in this process waits for nobody
// but another writer, which its database bounds; that a context can end would cost
// it a goroutine for each statement.
func (t *Trail) bounded() (context.Context, context.CancelFunc) {
	if t.o.Dialect.InProcess() {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), writeTimeout)
}

// number gives rows their places behind a head, and returns the one that they
// make.
func number(h Head, rows []row) Head {
	for i := range rows {
		h.Number++
		h.Hash = chain(h.Hash, h.Number, rows[i].event)
		rows[i].number, rows[i].hash = h.Number, h.Hash
	}
	return h
}

// move reports whether the head was where it was left, and now is at its end.
func (t *Trail) move(ctx context.Context, tx transaction, from, to Head) (bool, error) {
	done, err := tx.exec(ctx, t.statements.moveKnown, int64(to.Number), to.Hash[:], int64(from.Number), from.Hash[:])
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n == 1, err
}

func (t *Trail) insert(ctx context.Context, tx transaction, rows []row) error {
	args := make([]any, 0, 9*min(len(rows), perInsert))
	for i := len(t.statements.insert) - 1; i >= 0; i-- {
		n := 1 << i
		if len(rows) < n {
			continue
		}
		s := t.statements.insert[i]
		for len(rows) >= n {
			args = args[:0]
			for _, r := range rows[:n] {
				args = append(args, int64(r.number), r.at, r.action, r.userID, r.userEmail, r.actorID, r.actorEmail, r.event, r.hash[:])
			}
			rows = rows[n:]
			if _, err := tx.exec(ctx, s, args...); err != nil {
				return err
			}
		}
	}
	return nil
}
