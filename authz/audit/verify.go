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
	"time"

	"golang.org/x/mod/sumdb/note"

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

// Expected is what a trail must agree with. The zero value expects nothing but
// that it agrees with itself.
type Expected struct {
	// Known are ends from before: heads that were printed.
	Known []Head
	// Exported are checkpoints from where the trail's owner cannot change them.
	// Beside their ends the times at which they were signed count: what was there
	// after KeptFrom cannot have been taken out by retention.
	Exported []Checkpoint
	// Keys check the checkpoints that the trail's own database keeps; nil looks
	// at none, and then a trail of which retention took the beginning out is an
	// error.
	Keys note.Verifiers
	// KeptFrom is the first day of which retention may take nothing out; the
	// zero time means that it may take nothing out at all.
	KeptFrom time.Time
}

// Span is what was verified.
type Span struct {
	// Start is the last entry that retention took out, 0 if none, and End the
	// last one that is there.
	Start, End Head
	// Checkpoints of the database agree with the entries; Unknown ones are signed
	// by keys that were not given, and prove nothing.
	Checkpoints, Unknown int
}

// Entries is how many were verified.
func (s Span) Entries() uint64 { return s.End.Number - s.Start.Number }

// Verify reads a whole trail and returns what it has. A *TamperedError names
// the first entry that was changed, reordered or removed; cut off at its end,
// too, unless whoever did that mended the head as well: against that there are
// known ends. A trail that a gate writes to meanwhile is verified as it was at
// one instant.
func Verify(ctx context.Context, db *sql.DB, d Dialect, want Expected) (Span, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return Span{}, fmt.Errorf("audit trail: %w", d.Tidy(err))
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	end, err := readHead(ctx, tx)
	if err != nil {
		return Span{}, fmt.Errorf("audit trail: %w", d.Tidy(err))
	}
	v := newVerifier(want.Known)
	for _, c := range want.Exported {
		v.expect(c.Head)
	}
	own, err := readOwn(ctx, tx, d, want.Keys)
	if err != nil {
		return Span{}, err
	}
	if v.at, err = readStart(ctx, tx, d, own, want); err != nil {
		return Span{}, err
	}
	span := Span{Start: v.at, Checkpoints: len(own.known), Unknown: own.unknown}
	for _, c := range own.known {
		v.expect(c.Head)
	}
	if err := v.begins(want); err != nil {
		return span, err
	}
	err = v.read(ctx, tx, d)
	if span.End = v.at; err != nil {
		return span, err
	}
	return span, v.end(end)
}

func readHead(ctx context.Context, tx *sql.Tx) (Head, error) {
	return scanHead(tx.QueryRowContext(ctx, `SELECT number, hash FROM audit_head WHERE one = 1`))
}

func scanHead(r *sql.Row) (Head, error) {
	var number int64
	var hash []byte
	if err := r.Scan(&number, &hash); err != nil {
		return Head{}, err
	}
	if number < 0 || len(hash) != len(Hash{}) {
		return Head{}, fmt.Errorf("it has number %d and a hash of %d bytes", number, len(hash))
	}
	return Head{uint64(number), Hash(hash)}, nil
}

// verifier follows the chain.
type verifier struct {
	at    Head
	known map[uint64]Hash
	last  uint64 // the largest known number
	// clash is a number of which two hashes are known.
	clash uint64
	// agreed is the last known end that the trail agreed with.
	agreed uint64
}

func newVerifier(known []Head) *verifier {
	v := &verifier{known: make(map[uint64]Hash, len(known))}
	for _, h := range known {
		v.expect(h)
	}
	return v
}

func (v *verifier) expect(h Head) {
	if was, ok := v.known[h.Number]; ok && was != h.Hash && (v.clash == 0 || h.Number < v.clash) {
		v.clash = h.Number
	}
	v.known[h.Number], v.last = h.Hash, max(v.last, h.Number)
}

// sealedLate is how much later than its last entry a day may be sealed where the
// gate runs: another day, and as much again for clocks.
const sealedLate = 48 * time.Hour

// begins checks where a trail begins that is without its first entries. Whoever has
// the database and the key can sign a seal of any day over any entry, and with
// it take out what is to be kept; but not what was exported.
func (v *verifier) begins(want Expected) error {
	start := v.at.Number
	if start == 0 {
		return nil
	}
	if v.clash != 0 && v.clash <= start {
		return tampered(v.clash, "entry %d or one before it was changed since its hash was kept, and what came before is missing", v.clash)
	}
	for _, c := range want.Exported {
		if c.Number <= start && c.At.After(want.KeptFrom.Add(sealedLate)) {
			return tampered(1, "entries 1 to %d are missing, and entry %d was the last one at %s: it is to be kept still", start, c.Number, c.At.Format(time.RFC3339))
		}
	}
	return nil
}

// sound checks what an entry says of itself, given the hash of the one before.
// It needs nothing else, so that several are checked at once.
func sound(r row, before Hash) error {
	if r.hash != chain(before, r.number, r.event) {
		return tampered(r.number, "entry %d was changed, or put in the place of another", r.number)
	}
	if r.agrees() {
		return nil
	}
	var e session.Event
	if err := json.Unmarshal(r.event, &e); err != nil {
		return tampered(r.number, "entry %d is no event: %v", r.number, err)
	}
	c := columnsOf(e)
	if !c.equal(r) {
		return tampered(r.number, "entry %d is found under other words than it has: its columns were changed", r.number)
	}
	return nil
}

// next checks the place of an entry that is sound in itself.
func (v *verifier) next(number uint64, hash Hash) error {
	v.at = Head{number, hash}
	want, ok := v.known[number]
	switch {
	case number == v.clash || ok && want != hash:
		return tampered(number, "entry %d or one before it was changed since its hash was kept, and all hashes made anew; up to entry %d all is as it was", number, v.agreed)
	case ok:
		v.agreed = number
	}
	return nil
}

func (r row) equal(o row) bool {
	return r.at == o.at && r.action == o.action && r.userID == o.userID && r.userEmail == o.userEmail && r.actorID == o.actorID && r.actorEmail == o.actorEmail
}

func (v *verifier) end(head Head) error {
	switch last := max(head.Number, v.last); {
	case last > v.at.Number:
		return tampered(v.at.Number+1, "entries %d to %d were cut off the end", v.at.Number+1, last)
	case head != v.at:
		return tampered(v.at.Number, "the trail's head does not fit its last entry, %d", v.at.Number)
	}
	return nil
}
