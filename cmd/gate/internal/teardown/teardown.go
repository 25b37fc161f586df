// Package teardown undoes what was acquired, last first: a running gate and the
// demo stop in the reverse order of their start, each step named and bounded.
package teardown

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Stack undoes what was acquired, last first. Each deed is registered on
// the line after its acquisition, so that whatever fails half-way leaves
// nothing behind. The zero value is ready; safe for concurrent use.
type Stack struct {
	mu    sync.Mutex
	deeds []deed
	done  bool
}

type deed struct {
	name  string
	limit time.Duration
	undo  func(context.Context) error
}

// Add registers undo under a name for error messages. It may take up to limit,
// after which its context ends and the next deed begins. Once Close has run,
// there is nobody left to call undo later, so Add calls it at once.
func (t *Stack) Add(name string, limit time.Duration, undo func(context.Context) error) {
	d := deed{name: name, limit: limit, undo: undo}
	t.mu.Lock()
	if !t.done {
		t.deeds = append(t.deeds, d)
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	_ = d.run()
}

// Go runs f, with ctx's values but not its end, until the stack is closed; it may
// take up to limit to come back then.
func (t *Stack) Go(ctx context.Context, name string, limit time.Duration, f func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	t.Add(name, limit, func(limit context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-limit.Done():
			return limit.Err()
		}
	})
}

// Close runs all deeds, last registered first, each within its own limit, and
// returns what went wrong. One deed that fails, panics or hangs does not keep
// the others from running. A second call does nothing.
func (t *Stack) Close() error {
	t.mu.Lock()
	deeds := t.deeds
	t.deeds, t.done = nil, true
	t.mu.Unlock()
	var errs []error
	for i := len(deeds) - 1; i >= 0; i-- {
		if err := deeds[i].run(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// run gives the deed its own goroutine: one that ignores its context must not
// hold up Ctrl-C.
func (d deed) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), d.limit)
	defer cancel()
	result := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				result <- fmt.Errorf("panic: %v", p)
			}
		}()
		result <- d.undo(ctx)
	}()
	select {
	case err := <-result:
		if err != nil {
			return fmt.Errorf("stopping %s: %w", d.name, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopping %s: not done within %s, going on", d.name, d.limit)
	}
}
