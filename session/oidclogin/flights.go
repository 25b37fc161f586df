package oidclogin

import (
	"context"
	"errors"
	"sync"

	"github.com/neosc/gate/session"
)

// maxRefreshing bounds the refreshes under way in this process. A session that
// finds no place is refreshed by a later request.
const maxRefreshing = 64

// flights are the refreshes under way in this process, one for each session.
type flights struct {
	mu     sync.Mutex
	of     map[session.Key]struct{}
	closed bool
	landed chan struct{} // closed and made anew when the last one ends
}

func newFlights() *flights {
	return &flights{of: make(map[session.Key]struct{}), landed: make(chan struct{})}
}

// begin reports whether k may be refreshed now; end must follow then.
func (f *flights) begin(k session.Key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, under := f.of[k]; under || f.closed || len(f.of) >= maxRefreshing {
		return false
	}
	f.of[k] = struct{}{}
	return true
}

func (f *flights) end(k session.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, k)
	if len(f.of) == 0 {
		close(f.landed)
		f.landed = make(chan struct{})
	}
}

// wait returns once none is under way.
func (f *flights) wait(ctx context.Context) error {
	f.mu.Lock()
	n, landed := len(f.of), f.landed
	f.mu.Unlock()
	if n == 0 {
		return nil
	}
	select {
	case <-landed:
		return nil
	case <-ctx.Done():
		return errors.New("refreshes at providers are still under way")
	}
}

// Close begins no more refreshes and waits for those under way: one that is
// broken off would lose its answer, and with it the session.
func (l *Logins) Close(ctx context.Context) error {
	l.flights.mu.Lock()
	l.flights.closed = true
	l.flights.mu.Unlock()
	return l.flights.wait(ctx)
}
