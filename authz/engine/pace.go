package engine

import (
	"context"
	"sync/atomic"
	"time"
)

// pace has what runs in the background leave the processor to requests: after
// each turn of work it rests, a little while nobody asks, four times as long as
// it has worked while somebody does.
type pace struct {
	now   func() time.Time
	asked *atomic.Uint64 // decisions taken, by whoever counts them
	seen  uint64
	since time.Time
}

const (
	// turn is how long it works at a time: a request that comes meanwhile has the
	// other processors, and this one soon.
	turn = 2 * time.Millisecond
	// longest is how long it rests at most: what took a turn long was waiting for
	// a processor.
	longest = 10 * time.Millisecond
)

func newPace(now func() time.Time, asked *atomic.Uint64) *pace { return &pace{now: now, asked: asked} }

// begin starts the first turn.
func (p *pace) begin() { p.since, p.seen = p.now(), p.asked.Load() }

// yield rests if it is time to. It returns early, with an error, when ctx ends.
func (p *pace) yield(ctx context.Context) error {
	worked := p.now().Sub(p.since)
	if worked < turn {
		return ctx.Err()
	}
	rest := worked / 3
	if p.asked.Load() != p.seen {
		rest = 4 * worked
	}
	timer := time.NewTimer(min(rest, longest))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		p.begin()
		return nil
	}
}
