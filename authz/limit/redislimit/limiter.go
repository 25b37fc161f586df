package redislimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
)

// Limiter implements authz.Limiter over Redis, see the package comment. Time
// is Redis' own; the now that callers bring is not looked at.
type Limiter struct {
	redis    runner
	local    *limit.Local
	lanes    []*lane
	names    names
	budget   time.Duration
	failures int
	replicas int
	onError  OnError
	clock    func() time.Time
	log      *slog.Logger
	metrics  *metrics
	batches  sync.Pool

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// New returns a limiter. It does not wait for Redis: see Ping. It must be
// closed.
func New(o Options) (*Limiter, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	local, err := limit.NewLocal(limit.Options{MaxKeys: o.MaxKeys})
	if err != nil {
		return nil, err
	}
	l := &Limiter{
		local: local, budget: o.Budget, failures: o.Failures, replicas: max(1, o.Replicas),
		onError: o.OnError, clock: o.Clock, log: o.Log, batches: sync.Pool{New: func() any { return newBatch() }},
	}
	n := 1
	if o.Mode == Cluster {
		n = tags
	}
	for i := range n {
		l.lanes = append(l.lanes, newLane(l, i))
	}
	l.names.prefix, l.names.lanes = o.Prefix, n
	if l.metrics, err = newMetrics(&o, local.Len, l.down); err != nil {
		return nil, err
	}
	if l.redis, err = connect(o); err != nil {
		return nil, err
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	return l, nil
}

// Close gives up what waits, ends the limiter's goroutines and closes its
// connections. Spend then returns ErrClosed.
func (l *Limiter) Close() error {
	for _, n := range l.lanes {
		n.close()
	}
	l.stop()
	l.wg.Wait()
	return l.redis.Close()
}

// Ping makes a call to Redis, or to every tag of a cluster, and returns the
// first error. At start it warms the connections up.
func (l *Limiter) Ping(ctx context.Context) error {
	for _, n := range l.lanes {
		b := newBatch()
		b.add(&item{kind: take, parts: []part{l.probePart(n.tag)}})
		reply, err := l.redis.run(ctx, b.encode())
		if err == nil {
			err = b.decode(reply)
		}
		if err != nil {
			return fmt.Errorf("redislimit: %w", err)
		}
	}
	return nil
}

// Trouble is nil while Redis answers, else it wraps ErrUnavailable and says how
// much of it is being passed by. For readiness and status pages.
func (l *Limiter) Trouble() error {
	if n := l.down(); n > 0 {
		return fmt.Errorf("%w: %d of %d shards are passed by (on_error: %s)", ErrUnavailable, n, len(l.lanes), l.onError)
	}
	return nil
}

func (l *Limiter) down() int {
	down := 0
	for _, n := range l.lanes {
		if n.passedBy() {
			down++
		}
	}
	return down
}

// Strict returns the same limiter, but what it cannot count it does not admit:
// OnError Allow becomes Local. limit.Guesses uses it.
func (l *Limiter) Strict() authz.Limiter { return strict{l} }

type strict struct{ l *Limiter }

func (s strict) Spend(ctx context.Context, _ time.Time, charges []authz.Charge) (authz.Spent, error) {
	on := s.l.onError
	if on == Allow {
		on = Local
	}
	return s.l.spend(ctx, charges, on)
}

// Spend implements authz.Limiter. Errors wrap limit.ErrInvalid, ErrUnavailable
// (OnError Deny), limit.ErrFull (OnError Local), ErrClosed, or are ctx's.
func (l *Limiter) Spend(ctx context.Context, _ time.Time, charges []authz.Charge) (authz.Spent, error) {
	return l.spend(ctx, charges, l.onError)
}

func (l *Limiter) spend(ctx context.Context, charges []authz.Charge, on OnError) (authz.Spent, error) {
	if len(charges) == 0 {
		return authz.Spent{Allowed: true, Limiting: -1}, nil
	}
	now := l.clock()
	if s, err := l.local.Known(now, charges); err != nil || !s.Allowed {
		l.metrics.decided(byMemory, s, err)
		return s, err
	}
	s, err := l.ask(ctx, now, charges)
	if err == nil {
		l.metrics.decided(byRedis, s, nil)
		return s, nil
	}
	if cause := ctx.Err(); cause != nil {
		return authz.Spent{}, cause
	}
	return l.without(charges, on, err)
}

// without answers when Redis did not.
func (l *Limiter) without(charges []authz.Charge, on OnError, cause error) (authz.Spent, error) {
	if l.ctx.Err() != nil || errors.Is(cause, ErrClosed) {
		return authz.Spent{}, ErrClosed
	}
	var s authz.Spent
	var err error
	by := byLocal
	switch on {
	case Allow:
		s, by = authz.Spent{Allowed: true, Limiting: -1}, byAllow
	case Deny:
		err, by = fmt.Errorf("%w: %w", ErrUnavailable, cause), byDeny
	default:
		s, err = l.local.TakeOver(l.clock(), charges, l.replicas)
	}
	l.metrics.decided(by, s, err)
	return s, err
}

// tripped and restored tell of the breaker.
func (l *Limiter) tripped(n *lane, err error) {
	l.log.Warn("rate limits: redis is passed by until it answers in time again",
		"shard", n.tag, "on_error", string(l.onError), "budget", l.budget.String(), "error", err)
}

func (l *Limiter) restored(n *lane) {
	l.log.Info("rate limits: redis answers again", "shard", n.tag)
}

// probePart asks for one token of a bucket that is never short of them.
func (l *Limiter) probePart(tag int) part {
	lim, _ := limit.NewLimit(limit.MaxRate, limit.MaxBurst)
	c := authz.Charge{Name: "probe", Rate: limit.MaxRate, Burst: limit.MaxBurst, Cost: 1}
	p := l.names.part(&c, lim, 0)
	p.table, p.tag = l.names.table(limitID{c.Name, lim, tag}), tag
	return p
}
