package bearer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/session"
)

const (
	// refreshEvery is how old keys are when new ones are fetched, off the
	// request path; a key that a provider withdraws is used that much longer.
	// Twice that old, after a pause in traffic, they are waited for.
	refreshEvery = 5 * time.Minute
	// maxStale is how long keys are used while no new ones can be had: an
	// outage of the provider locks nobody out at once, and who cuts it off
	// cannot keep a withdrawn key alive.
	maxStale = time.Hour
	// minInterval bounds fetches: anybody can send a token with a key id that
	// nobody knows.
	minInterval = 10 * time.Second
)

// keys are a provider's, fetched when first needed.
type keys struct {
	p      *Provider
	meta   *metadata
	client *http.Client
	clock  func() time.Time
	log    *slog.Logger
	count  func(ok bool)
	ctx    context.Context // ends with the Verifier

	set atomic.Pointer[keySet]
	// refreshAt is until when, in unix ns, set may be used without a look at
	// its age.
	refreshAt atomic.Int64

	mu      sync.Mutex
	body    []byte        // of which set was made
	fetched time.Time     // when the last fetch that succeeded began
	tried   time.Time     // when the last one began
	failed  error         // why the last one failed
	flight  chan struct{} // closed when the fetch under way is over; nil without one
}

// find returns the keys that a token may have been signed with and the set
// that they are in. For an id that is not known it looks for a newer set, as
// often as minInterval allows: refuseKey, or ErrUnavailable if it cannot be told.
func (k *keys) find(ctx context.Context, id, alg string) ([]*publicKey, *keySet, error) {
	for _, newer := range []bool{false, true} {
		set, err := k.get(ctx, newer)
		if err != nil {
			return nil, nil, err
		}
		if found := set.find(id, alg); len(found) > 0 {
			return found, set, nil
		}
		if id == "" {
			break
		}
	}
	return nil, nil, refuseKey
}

// get returns the set, or with newer one that was asked for from now on, if
// that may be. Whoever needs a fetch waits for the one that is under way.
func (k *keys) get(ctx context.Context, newer bool) (*keySet, error) {
	asked := k.clock()
	for {
		set, flight, err := k.look(asked, newer)
		if flight == nil {
			return set, err
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: keys of %s: %w", session.ErrUnavailable, k.p.ID, ctx.Err())
		}
	}
}

// look answers from the set, or returns the fetch to wait for.
func (k *keys) look(asked time.Time, newer bool) (*keySet, chan struct{}, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.clock()
	set, age := k.set.Load(), now.Sub(k.fetched)
	if set != nil && age < 2*refreshEvery && (!newer || !k.fetched.Before(asked)) {
		if age >= refreshEvery {
			k.start(now)
		}
		return set, nil, nil
	}
	if k.flight != nil || k.start(now) {
		return nil, k.flight, nil
	}
	switch {
	case set != nil && age < maxStale && (!newer || k.failed == nil):
		return set, nil, nil
	case k.failed != nil:
		return nil, nil, fmt.Errorf("%w: keys of %s: %w", session.ErrUnavailable, k.p.ID, k.failed)
	}
	return nil, nil, fmt.Errorf("%w: the keys of %s are too old", session.ErrUnavailable, k.p.ID)
}

// start begins a fetch unless one is under way or began a moment ago.
func (k *keys) start(now time.Time) bool {
	if k.flight != nil {
		return false
	}
	if since := now.Sub(k.tried); !k.tried.IsZero() && since >= 0 && since < minInterval {
		return false
	}
	k.tried, k.flight = now, make(chan struct{})
	go k.refresh(now)
	return true
}

// refresh fetches. It belongs to nobody's request: one that is cut off must not
// cost the others their answer.
func (k *keys) refresh(began time.Time) {
	ctx, cancel := context.WithTimeout(k.ctx, fetchTime)
	defer cancel()
	var body []byte
	var set *keySet
	err := guard(func() (err error) {
		body, set, err = k.fetch(ctx)
		return err
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	defer func() {
		close(k.flight)
		k.flight = nil
	}()
	k.count(err == nil)
	k.failed = err
	if err != nil {
		k.meta.forget()
		k.refreshAt.Store(min(k.clock().Add(minInterval).UnixNano(), k.fetched.Add(maxStale).UnixNano()))
		k.log.Warn("keys of a provider cannot be fetched", "provider", k.p.ID, "error", err)
		return
	}
	if set != nil { // other keys than before, or others beside them
		k.body = body
		k.set.Store(set)
		k.log.Info("keys of a provider", "provider", k.p.ID, "keys", len(set.keys), "unusable", set.skipped)
	}
	k.fetched = began
	k.refreshAt.Store(began.Add(refreshEvery).UnixNano())
}

// fetch returns what is published; the set is nil if it is what it was.
func (k *keys) fetch(ctx context.Context) ([]byte, *keySet, error) {
	url := k.p.JWKSURL
	if url == "" {
		doc, err := k.meta.get(ctx)
		if err != nil {
			return nil, nil, err
		}
		if url = doc.JWKS; url == "" {
			return nil, nil, errors.New("its metadata names no jwks_uri")
		}
	}
	body, err := get(ctx, k.client, url, maxJWKS)
	if err != nil {
		return nil, nil, fmt.Errorf("JWKS at %s: %w", url, err)
	}
	k.mu.Lock()
	same := k.body != nil && bytes.Equal(body, k.body)
	k.mu.Unlock()
	if same {
		return body, nil, nil
	}
	set, err := parseKeySet(body)
	if err != nil {
		return nil, nil, fmt.Errorf("JWKS at %s: %w", url, err)
	}
	return body, set, nil
}

// age returns how old the keys are, in seconds; 0 before the first.
func (k *keys) age() float64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fetched.IsZero() {
		return 0
	}
	return k.clock().Sub(k.fetched).Seconds()
}
