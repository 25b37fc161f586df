package account

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/neosc/gate/session"
)

// leaseTime is how long a letter is one mailer's own: longer than any try to
// send it takes. A gate that is killed meanwhile leaves it to the others.
const leaseTime = 2 * time.Minute

// letter is a mail to be. What depends on whether there is an account is looked
// up when it is written, not while somebody waits who could tell by the time.
// Letters wait in the database, so that none is lost with a gate or with a
// server that is away; of the links that they bring only ids are kept there.
type letter struct {
	id     string
	kind   kind
	to     string
	link   string // the id of the one-time link that it brings, "" for none yet
	origin session.Origin
	tries  int // with the one that is under way
	ends   time.Time
}

// life is for how long a letter is tried.
func (k kind) life() time.Duration {
	switch k {
	case mailReset:
		return resetLife
	case mailInvite:
		return inviteLife
	default:
		return verifyLife
	}
}

// enqueue has a letter sent soon.
func (s *Service) enqueue(ctx context.Context, l letter) error {
	if s.o.Mailer == nil {
		return session.ErrNoMail
	}
	if err := s.room(ctx); err != nil {
		return err
	}
	err := s.tx(ctx, func(ctx context.Context, tx txn) error { return s.putLetter(ctx, tx, l) })
	s.wake()
	return err
}

// room refuses with session.ErrBusy where as many letters wait as may.
func (s *Service) room(ctx context.Context) error {
	n, err := s.st.letters(ctx)
	if err == nil && n >= s.o.Queue {
		err = session.ErrBusy
	}
	return err
}

// putLetter keeps a letter with what it tells of; wake has it sent once both are
// there.
func (s *Service) putLetter(ctx context.Context, tx txn, l letter) error {
	origin, err := json.Marshal(l.origin)
	if err != nil {
		return fmt.Errorf("letter: %w", err)
	}
	now := s.st.now()
	_, err = s.st.execOn(ctx, tx, `INSERT INTO outbox (id, kind, recipient, link, origin, tries, due_at, ends_at) VALUES (?, ?, ?, ?, ?, 0, ?, ?)`,
		"ltr_"+newID(), string(l.kind), l.to, l.link, string(origin), now.UnixMicro(), now.Add(l.kind.life()).UnixMicro())
	return err
}

// wake has the mailers look for letters.
func (s *Service) wake() {
	for range mailers {
		select {
		case s.waiting <- struct{}{}:
		default:
		}
	}
}

// letters counts those that wait.
func (st *Store) letters(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := st.db.QueryRowContext(ctx, `SELECT count(*) FROM outbox`).Scan(&n); err != nil {
		return 0, st.unavailable(err)
	}
	return n, nil
}

// takeLetter returns the next letter that is due, nil for none; then wait is how
// long until one is, 0 if there is none at all.
func (st *Store) takeLetter(ctx context.Context) (l *letter, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		l = new(letter)
		var origin string
		var due, ends int64
		err = st.db.QueryRowContext(ctx, `SELECT id, kind, recipient, link, origin, tries, due_at, ends_at FROM outbox ORDER BY due_at, id LIMIT 1`).
			Scan(&l.id, &l.kind, &l.to, &l.link, &origin, &l.tries, &due, &ends)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, 0, nil
		}
		if err != nil {
			return nil, 0, st.unavailable(err)
		}
		if json.Unmarshal([]byte(origin), &l.origin) != nil {
			l.origin = session.Origin{} // one that cannot be read holds up no mail
		}
		now := st.now()
		if wait := time.UnixMicro(due).Sub(now); wait > 0 {
			return nil, wait, nil
		}
		n, err := st.exec(ctx, `UPDATE outbox SET due_at = ?, tries = tries + 1 WHERE id = ? AND due_at = ?`, now.Add(leaseTime).UnixMicro(), l.id, due)
		if err != nil {
			return nil, 0, err
		}
		if n == 1 { // else another mailer was first
			l.tries++
			l.ends = time.UnixMicro(ends)
			return l, 0, nil
		}
	}
}

// putBack has a letter tried again later.
func (st *Store) putBack(ctx context.Context, l *letter, later time.Duration) error {
	_, err := st.exec(ctx, `UPDATE outbox SET due_at = ? WHERE id = ?`, st.now().Add(later).UnixMicro(), l.id)
	return err
}

// dropLetter forgets a letter that is sent, or is not to be.
func (st *Store) dropLetter(ctx context.Context, l *letter) error {
	_, err := st.exec(ctx, `DELETE FROM outbox WHERE id = ?`, l.id)
	return err
}

// renewToken gives a link that still holds another token; ok is false if it
// does not.
func (st *Store) renewToken(ctx context.Context, link, token string) (ok bool, err error) {
	n, err := st.exec(ctx, `UPDATE links SET hash = ? WHERE id = ? AND expires_at > ?`, tokenHash(token), link, st.now().UnixMicro())
	return n == 1, err
}

// holds reports whether a token is that of a link still.
func (st *Store) holds(ctx context.Context, link, token string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var n int
	err := st.db.QueryRowContext(ctx, st.o.Dialect.Bind(`SELECT count(*) FROM links WHERE id = ? AND hash = ? AND expires_at > ?`),
		link, tokenHash(token), st.now().UnixMicro()).Scan(&n)
	if err != nil {
		return false, st.unavailable(err)
	}
	return n == 1, nil
}
