package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/session"
)

// noteScripts are made once for each Store.
type noteScripts struct{ put, swap *redis.Script }

// noteLibrary is the beginning of both. ARGV: now (µs), value, ttl (ms).
const noteLibrary = `
local name, now, value, ttl = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]
local had = redis.call('GET', name)
local ends, data
if had then ends, data = string.match(had, '^(%-?%d+)\n(.*)$') end
local lives = ends and tonumber(ends) > now
`

func newNoteScripts() noteScripts {
	return noteScripts{
		put: redis.NewScript(noteLibrary + `
if lives then return -1 end
redis.call('SET', name, value, 'PX', ttl)
return 1`),
		swap: redis.NewScript(noteLibrary + `
if not lives then return 0 end
if data ~= ARGV[4] then return -2 end
redis.call('SET', name, value, 'PX', ttl)
return 1`),
	}
}

func (st *Store) noteName(k session.Key) string { return st.names.prefix + "n:" + k.String() }

// noteValue returns what is kept of a note and for how many ms.
func noteValue(n session.Note, now time.Time) ([]byte, int64, error) {
	if len(n.Data) > session.MaxNoteSize {
		return nil, 0, fmt.Errorf("a note of %d bytes, at most %d are kept", len(n.Data), session.MaxNoteSize)
	}
	ttl := max(0, n.Expires.Sub(now)) + time.Second
	return append(fmt.Appendf(nil, "%d\n", n.Expires.UnixMicro()), n.Data...), ttl.Milliseconds(), nil
}

// writeNote calls write with what is kept of a note and for how long, in the
// time that a call has.
func (st *Store) writeNote(ctx context.Context, n session.Note, now time.Time, write func(ctx context.Context, value []byte, ttl int64) error) error {
	value, ttl, err := noteValue(n, now)
	if err != nil {
		return err
	}
	ctx, cancel, err := st.within(ctx, 0)
	if err != nil {
		return err
	}
	defer cancel()
	return write(ctx, value, ttl)
}

func (st *Store) changeNote(ctx context.Context, s *redis.Script, k session.Key, n session.Note, now time.Time, more ...any) error {
	return st.writeNote(ctx, n, now, func(ctx context.Context, value []byte, ttl int64) error {
		args := append([]any{now.UnixMicro(), value, ttl}, more...)
		switch r, err := s.Run(ctx, st.c, []string{st.noteName(k)}, args...).Int(); {
		case err != nil:
			return unavailable(err)
		case r == missing:
			return session.ErrNotFound
		case r == taken:
			return session.ErrExists
		case r == conflict:
			return session.ErrConflict
		}
		return nil
	})
}

// PutNote implements session.Notes.
func (st *Store) PutNote(ctx context.Context, k session.Key, n session.Note, now time.Time) error {
	return st.changeNote(ctx, st.notes.put, k, n, now)
}

// SwapNote implements session.Notes.
func (st *Store) SwapNote(ctx context.Context, k session.Key, old []byte, n session.Note, now time.Time) error {
	return st.changeNote(ctx, st.notes.swap, k, n, now, old)
}

// SetNote implements session.Notes.
func (st *Store) SetNote(ctx context.Context, k session.Key, n session.Note, now time.Time) error {
	return st.writeNote(ctx, n, now, func(ctx context.Context, value []byte, ttl int64) error {
		if err := st.c.Set(ctx, st.noteName(k), value, time.Duration(ttl)*time.Millisecond).Err(); err != nil {
			return unavailable(err)
		}
		return nil
	})
}

// GetNote implements session.Notes.
func (st *Store) GetNote(ctx context.Context, k session.Key, now time.Time) (session.Note, error) {
	return st.readNote(ctx, k, now, st.c.Get)
}

// TakeNote implements session.Notes.
func (st *Store) TakeNote(ctx context.Context, k session.Key, now time.Time) (session.Note, error) {
	return st.readNote(ctx, k, now, st.c.GetDel)
}

func (st *Store) readNote(ctx context.Context, k session.Key, now time.Time, read func(context.Context, string) *redis.StringCmd) (session.Note, error) {
	ctx, cancel, err := st.within(ctx, 0)
	if err != nil {
		return session.Note{}, err
	}
	defer cancel()
	value, err := read(ctx, st.noteName(k)).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return session.Note{}, session.ErrNotFound
	case err != nil:
		return session.Note{}, unavailable(err)
	}
	n, err := decodeNote(k, value)
	if err != nil {
		return session.Note{}, err
	}
	if !n.LiveAt(now) {
		return session.Note{}, session.ErrNotFound
	}
	return n, nil
}

func decodeNote(k session.Key, value string) (session.Note, error) {
	head, data, ok := strings.Cut(value, "\n")
	ends, err := strconv.ParseInt(head, 10, 64)
	if err != nil || !ok {
		return session.Note{}, unavailable(fmt.Errorf("note %s has no head", k.Short()))
	}
	return session.Note{Data: []byte(data), Expires: time.UnixMicro(ends).UTC()}, nil
}

// GetNotes implements session.NotesReader.
func (st *Store) GetNotes(ctx context.Context, now time.Time, keys ...session.Key) ([]session.Note, error) {
	out := make([]session.Note, len(keys))
	err := st.readAll(ctx, st.noteName, keys, func(i int, text string) error {
		n, err := decodeNote(keys[i], text)
		if err == nil && n.LiveAt(now) {
			out[i] = n
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// readAll reads what there is under the keys' names in one round trip, and gives
// it to read.
func (st *Store) readAll(ctx context.Context, name func(session.Key) string, keys []session.Key, read func(i int, text string) error) error {
	if len(keys) == 0 {
		return nil
	}
	ctx, cancel, err := st.within(ctx, 0)
	if err != nil {
		return err
	}
	defer cancel()
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = name(k)
	}
	values, err := st.c.MGet(ctx, names...).Result()
	if err != nil {
		return unavailable(err)
	}
	if len(values) != len(keys) {
		return unavailable(fmt.Errorf("%d values, want %d", len(values), len(keys)))
	}
	for i, v := range values {
		if text, ok := v.(string); ok {
			if err := read(i, text); err != nil {
				return err
			}
		}
	}
	return nil
}
