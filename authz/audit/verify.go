package audit

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/neosc/gate/session"
)

// Head is where a trail ends: kept elsewhere, it proves later that nothing of
// what was there then was changed or cut off.
type Head struct {
	// Number is that of the last entry, 0 of an empty trail.
	Number uint64 `json:"number"`
	Hash   Hash   `json:"-"`
}

// String returns the head as ParseHead reads it: "number:hash".
func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Number, hex.EncodeToString(h.Hash[:])) }

// ParseHead reads what Head.String wrote.
func ParseHead(s string) (Head, error) {
	var h Head
	number, hash, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(number, 10, 63)
	b, err2 := hex.DecodeString(hash)
	if !ok || errors.Join(err, err2) != nil || len(b) != len(h.Hash) {
		return Head{}, fmt.Errorf("%q is not the end of a trail: want a number, a colon and %d hex digits, as gate audit verify prints them", clip(s, maxName), 2*len(h.Hash))
	}
	return Head{n, Hash(b)}, nil
}

// TamperedError says what in a trail is not as it was written.
type TamperedError struct {
	// Number is the first entry that is wrong or missing.
	Number uint64
	What   string
}

// Error implements error.
func (e *TamperedError) Error() string { return e.What }

func tampered(number uint64, format string, args ...any) error {
	return &TamperedError{number, fmt.Sprintf(format, args...)}
}

// Verify reads a whole trail and returns where it ends. A *TamperedError names
// the first entry that was changed, reordered or removed; cut off at its end,
// too, unless whoever did that mended the head as well: against that there is
// known, a head from before (the zero Head if there is none). A trail that a
// gate writes to meanwhile is verified as it was at one instant.
func Verify(ctx context.Context, db *sql.DB, d Dialect, known Head) (Head, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return Head{}, fmt.Errorf("audit trail: %w", d.Tidy(err))
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	end, err := readHead(ctx, tx)
	if err != nil {
		return Head{}, fmt.Errorf("audit trail: %w", d.Tidy(err))
	}
	v := verifier{known: known}
	for more := true; more; {
		if more, err = v.page(ctx, tx, d); err != nil {
			return v.at, err
		}
	}
	return v.at, v.end(end)
}

// pageSize is how many entries one statement reads: less than databases take
// too long for.
const pageSize = 10_000

// page verifies the entries that follow, and reports whether there may be more.
func (v *verifier) page(ctx context.Context, tx *sql.Tx, d Dialect) (more bool, err error) {
	failed := func(err error) error {
		return fmt.Errorf("audit trail after entry %d: %w", v.at.Number, d.Tidy(err))
	}
	rows, err := tx.QueryContext(ctx, d.Bind(`SELECT `+columns+` FROM audit_entries WHERE number > ? ORDER BY number LIMIT ?`), int64(v.at.Number), pageSize)
	if err != nil {
		return false, failed(err)
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for ; rows.Next(); n++ {
		r, err := scan(rows)
		if err != nil {
			return false, failed(err)
		}
		if err := v.next(r); err != nil {
			return false, err
		}
	}
	if err := rows.Err(); err != nil {
		return false, failed(err)
	}
	return n == pageSize, nil
}

func readHead(ctx context.Context, tx *sql.Tx) (Head, error) {
	var number int64
	var hash []byte
	if err := tx.QueryRowContext(ctx, `SELECT number, hash FROM audit_head WHERE one = 1`).Scan(&number, &hash); err != nil {
		return Head{}, err
	}
	if number < 0 || len(hash) != len(Hash{}) {
		return Head{}, fmt.Errorf("its head has number %d and a hash of %d bytes", number, len(hash))
	}
	return Head{uint64(number), Hash(hash)}, nil
}

// verifier follows the chain.
type verifier struct {
	at, known Head
}

func (v *verifier) next(r row) error {
	want := v.at.Number + 1
	if r.number != want {
		return tampered(want, "entries %d to %d were removed", want, r.number-1)
	}
	if r.hash != chain(v.at.Hash, r.number, r.event) {
		return tampered(r.number, "entry %d was changed, or put in the place of another", r.number)
	}
	var e session.Event
	if err := json.Unmarshal(r.event, &e); err != nil {
		return tampered(r.number, "entry %d is no event: %v", r.number, err)
	}
	c := columnsOf(e)
	c.number, c.event, c.hash = r.number, nil, r.hash
	r.event = nil
	if !c.equal(r) {
		return tampered(r.number, "entry %d is found under other words than it has: its columns were changed", r.number)
	}
	v.at = Head{r.number, r.hash}
	if v.known.Number == r.number && v.known.Hash != r.hash {
		return tampered(r.number, "entry %d or one before it was changed since its hash was kept, and all hashes made anew", r.number)
	}
	return nil
}

func (r row) equal(o row) bool {
	return r.at == o.at && r.action == o.action && r.userID == o.userID && r.userEmail == o.userEmail && r.actorID == o.actorID && r.actorEmail == o.actorEmail
}

func (v *verifier) end(head Head) error {
	switch last := max(head.Number, v.known.Number); {
	case last > v.at.Number:
		return tampered(v.at.Number+1, "entries %d to %d were cut off the end", v.at.Number+1, last)
	case head != v.at:
		return tampered(v.at.Number, "the trail's head does not fit its last entry, %d", v.at.Number)
	}
	return nil
}
