package redislimit

import "time"

// look lets go whom the deadline has reached and sets the watch to the next.
// Callers hold mu.
func (n *lane) look(now time.Time) {
	var next time.Time
	for _, waiters := range [2][]*item{n.flight, n.queue} {
		for _, it := range waiters {
			switch {
			case it.deadline.IsZero() || it.state.Load() != waiting:
			case !it.deadline.After(now):
				if it.abandon() {
					it.done <- struct{}{}
				}
			case next.IsZero() || it.deadline.Before(next):
				next = it.deadline
			}
		}
	}
	if next.IsZero() {
		n.watch.Stop()
		return
	}
	n.wake(next)
}

func (n *lane) wake(at time.Time) {
	n.watchAt = at
	n.watch.Reset(max(0, at.Sub(n.l.clock())))
}

// expire is what the watch does.
func (n *lane) expire() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.look(n.l.clock())
}
