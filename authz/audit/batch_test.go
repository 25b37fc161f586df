package audit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
)

// Entries are added by statements of a few sizes: whatever a call has, all of it is
// there, in its order, and hangs together.
func TestCallsOfEverySizeAreKeptWholeAndInOrder(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		tr := p.open(t, nil)
		var want []string
		for _, size := range []int{1, 2, 3, 63, 64, 65, 127, 128, 129, 513} {
			var events []session.Event
			for n := range size {
				e := event("ana", n)
				e.Details = map[string]string{"n": fmt.Sprint(size, "-", n)}
				events, want = append(events, e), append(want, e.Details["n"])
			}
			appendAll(t, tr, events...)
		}
		got, _ := pages(t, tr, session.AuditQuery{})
		if len(got) != len(want) {
			t.Fatalf("%d entries, want %d", len(got), len(want))
		}
		for i, e := range got {
			if n := len(want) - 1 - i; e.Number != uint64(n+1) || e.Details["n"] != want[n] {
				t.Fatalf("entry %d is %s, want number %d, %s", e.Number, e.Details["n"], n+1, want[n])
			}
		}
		if end, err := verify(t, p, audit.Head{}); err != nil || end.Number != uint64(len(want)) {
			t.Errorf("verified to %d, error %v", end.Number, err)
		}
	})
}

// A call with an event that is refused adds nothing, and takes nothing from those that
// share its transaction.
func TestARefusedEventRefusesItsCallAndNoOther(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		tr := p.open(t, nil)
		const writers, each = 24, 6
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for n := range each {
					events := []session.Event{event("ana", n), event("ana", n), event("ana", n)}
					if w%3 == 0 {
						events[1].Outcome = ""
					}
					err := tr.Append(t.Context(), events...)
					if refused := err != nil; refused != (w%3 == 0) || errors.Is(err, session.ErrUnavailable) {
						t.Errorf("writer %d: error %v", w, err)
					}
				}
			})
		}
		all.Wait()
		if end, err := verify(t, p, audit.Head{}); err != nil || end.Number != writers*2/3*each*3 {
			t.Errorf("verified to %d, want %d, error %v", end.Number, writers*2/3*each*3, err)
		}
	})
}

// Who does not wait any longer is told that nothing is sure; those who wait go on.
func TestWaitersThatLeaveTakeNothingWithThem(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	var first sync.Once
	db, tr := deferred(t, func(db *sqlstore.Deferred) error {
		first.Do(func() { close(begun) })
		<-release
		return db.Sync()
	})
	var stay sync.WaitGroup
	add := func(n int) {
		if err := tr.Append(context.Background(), event("stays", n)); err != nil {
			t.Errorf("%d: %v", n, err)
		}
	}
	stay.Go(func() { add(0) })
	<-begun // it is written and waits for the disk
	ctx, cancel := context.WithCancel(context.Background())
	const others = 40
	left := make(chan error, others)
	for n := range others {
		stay.Go(func() { add(1 + n) })
		go func() { left <- tr.Append(ctx, event("leaves", n)) }()
	}
	cancel()
	// One of them may write alone, while who came first waits for the disk outside its
	// turn: it waits for the disk too, which no context ends.
	for range others - 1 {
		if err := <-left; !errors.Is(err, session.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	close(release)
	if err := <-left; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	stay.Wait()
	end, err := verify(t, place{db: db.DB, d: sqlstore.SQLite()}, audit.Head{})
	if err != nil || end.Number < 1+others || end.Number > 1+2*others {
		t.Errorf("verified to %d, error %v", end.Number, err)
	}
	if stays, _ := pages(t, tr, session.AuditQuery{User: "stays"}); len(stays) != 1+others {
		t.Errorf("%d entries of those who stayed, want %d", len(stays), 1+others)
	}
}
