package audit

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Statements of every transaction.
const (
	numberRows = `UPDATE audit_head SET number = number + ? WHERE one = 1 RETURNING number, hash`
	moveHead   = `UPDATE audit_head SET hash = ? WHERE one = 1`
	insertRows = `INSERT INTO audit_entries (number, at, action, user_id, user_email, actor_id, actor_email, event, hash) VALUES `
	insertRow  = `(?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// prepare makes statements ready, so that SQLite does not parse them each time.
func (t *Trail) prepare(ctx context.Context) (err error) {
	for query, to := range map[string]**sql.Stmt{numberRows: &t.number, moveHead: &t.move, insertRows + insertRow: &t.insertOne} {
		if *to, err = t.o.DB.PrepareContext(ctx, t.o.Dialect.Bind(query)); err != nil {
			t.unprepare()
			return err
		}
	}
	return nil
}

func (t *Trail) unprepare() {
	for _, s := range []*sql.Stmt{t.number, t.move, t.insertOne} {
		if s != nil {
			_ = s.Close()
		}
	}
}

// write adds the entries of some calls in one transaction. The update of the
// head comes first: its row's lock has gates that share the trail take turns.
func (t *Trail) write(calls []*call) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			// A driver's panic on this goroutine would end the gate.
			err = t.unavailable(fmt.Errorf("panic: %v", p))
		}
	}()
	tx, err := t.o.DB.BeginTx(ctx, nil)
	if err != nil {
		return t.unavailable(err)
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	n := 0
	for _, c := range calls {
		n += len(c.rows)
	}
	var number uint64
	var last []byte
	err = tx.StmtContext(ctx, t.number).QueryRowContext(ctx, n).Scan(&number, &last)
	if err != nil {
		return t.unavailable(err)
	}
	if len(last) != len(Hash{}) {
		return t.unavailable(fmt.Errorf("the head has a hash of %d bytes", len(last)))
	}
	number -= uint64(n)
	hash := Hash(last)
	rows := make([]row, 0, n)
	for _, c := range calls {
		for _, r := range c.rows {
			number++
			r.number, r.hash = number, chain(hash, number, r.event)
			hash = r.hash
			rows = append(rows, r)
		}
	}
	if err := t.insert(ctx, tx, rows); err != nil {
		return t.unavailable(err)
	}
	if _, err = tx.StmtContext(ctx, t.move).ExecContext(ctx, hash[:]); err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return t.unavailable(err)
	}
	t.metrics.written(number, n)
	return nil
}

func (t *Trail) insert(ctx context.Context, tx *sql.Tx, rows []row) error {
	for len(rows) > 0 {
		some := rows[:min(len(rows), perInsert)]
		rows = rows[len(some):]
		args := make([]any, 0, 9*len(some))
		for _, r := range some {
			args = append(args, int64(r.number), r.at, r.action, r.userID, r.userEmail, r.actorID, r.actorEmail, r.event, r.hash[:])
		}
		var err error
		if len(some) == 1 {
			_, err = tx.StmtContext(ctx, t.insertOne).ExecContext(ctx, args...)
		} else {
			query := insertRows + strings.TrimSuffix(strings.Repeat(insertRow+", ", len(some)), ", ")
			_, err = tx.ExecContext(ctx, t.o.Dialect.Bind(query), args...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
