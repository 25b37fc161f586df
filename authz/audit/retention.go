package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/neosc/gate/session"
)

// pruneAtOnce is how many entries one transaction takes out: who adds entries
// waits for it.
const pruneAtOnce = 5000

// sealDays signs the last entry from before this UTC day, so that all before it
// can be taken out as a whole and what follows still be verified.
func (n *Notary) sealDays(ctx context.Context) error {
	now := n.o.Clock().UTC()
	midnight := now.Truncate(24 * time.Hour)
	yesterday := midnight.AddDate(0, 0, -1).Format(dayForm)
	if n.sealed == yesterday {
		return nil
	}
	first, err := n.firstOf(ctx, midnight)
	if err != nil {
		return n.fails("sealing a day", err)
	}
	if err := n.follow(ctx); err != nil {
		return err
	}
	last := n.sure.Number
	if first > 0 {
		last = first - 1
	}
	end, err := scanHead(n.o.DB.QueryRowContext(ctx, n.o.Dialect.Bind(`SELECT number, hash FROM audit_entries WHERE number = ?`), int64(last)))
	switch {
	case errors.Is(err, sql.ErrNoRows): // all before it was taken out, or it is the first
		n.sealed = yesterday
		return nil
	case err != nil:
		return n.fails("sealing a day", err)
	}
	if err := n.keep(ctx, Checkpoint{Head: end, At: now, Day: yesterday}); err != nil {
		return err
	}
	n.sealed = yesterday
	return n.thin(ctx, end.Number)
}

// firstOf returns the number of the first entry of an instant or later, 0 if
// there is none.
func (n *Notary) firstOf(ctx context.Context, at time.Time) (uint64, error) {
	from, err := bisect(ctx, n.o.DB, n.o.Dialect, at.Add(-2*skew))
	if err != nil {
		return 0, err
	}
	var first int64
	err = n.o.DB.QueryRowContext(ctx, n.o.Dialect.Bind(`SELECT number FROM audit_entries WHERE number >= ? AND at >= ? ORDER BY number LIMIT 1`), int64(from), at.UnixMicro()).Scan(&first)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return uint64(first), err
}

// thin takes out the checkpoints up to a seal, but for seals: they have left
// the database, and the seal proves as much of what is in it.
func (n *Notary) thin(ctx context.Context, seal uint64) error {
	query := `DELETE FROM audit_checkpoints WHERE day = '' AND number < ?`
	if len(n.o.Sinks) > 0 {
		query += ` AND exported = 1`
	}
	if _, err := n.o.DB.ExecContext(ctx, n.o.Dialect.Bind(query), int64(seal)); err != nil {
		return n.fails("thinning checkpoints", err)
	}
	return nil
}

// prune takes out the days that were kept long enough.
func (n *Notary) prune(ctx context.Context) error {
	if n.o.Keep <= 0 {
		return nil
	}
	start, err := scanHead(n.o.DB.QueryRowContext(ctx, `SELECT number, hash FROM audit_start WHERE one = 1`))
	if err != nil {
		return n.fails("reading its start", err)
	}
	seal, err := n.due(ctx, start.Number)
	if err != nil {
		return err
	}
	if seal.Number > start.Number {
		if err := n.moveStart(ctx, start, seal); err != nil {
			return err
		}
		start = seal.Head
	}
	return n.removeTo(ctx, start.Number)
}

// due returns the last seal of a day whose time is over, if it is one of ours
// and the entry is the one that was sealed. Where checkpoints are exported it has
// left before: nothing else proves the days that are taken out with it.
func (n *Notary) due(ctx context.Context, after uint64) (Checkpoint, error) {
	lastDay := KeptFrom(n.o.Clock(), n.o.Keep).AddDate(0, 0, -1).Format(dayForm)
	exported := 0
	if len(n.o.Sinks) > 0 {
		exported = 1
	}
	var signed, hash []byte
	err := n.o.DB.QueryRowContext(ctx, n.o.Dialect.Bind(`SELECT note, hash FROM audit_checkpoints JOIN audit_entries ON audit_entries.number = audit_checkpoints.number
		WHERE day <> '' AND day <= ? AND audit_checkpoints.number > ? AND exported >= ? ORDER BY day DESC LIMIT 1`), lastDay, int64(after), exported).Scan(&signed, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return Checkpoint{}, nil
	}
	if err != nil {
		return Checkpoint{}, n.fails("looking for days to take out", err)
	}
	c, err := ParseCheckpoint(signed, n.o.Keys.Verifiers())
	switch {
	case errors.Is(err, ErrUnknownKey):
		return Checkpoint{}, nil // whoever has that key takes it out
	case err != nil:
		return Checkpoint{}, fmt.Errorf("audit trail: the seal of a day: %w", err)
	case len(hash) != len(c.Hash) || Hash(hash) != c.Hash || c.Day == "" || c.Day > lastDay:
		return Checkpoint{}, tampered(c.Number, "entry %d is not the one that sealed %s", c.Number, c.Day)
	}
	return c, nil
}

// moveStart has the trail begin after a seal, and tells so in the trail before.
func (n *Notary) moveStart(ctx context.Context, from Head, to Checkpoint) error {
	err := n.o.Trail.Append(ctx, session.Event{
		Action: session.ActionAuditPruned, Outcome: session.OutcomeSuccess, Time: n.o.Clock(),
		Details: map[string]string{"first": fmt.Sprint(from.Number + 1), "last": fmt.Sprint(to.Number), "until": to.Day},
	})
	if err != nil {
		return err
	}
	_, err = n.o.DB.ExecContext(ctx, n.o.Dialect.Bind(`UPDATE audit_start SET number = ?, hash = ? WHERE one = 1 AND number < ?`), int64(to.Number), to.Hash[:], int64(to.Number))
	if err != nil {
		return n.fails("taking out old days", err)
	}
	n.o.Logger.Info("days of the audit trail are over", "until", to.Day, "first", from.Number+1, "last", to.Number)
	return nil
}

// removeTo takes out the entries and the checkpoints before the start, also what
// another time did not come to. The seal at the start itself stays: it is what
// proves it.
func (n *Notary) removeTo(ctx context.Context, last uint64) error {
	for last > 0 {
		gone, err := n.remove(ctx, last)
		if err != nil {
			return n.fails("taking out old days", err)
		}
		n.metrics.pruned.Add(float64(gone))
		if gone < pruneAtOnce {
			break
		}
	}
	if _, err := n.o.DB.ExecContext(ctx, n.o.Dialect.Bind(`DELETE FROM audit_checkpoints WHERE number < ?`), int64(last)); err != nil {
		return n.fails("taking out old checkpoints", err)
	}
	return nil
}

// remove takes out some of the first entries, with what they are found by.
func (n *Notary) remove(ctx context.Context, last uint64) (int64, error) {
	tx, err := n.o.DB.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	var to sql.NullInt64
	err = tx.QueryRowContext(ctx, n.o.Dialect.Bind(`SELECT MAX(number) FROM (SELECT number FROM audit_entries WHERE number <= ? ORDER BY number LIMIT ?) AS first`), int64(last), pruneAtOnce).Scan(&to)
	if err != nil || !to.Valid {
		return 0, err
	}
	for _, who := range []string{`'u' || user_id`, `'u' || actor_id`, `'e' || user_email`, `'e' || actor_email`, `'a' || action`} {
		if _, err := tx.ExecContext(ctx, n.o.Dialect.Bind(`DELETE FROM audit_finds WHERE (who, number) IN (SELECT `+who+`, number FROM audit_entries WHERE number <= ?)`), to.Int64); err != nil {
			return 0, err
		}
	}
	if _, err := tx.ExecContext(ctx, n.o.Dialect.Bind(`DELETE FROM audit_once WHERE number <= ?`), to.Int64); err != nil {
		return 0, err
	}
	done, err := tx.ExecContext(ctx, n.o.Dialect.Bind(`DELETE FROM audit_entries WHERE number <= ?`), to.Int64)
	if err != nil {
		return 0, err
	}
	gone, err := done.RowsAffected()
	if err != nil {
		return 0, err
	}
	return gone, tx.Commit()
}

// KeptFrom is the first UTC day, as its first instant, of which nothing is taken
// out yet at now where days are kept so long; the zero time if for ever.
func KeptFrom(now time.Time, keep time.Duration) time.Time {
	if keep <= 0 {
		return time.Time{}
	}
	return now.UTC().Add(-keep).Truncate(24 * time.Hour)
}
