package audit

import (
	"context"
	"time"
)

const (
	// findsAfter is how many entries there are to be without what they are found by
	// before it is added. They are looked through until then.
	findsAfter = 2048
	// findsCrowd is how many there may be while others are added: what they are found
	// by is written all over the file, and takes as long as the entries. Looked
	// through, 20 ms. Those that are in the tail count for a findsWorth of that.
	findsCrowd = 8 * findsAfter
	findsWorth = 16
	// findsStep is how many are taken at once, for which who adds entries waits 3 ms:
	// four times as many where nobody does, eight where there are too many; and
	// findsRest is before the next, unless there are far too many.
	findsStep = 256
	findsRest = 25 * time.Millisecond
	// findsQuiet is for how long no entry was added when nobody is in a hurry.
	findsQuiet = 100 * time.Millisecond
	// findsPause is before another try when one has failed.
	findsPause = 5 * time.Second
)

// addFinds adds what the entries of a range of numbers are found by.
const addFinds = `INSERT INTO audit_finds (who, number)
	SELECT 'u' || user_id, number FROM audit_entries WHERE number > ? AND number <= ? AND user_id <> ''
	UNION ALL SELECT 'u' || actor_id, number FROM audit_entries WHERE number > ? AND number <= ? AND actor_id <> '' AND actor_id <> user_id
	UNION ALL SELECT 'e' || user_email, number FROM audit_entries WHERE number > ? AND number <= ? AND user_email <> ''
	UNION ALL SELECT 'e' || actor_email, number FROM audit_entries WHERE number > ? AND number <= ? AND actor_email <> '' AND actor_email <> user_email
	UNION ALL SELECT 'a' || action, number FROM audit_entries WHERE number > ? AND number <= ?`

// finds adds what entries are found by, behind those who add entries, until Close.
// It ends at any point without harm: what is not added is looked through.
func (t *Trail) finds() {
	for {
		select {
		case <-t.stop:
			return
		case <-t.findable:
		}
		rest, err := t.find()
		if err != nil {
			t.o.Logger.Warn("what entries of the audit trail are found by cannot be added; they are found all the same, but slower", "error", err)
			rest = findsPause
		}
		if rest == 0 {
			continue
		}
		select {
		case <-t.stop:
			return
		case <-time.After(rest):
		}
		t.wakeFinds()
	}
}

func (t *Trail) wakeFinds() {
	select {
	case t.findable <- struct{}{}:
	default: // it is awake
	}
}

// find does one addition, unless others add entries and it can wait, and returns
// after how long there is more to do; 0 if there is not.
func (t *Trail) find() (rest time.Duration, err error) {
	// A database in this process would have the other writer try again and again.
	t.turn.Lock()
	defer t.turn.Unlock()
	if t.behind(t.last) < findsCrowd && time.Since(t.wrote) < findsQuiet {
		return findsQuiet, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	tx, err := t.o.DB.BeginTx(ctx, nil)
	if err != nil {
		return 0, t.unavailable(err)
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	var number, found int64
	if err := tx.QueryRowContext(ctx, `UPDATE audit_head SET number = number WHERE one = 1 RETURNING number, found`).Scan(&number, &found); err != nil {
		return 0, t.unavailable(err)
	}
	t.found = uint64(found)
	if number-found < findsStep { // another gate was faster
		return 0, nil
	}
	to := found + findsStep
	switch {
	case t.behind(uint64(number)) > findsCrowd:
		to = found + 8*findsStep
	case time.Since(t.wrote) >= findsQuiet:
		to = found + min(4*findsStep, number-found)
	}
	if _, err := tx.ExecContext(ctx, t.o.Dialect.Bind(addFinds), found, to, found, to, found, to, found, to, found, to); err != nil {
		return 0, t.unavailable(err)
	}
	if _, err := tx.ExecContext(ctx, t.o.Dialect.Bind(`UPDATE audit_head SET found = ? WHERE one = 1`), to); err != nil {
		return 0, t.unavailable(err)
	}
	if err := tx.Commit(); err != nil {
		return 0, t.unavailable(err)
	}
	t.found = uint64(to)
	t.tail.forget(t.found)
	switch {
	case t.behind(uint64(number)) > 2*findsCrowd: // entries come faster than they are taken so
		rest = time.Microsecond
	case t.findsDue(uint64(number)):
		rest = findsRest
	}
	return rest, nil
}

// findsDue reports whether it is time to add what entries up to a number are found
// by. Called with turn held.
func (t *Trail) findsDue(number uint64) bool { return number >= t.found+findsAfter }

// behind returns how many entries up to a number have to be looked through, or what is
// worth as many. Called with turn held.
func (t *Trail) behind(number uint64) uint64 {
	all := max(number, t.found) - t.found
	return max(t.tail.lacks(t.found, number), all/findsWorth)
}
