package session

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// fillTimeout bounds one read of the store: a decision that waits longer is
// better refused with 503 and asked again. Less than the second that the edge
// waits: after that people get the edge's blank page instead of ours.
const fillTimeout = 700 * time.Millisecond

// fills lets the requests that miss the same record at the same time share one
// read of the store.
type fills struct {
	mu      sync.Mutex
	flights map[fillKey]*fill
}

// fillKey has the epoch in it: a request that comes after a revocation never
// joins a read that began before.
type fillKey struct {
	key   Key
	epoch uint64
}

type fill struct {
	done chan struct{} // closed once copy and err are set
	copy *liveCopy
	err  error
}

// fill returns the store's record for k, live or not. It is read apart from
// ctx, so that the first of those who wait can go away without failing the
// others.
func (m *Manager) fill(ctx context.Context, k Key) (*liveCopy, error) {
	fk := fillKey{k, m.live.epoch(k)}
	m.fills.mu.Lock()
	f, ok := m.fills.flights[fk]
	if !ok {
		f = &fill{done: make(chan struct{})}
		m.fills.flights[fk] = f
		go m.runFill(context.WithoutCancel(ctx), fk, f)
	}
	m.fills.mu.Unlock()
	select {
	case <-f.done:
		return f.copy, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

func (m *Manager) runFill(ctx context.Context, fk fillKey, f *fill) {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			// On a goroutine of its own a panic would end the whole gate; it
			// is to cost this request only.
			m.log.Error("panic while reading a session", "session", fk.key.Short(), "panic", fmt.Sprint(p))
			f.copy, f.err = nil, fmt.Errorf("%w: the store failed", ErrUnavailable)
		}
		m.fills.mu.Lock()
		delete(m.fills.flights, fk)
		m.fills.mu.Unlock()
		close(f.done)
	}()
	f.copy, f.err = m.load(ctx, fk.key, fk.epoch)
}
