package bundles_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/bundles"
)

// paused is a stand that stops before the tests of what is offered next, once
// armed, until it may go on: a bundle's tests take up to minutes.
func paused(t *testing.T) (s *stand, arm func(), there <-chan bool, goOn func()) {
	var calls atomic.Int64
	reached, leave := make(chan bool), make(chan bool)
	s = newStand(t, func(o *bundles.Options) {
		o.Busy = func() func() {
			if calls.Add(-1) == 0 { // reading it is the first, its tests are the second
				reached <- true
				<-leave
			}
			return func() {}
		}
	})
	return s, func() { calls.Store(2) }, reached, func() { leave <- true }
}

func within[T any](t *testing.T, do func() T) T {
	t.Helper()
	done := make(chan T, 1)
	go func() { done <- do() }()
	select {
	case x := <-done:
		return x
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for what it must not wait for")
		panic("unreachable")
	}
}

// What becomes of a bundle in its tests is for the state after them to say.
func TestRollbackWaitsForNoTests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, word string
		sequence   uint64
		promote    bool
		active     string
		says       string
	}{
		{"ANewerOneBecomesActiveThen", "three", 3, false, "three", ""},
		{"APromotedOneDoesNot", "three", 3, true, "one", "an operator has gone back"},
		{"APromotedOneOfBeforeDoesNot", "two", 2, true, "one", "an operator has gone back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, arm, there, goOn := paused(t)
			s.must(s.offer(s.bundle("one", 1)))
			s.must(s.offer(s.bundle("two", 2)))
			packed, done := s.bundle(c.word, c.sequence), make(chan error, 1)
			s.put(s.file, packed)
			arm()
			go func() {
				if c.promote {
					_, _, err := s.Promote(packed)
					done <- err
					return
				}
				done <- s.Reload()
			}()
			<-there
			if err := within(t, func() error { _, err := s.Rollback("one"); return err }); err != nil {
				t.Fatal(err)
			}
			s.decides("one")
			goOn()
			err := <-done
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %v, want %q", err, c.says)
			}
			s.decides(c.active)
			if _, active, err := s.Kept(); err != nil || active != s.Status().Bundle.ID {
				t.Errorf("the next start begins with %s, %v", active, err)
			}
		})
	}
}

// What the operator goes back to while its own like is tested is active once, and
// what it goes back from does not come again.
func TestAnOfferThatIsTestedDoesNotBringBackWhatAnOperatorLeft(t *testing.T) {
	t.Parallel()
	s, arm, there, goOn := paused(t)
	for _, word := range []string{"one", "two", "three"} { // without a sequence
		s.must(s.offer(s.bundle(word, 0)))
	}
	s.put(s.file, s.bundle("two", 0))
	arm()
	done := make(chan error, 1)
	go func() { done <- s.Reload() }()
	<-there
	for _, to := range []string{"two", "one"} {
		if err := within(t, func() error { _, err := s.Rollback(to); return err }); err != nil {
			t.Fatal(err)
		}
	}
	goOn()
	s.must(<-done)
	s.decides("one")
	if x := s.Status(); x.Held != "two" {
		t.Errorf("holds %q", x.Held)
	}
}

// slowPlace answers when it is told to.
type slowPlace struct {
	asked, leave chan bool
	packed       []byte
}

func (p *slowPlace) Fetch(context.Context) ([]byte, error) {
	p.asked <- true
	<-p.leave
	return p.packed, nil
}
func (p *slowPlace) Run(context.Context, func([]byte) error, func(error)) {}
func (p *slowPlace) String() string                                       { return "slow" }

func TestRollbackWaitsForNoServer(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	s.must(s.offer(s.bundle("one", 1)))
	s.must(s.offer(s.bundle("two", 2)))
	p := &slowPlace{asked: make(chan bool), leave: make(chan bool), packed: s.bundle("two", 2)}
	s.options = func(o *bundles.Options) { o.File, o.Remote = "", p }
	s.restart()
	s.must(s.Reload())
	done := make(chan error, 1)
	go func() { done <- s.Reload() }()
	<-p.asked
	if err := within(t, func() error { _, err := s.Rollback("one"); return err }); err != nil {
		t.Fatal(err)
	}
	p.leave <- true
	s.must(<-done)
	s.decides("one")
}
