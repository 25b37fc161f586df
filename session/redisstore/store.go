package redisstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/session"
)

const (
	// grace is how much longer than its absolute end Redis keeps a record:
	// clocks differ, and sweeping is to find it.
	grace = 10 * time.Minute
	// markLife is how long a not-before mark is kept: much longer than a
	// Create can be under way.
	markLife = 24 * time.Hour
	// hashDigits is how many hex digits of SHA-256 name a user or an email.
	hashDigits = 40
)

// Store implements session.Store, session.Feed, session.Notes, session.Marks and
// session.SwitchStore.
type Store struct {
	*session.Hub
	o      Options
	c      *redis.Client
	names  names
	script scripts
	notes  noteScripts
	mark   *redis.Script
	turn   *redis.Script
	feed   *feed
}

// names are those of keys, below the prefix.
type names struct{ prefix, records, marks, ends, begun string }

// Open returns a Store, whose feed begins to connect, or says what is wrong
// with the options. It does not wait for the server: until that is there calls
// wrap session.ErrUnavailable.
func Open(o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("session store in redis: %w", err)
	}
	t, err := parse(o)
	if err != nil {
		return nil, fmt.Errorf("session store in redis: %w", err)
	}
	p := "{" + o.Prefix + "}:"
	st := &Store{o: o, names: names{p, p + "r:", p + "m:", p + "ends", p + "begun"}, script: newScripts(), notes: newNoteScripts(), mark: newMarkScript(), turn: newSwitchScript()}
	if st.feed, err = newFeed(o, t, st.names); err != nil {
		return nil, fmt.Errorf("session store in redis: %w", err)
	}
	st.Hub, st.c = st.feed.Hub, t.client()
	go st.feed.run()
	return st, nil
}

// Close implements session.Store.
func (st *Store) Close() error {
	st.feed.close()
	if err := st.c.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return err
	}
	return nil
}

// unavailable says that Redis could not be asked, or did not do it, and why.
func unavailable(err error) error { return fmt.Errorf("%w: redis: %w", session.ErrUnavailable, err) }

// within bounds a call. A caller that has gone away is not served.
func (st *Store) within(ctx context.Context, more time.Duration) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	}
	ctx, cancel := context.WithTimeout(ctx, st.o.Timeout+more)
	return ctx, cancel, nil
}

// eval runs a script that replies with a number.
func (st *Store) eval(ctx context.Context, s *redis.Script, args ...any) (int, error) {
	ctx, cancel, err := st.within(ctx, 0)
	if err != nil {
		return 0, err
	}
	defer cancel()
	n, err := s.Run(ctx, st.c, []string{st.names.ends}, append([]any{st.names.prefix}, args...)...).Int()
	if err != nil {
		return 0, unavailable(err)
	}
	return n, nil
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:hashDigits]
}

// foldEmail makes addresses comparable whatever their case.
func foldEmail(email string) string { return strings.ToLower(email) }

// row is a session as Redis has it.
type row struct {
	record      []byte
	idle, begun int64 // µs
	expires     int64 // µs
	ttl         int64 // ms
	user, email string
}

func (st *Store) row(s *session.Session, version uint64) (*row, error) {
	c := *s
	c.Version = version
	body, err := session.EncodeRecord(&c)
	if err != nil {
		return nil, err
	}
	r := &row{
		begun: s.CreatedAt.UnixMicro(), expires: s.ExpiresAt.UnixMicro(),
		ttl:  (max(0, s.ExpiresAt.Sub(st.o.Clock())) + grace).Milliseconds(),
		user: hash(s.Identity.UserID), email: hash(foldEmail(s.Identity.Email)),
	}
	r.idle = min(s.IdleExpiresAt.UnixMicro(), r.expires)
	r.record = append(fmt.Appendf(nil, "%d %d %d %s %s\n", version, r.begun, r.expires, r.user, r.email), body...)
	return r, nil
}

// decode reads a record and its idle end.
func decode(k session.Key, value []byte, idle float64) (*session.Session, error) {
	_, body, ok := bytes.Cut(value, []byte("\n"))
	if !ok {
		return nil, unavailable(fmt.Errorf("record %s has no head", k.Short()))
	}
	s, err := session.DecodeRecord(k, body)
	if err != nil {
		return nil, unavailable(err)
	}
	s.IdleExpiresAt = time.UnixMicro(int64(idle)).UTC()
	return s, nil
}

// Create implements session.Store. It also returns session.ErrConflict if
// DeleteUser ended the user's sessions after s.CreatedAt: a sign-in that was
// under way then does not survive it.
func (st *Store) Create(ctx context.Context, s *session.Session) error {
	r, err := st.row(s, 1)
	if err != nil {
		return err
	}
	n, err := st.eval(ctx, st.script.create, s.Key.String(), r.record, r.idle, r.begun, r.ttl, r.user, r.email, s.CreatedAt.UnixMilli())
	switch {
	case err != nil:
		return err
	case n == taken:
		return session.ErrExists
	case n == conflict:
		return fmt.Errorf("%w: the user's sessions were ended", session.ErrConflict)
	}
	return nil
}

// Get implements session.Store.
func (st *Store) Get(ctx context.Context, k session.Key) (*session.Session, error) {
	ctx, cancel, err := st.within(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer cancel()
	name := k.String()
	pipe := st.c.Pipeline()
	record, idle := pipe.Get(ctx, st.names.records+name), pipe.ZScore(ctx, st.names.ends, name)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, unavailable(err)
	}
	gone, err := isGone(record.Err(), idle.Err())
	switch {
	case err != nil:
		return nil, unavailable(err)
	case gone:
		return nil, session.ErrNotFound
	}
	return decode(k, []byte(record.Val()), idle.Val())
}

// Update implements session.Store.
func (st *Store) Update(ctx context.Context, s *session.Session) (uint64, error) {
	r, err := st.row(s, s.Version+1)
	if err != nil {
		return 0, err
	}
	n, err := st.eval(ctx, st.script.update, s.Key.String(), r.record, r.idle, r.begun, r.ttl, r.user, r.email, s.Version, r.expires)
	switch {
	case err != nil:
		return 0, err
	case n == missing:
		return 0, session.ErrNotFound
	case n == conflict:
		return 0, session.ErrConflict
	}
	return s.Version + 1, nil
}

// Touch implements session.Store.
func (st *Store) Touch(ctx context.Context, k session.Key, t time.Time) error {
	n, err := st.eval(ctx, st.script.touch, k.String(), t.UnixMicro())
	if err == nil && n == missing {
		return session.ErrNotFound
	}
	return err
}
