// Package shadow has a candidate policy decide beside the live one: on a share of
// the requests, off their path, and with nothing coming of it but a report of
// where the two differ, by rule.
//
// shadow.go is what operators do, tap.go takes requests off the path, judge.go
// decides them again, report.go says what came of it.
package shadow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
)

// Options make a Shadow.
type Options struct {
	// Live decides. Required.
	Live *engine.Engine
	// Logger says what was begun, ended and could not be. Required.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none are kept. MetricPrefix begins
	// their names; "" means "pomerium_".
	Registerer   prometheus.Registerer
	MetricPrefix string
	// Now is the clock of the report; nil means time.Now. Decisions use
	// Request.Time, never this.
	Now func() time.Time
	// Every is how often what was taken is decided; 0 means 5 ms. Woken for each
	// request, it would cost those more than it does itself.
	Every time.Duration
}

// Candidate is a policy that is to be watched.
type Candidate struct {
	// Name is what the report calls its place.
	Name string
	// Build compiles it. It is called again whenever another policy has become the
	// live one, since switches may have been turned with it.
	Build func() (*engine.Program, error)
	// Share is how many of the requests it decides, above 0 and up to 1.
	Share float64
}

// ErrNone says that there is no candidate.
var ErrNone = errors.New("no policy is in shadow")

// Shadow is at most one candidate beside an Engine. It implements
// authz.Observer, which costs nothing while there is none. Safe for concurrent
// use.
type Shadow struct {
	opt    Options
	meters *meters
	active atomic.Pointer[run]
	mu     sync.Mutex // guards what begins and ends
}

var _ authz.Observer = (*Shadow)(nil)

// New returns a Shadow without a candidate.
func New(o Options) (*Shadow, error) {
	switch {
	case o.Live == nil:
		return nil, errors.New("shadow: Options.Live is missing")
	case o.Logger == nil:
		return nil, errors.New("shadow: Options.Logger is missing")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Every = cmp.Or(o.Every, 5*time.Millisecond)
	x := &Shadow{opt: o, meters: newMeters(cmp.Or(o.MetricPrefix, "pomerium_"))}
	return x, x.meters.register(o.Registerer)
}

// Start has a candidate decide from now on, in place of any before. An error
// leaves that one as it was.
func (x *Shadow) Start(c Candidate) error {
	if !(c.Share > 0 && c.Share <= 1) {
		return fmt.Errorf("the share %v is not above 0 and up to 1", c.Share)
	}
	program, err := c.Build()
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	next := newRun(x, c, program)
	old := x.active.Swap(next)
	old.end()
	go next.work()
	x.meters.active.Set(1)
	x.opt.Logger.Info("policy is in shadow", "place", c.Name, "revision", program.Revision(), "share", c.Share)
	return nil
}

// Drop ends what Start began; ErrNone if there is nothing.
func (x *Shadow) Drop() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.active.Swap(nil)
	if old == nil {
		return ErrNone
	}
	old.end()
	x.meters.active.Set(0)
	x.opt.Logger.Info("policy is in shadow no more", "place", old.candidate.Name, "revision", old.revision())
	return nil
}

// Report says what came of it until now: what was taken off the path is decided
// first. ErrNone if there is no candidate.
func (x *Shadow) Report(ctx context.Context) (Report, error) {
	s := x.active.Load()
	if s == nil {
		return Report{}, ErrNone
	}
	return s.ask(ctx)
}

// Close ends all and waits for it until ctx ends.
func (x *Shadow) Close(ctx context.Context) error {
	s := x.active.Load()
	if err := x.Drop(); err != nil {
		return nil
	}
	select {
	case <-s.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Observe implements authz.Observer.
func (x *Shadow) Observe(r *authz.Request, o *authz.Outcome, _ time.Duration) {
	s := x.active.Load()
	if s == nil || s.threshold != math.MaxUint64 && rand.Uint64() >= s.threshold {
		return
	}
	s.take(r, o)
}
