package session

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// Marks keeps instants by key: before its mark, what was issued to a user, or to
// everybody, has ended. A store keeps them for what it has no records of, the
// access tokens of providers; where it is a Feed, that tells of their keys too,
// whoever set them. All methods may be called at once from many goroutines,
// honour ctx, and wrap ErrUnavailable when the backend cannot be asked.
// session/storetest has this contract as tests.
type Marks interface {
	// SetMark moves the instant of k on to at, never back, and keeps it until
	// expires, or longer if it was to be kept longer. It is as durable as a
	// Delete of the Store.
	SetMark(ctx context.Context, k Key, at, expires time.Time) error
	// GetMarks returns the instants of some keys, to the millisecond at least,
	// in their order; zero where there is none. Expired ones may be given still.
	GetMarks(ctx context.Context, keys ...Key) ([]time.Time, error)
}

// MarkLife is how long a mark is kept: tokens that live longer would come back.
const MarkLife = 400 * 24 * time.Hour

// never is after every instant at which something was issued.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

func markKey(purpose, name string) Key {
	var room [128]byte // on the stack
	return sha256.Sum256(append(append(append(append(room[:0], "neosc mark\x00"...), purpose...), 0), name...))
}

// EveryoneMark is the key of the mark that holds for everybody.
func EveryoneMark() Key { return markKey("everyone", "") }

// UserMark is the key of a user's mark.
func UserMark(userID string) Key { return markKey("user", userID) }

// TokenMark is the key of the mark of one token, whose session has the key k.
func TokenMark(k Key) Key { return markKey("token", string(k[:])) }

// MarkOptions set up MarkCopies. Marks is needed.
type MarkOptions struct {
	// Marks keeps them. If it is a Feed, copies are served while that is fresh;
	// else the store is this process's own.
	Marks Marks
	// Clock is time.Now if nil.
	Clock func() time.Time
	// StaleGrace is that of the Manager's options.
	StaleGrace time.Duration
	// CacheSize is the most marks of which copies are kept, those that are not
	// set included; 0 means DefaultCacheSize.
	CacheSize int
}

// MarkCopies are marks with local copies, for looking at some with every
// request. Safe for concurrent use.
type MarkCopies struct {
	o          MarkOptions
	feed       Feed
	stop       func()
	live       *copies[Key, *markCopy]
	generation atomic.Uint64
	until      func(time.Time) time.Duration
	lastFresh  atomic.Int64
	// told is called after a mark has changed, known if there was a copy of it:
	// with the zero Key after any may have.
	told atomic.Pointer[func(k Key, known bool)]
}

type markCopy struct {
	mark
	at int64 // unix ns
}

// unmarked is before every instant.
const unmarked = math.MinInt64

// NewMarkCopies returns MarkCopies, or says which option is wrong. Close them
// when done.
func NewMarkCopies(o MarkOptions) (*MarkCopies, error) {
	if o.Marks == nil || o.StaleGrace < 0 || o.CacheSize < 0 || o.CacheSize > 1<<30 {
		return nil, errors.New("copies of marks: need Marks, and neither StaleGrace nor CacheSize below 0")
	}
	c := &MarkCopies{o: o, stop: func() {}, until: time.Until}
	if o.Clock == nil {
		c.o.Clock = time.Now
	} else {
		c.until = func(t time.Time) time.Duration { return t.Sub(o.Clock()) }
	}
	if o.CacheSize == 0 {
		c.o.CacheSize = DefaultCacheSize
	}
	c.live = newCopies[Key, *markCopy](c.o.CacheSize, func(k Key) uint64 { return binary.LittleEndian.Uint64(k[:8]) })
	if f, ok := o.Marks.(Feed); ok {
		c.feed = f
		c.stop = f.Watch(c.changed)
	}
	return c, nil
}

// Close ends the watch on the store's feed.
func (c *MarkCopies) Close() { c.stop() }

func (c *MarkCopies) changed(k Key) {
	known := true
	if k == (Key{}) {
		c.live.forgetAll()
	} else {
		_, known = c.live.get(k)
		c.live.forget(k)
	}
	// After the copies: whoever read the generation before looks again.
	c.generation.Add(1)
	if f := c.told.Load(); f != nil {
		(*f)(k, known)
	}
}

// Generation grows with each change: what a mark said at one still holds while
// it stays, as long as Fresh says so too.
func (c *MarkCopies) Generation() uint64 { return c.generation.Load() }

// Fresh reports whether copies may be served to a request of the instant now.
func (c *MarkCopies) Fresh(now int64) bool {
	return isFresh(c.feed, &c.lastFresh, c.until, now)
}

// Set sets a mark; from its return on this process goes by it, and others
// within their feed's promise.
func (c *MarkCopies) Set(ctx context.Context, k Key, at time.Time) error {
	err := c.o.Marks.SetMark(ctx, k, at, c.o.Clock().Add(MarkLife))
	c.changed(k) // also after an error, which does not say that nothing was set
	if err != nil {
		return fmt.Errorf("setting since when tokens count: %w", err)
	}
	return nil
}

// Latest returns the latest instant (unix ns) of some keys' marks, the lowest
// number if none has one. An error wraps ErrUnavailable.
func (c *MarkCopies) Latest(ctx context.Context, now time.Time, keys ...Key) (int64, error) {
	latest, complete := c.known(keys)
	if complete && c.Fresh(now.UnixNano()) {
		return latest, nil
	}
	asked, err := c.ask(ctx, keys)
	if err == nil {
		return asked, nil
	}
	if complete && c.o.StaleGrace > 0 && c.o.Clock().UnixNano() < c.lastFresh.Load()+int64(c.o.StaleGrace) {
		return latest, nil
	}
	if !errors.Is(err, ErrUnavailable) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return 0, err
}

// known is the latest of the copies, and whether there is one of each key.
func (c *MarkCopies) known(keys []Key) (latest int64, complete bool) {
	latest, complete = unmarked, true
	for _, k := range keys {
		m, ok := c.live.get(k)
		if !ok {
			return unmarked, false
		}
		latest = max(latest, m.at)
	}
	return latest, complete
}

// ask reads marks from the store and keeps copies, unless they changed
// meanwhile.
func (c *MarkCopies) ask(ctx context.Context, keys []Key) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	epochs := make([]uint64, len(keys))
	for i, k := range keys {
		epochs[i] = c.live.epoch(k)
	}
	found, err := c.o.Marks.GetMarks(ctx, keys...)
	if err != nil {
		return 0, err
	}
	latest := int64(unmarked)
	for i, k := range keys {
		at := int64(unmarked)
		if !found[i].IsZero() {
			at = math.MaxInt64 // UnixNano ends in 2262
			if found[i].Before(never) {
				at = found[i].UnixNano()
			}
		}
		c.live.put(k, &markCopy{at: at}, epochs[i])
		latest = max(latest, at)
	}
	return latest, nil
}
