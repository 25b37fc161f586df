package session

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// touchQueue bounds the touches that wait to be written. One that finds it
	// full is dropped and counted; the session's next request tries again.
	touchQueue = 8192
	// storeTimeout bounds one write or count in the background.
	storeTimeout = 5 * time.Second
	// countEvery is how often at most sessions are counted after changes.
	countEvery = time.Second
)

// touch is one idle end to write down.
type touch struct {
	of       *liveCopy
	old, new int64 // unix ns
}

// undo gives the copy its old idle end back, so that the next request of the
// session tries again.
func (t touch) undo() { t.of.idle.CompareAndSwap(t.new, t.old) }

// touchInterval is how far the idle end must move before it is written: a
// twentieth of the idle time, at least 10 s, but never more than half of it,
// or sessions in steady use would end.
func touchInterval(idle time.Duration) time.Duration {
	return min(max(idle/20, 10*time.Second), idle/2)
}

// used moves the session's idle end on and queues that for the store, if it
// moved far enough.
func (m *Manager) used(c *liveCopy, now time.Time) {
	want := min(now.UnixNano()+int64(m.o.Idle), c.expires)
	old := c.idle.Load()
	moved := want - old
	if moved <= 0 || (moved < int64(m.touchEvery) && want != c.expires) {
		return
	}
	if !c.idle.CompareAndSwap(old, want) {
		return // another request does it
	}
	t := touch{of: c, old: old, new: want}
	select {
	case m.touches <- t:
	default:
		t.undo()
		m.metrics.touchDropped.Inc()
	}
}

// Run writes touches, sweeps dead records and counts live ones until ctx is
// done, then writes the touches that still wait, for at most 5 s, and returns.
func (m *Manager) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { m.writeTouches(ctx) })
	wg.Go(func() { m.keepHouse(ctx) })
	wg.Wait()
}

func (m *Manager) writeTouches(ctx context.Context) {
	for {
		select {
		case t := <-m.touches:
			m.writeTouch(context.WithoutCancel(ctx), t)
		case <-ctx.Done():
			m.drainTouches(context.WithoutCancel(ctx))
			return
		}
	}
}

func (m *Manager) drainTouches(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case t := <-m.touches:
			m.writeTouch(ctx, t)
		default:
			return
		}
	}
}

func (m *Manager) writeTouch(ctx context.Context, t touch) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	k := t.of.key
	err := m.o.Store.Touch(ctx, k, time.Unix(0, t.new).UTC())
	switch {
	case err == nil:
		m.metrics.touchWritten.Inc()
	case errors.Is(err, ErrNotFound):
		m.forget(k)
	default:
		t.undo()
		m.metrics.touchFailed.Inc()
		m.log.Warn("a session's use was not written down", "session", k.Short(), "error", err)
	}
}

func (m *Manager) keepHouse(ctx context.Context) {
	sweep := time.NewTicker(m.o.Housekeeping)
	defer sweep.Stop()
	m.count(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			m.sweep(ctx)
			m.count(ctx)
		case <-m.recount:
			m.count(ctx)
			// Changes during the pause leave one token in recount.
			if !pause(ctx, countEvery) {
				return
			}
		}
	}
}

// pause waits for d and reports false if ctx was done first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// countSoon has Run count the live sessions, without waiting.
func (m *Manager) countSoon() {
	select {
	case m.recount <- struct{}{}:
	default:
	}
}

func (m *Manager) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	n, err := m.o.Store.CountLive(ctx, m.o.Clock())
	if err != nil {
		m.housekeepingFailed(ctx, "live sessions could not be counted", err)
		return
	}
	m.metrics.active.Set(float64(n))
}

func (m *Manager) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	n, err := m.o.Store.Sweep(ctx, m.o.Clock(), m.auditSwept(ctx))
	if err != nil {
		m.housekeepingFailed(ctx, "dead sessions could not be swept", err)
		return
	}
	m.metrics.swept.Add(float64(n))
}

func (m *Manager) housekeepingFailed(ctx context.Context, what string, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return // shutting down
	}
	m.metrics.houseFailed.Inc()
	m.log.Warn(what, "error", err)
}
