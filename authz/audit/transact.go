package audit

import (
	"context"
	"database/sql"
	"errors"
)

// transaction is one at a time of the trail's own.
type transaction interface {
	exec(ctx context.Context, s *sql.Stmt, args ...any) (sql.Result, error)
	row(ctx context.Context, s *sql.Stmt) *sql.Row
	commit(ctx context.Context) error
	// undo takes back what was not committed, and does nothing after that.
	undo()
}

// begin begins a transaction in which entries are added.
func (t *Trail) begin(ctx context.Context) (transaction, error) {
	if c := t.statements.own; c != nil {
		return c.begin(ctx)
	}
	tx, err := t.o.DB.BeginTx(ctx, nil)
	return pooled{tx}, err
}

// pooled is a transaction on any connection.
type pooled struct{ tx *sql.Tx }

func (p pooled) exec(ctx context.Context, s *sql.Stmt, args ...any) (sql.Result, error) {
	return p.tx.StmtContext(ctx, s).ExecContext(ctx, args...)
}

func (p pooled) row(ctx context.Context, s *sql.Stmt) *sql.Row {
	return p.tx.StmtContext(ctx, s).QueryRowContext(ctx)
}

func (p pooled) commit(context.Context) error { return p.tx.Commit() }

func (p pooled) undo() { _ = p.tx.Rollback() } // nothing, once it is committed

// ownConn is a connection of the writer's own, whose transactions begin and end by
// statements that are ready too. database/sql has a goroutine watch each of its
// transactions, and the driver parses BEGIN and COMMIT each time: that is a quarter
// of what an entry costs besides the wait for the disk.
type ownConn struct {
	conn                            *sql.Conn
	beginning, committing, rollback *sql.Stmt
	open                            bool
}

// newOwnConn takes a connection out of the pool.
func newOwnConn(ctx context.Context, db *sql.DB) (*ownConn, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	c := &ownConn{conn: conn}
	for to, query := range map[**sql.Stmt]string{&c.beginning: `BEGIN IMMEDIATE`, &c.committing: `COMMIT`, &c.rollback: `ROLLBACK`} {
		if *to, err = conn.PrepareContext(ctx, query); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

func (c *ownConn) close() error {
	for _, s := range []*sql.Stmt{c.beginning, c.committing, c.rollback} {
		if s != nil {
			_ = s.Close()
		}
	}
	return c.conn.Close()
}

func (c *ownConn) begin(ctx context.Context) (transaction, error) {
	c.undo() // what a driver's panic may have left
	if _, err := c.beginning.ExecContext(ctx); err != nil {
		return nil, err
	}
	c.open = true
	return c, nil
}

func (c *ownConn) exec(ctx context.Context, s *sql.Stmt, args ...any) (sql.Result, error) {
	return s.ExecContext(ctx, args...)
}

func (c *ownConn) row(ctx context.Context, s *sql.Stmt) *sql.Row { return s.QueryRowContext(ctx) }

func (c *ownConn) commit(ctx context.Context) error {
	_, err := c.committing.ExecContext(ctx)
	c.open = err != nil
	return err
}

func (c *ownConn) undo() {
	if !c.open {
		return
	}
	// Some errors, such as a full disk, have SQLite roll back by itself; then this is
	// one too.
	_, _ = c.rollback.ExecContext(context.Background())
	c.open = false
}
