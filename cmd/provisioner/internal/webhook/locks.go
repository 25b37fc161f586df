package webhook

import (
	"context"
	"sync"
)

// locks gives each grant one lock, for as long as somebody holds or awaits it.
// The zero value is ready.
type locks struct {
	mu   sync.Mutex
	held map[string]*turn
}

type turn struct {
	token chan struct{} // holds one token while nobody has the turn
	users int
}

// lock waits for the turn; unlock gives it back.
func (l *locks) lock(ctx context.Context, id string) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*turn{}
	}
	t := l.held[id]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1)}
		t.token <- struct{}{}
		l.held[id] = t
	}
	t.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		if t.users--; t.users == 0 {
			delete(l.held, id)
		}
		l.mu.Unlock()
	}
	select {
	case <-t.token:
		return func() { t.token <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
