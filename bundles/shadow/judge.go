package shadow

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles/replay"
)

// Bounds of the work.
const (
	// breath is how many decisions are taken before whoever waits for the processor
	// has it.
	breath = 8
	// slowTurn is how many are taken at a time by a candidate that OPA's evaluator
	// has to run, a hundred times as slow: about a third of one processor.
	slowTurn = 16
	// confirmAll and confirmOneIn are how many differences, and then how often one,
	// and how often what agrees, OPA's evaluator is asked about too: the candidate
	// runs on the machine without the trial that a live policy has.
	confirmAll   = 200
	confirmOneIn = 5000
)

// run is a candidate while it is in shadow.
type run struct {
	of        *Shadow
	candidate Candidate
	threshold uint64
	tap       tap
	dropped   atomic.Uint64
	skipped   atomic.Uint64
	known     atomic.Uint64 // agreements that were known

	stop context.CancelFunc
	ctx  context.Context
	over chan struct{}
	asks chan chan Report

	mu      sync.Mutex // guards judge for revision
	judge   *engine.Judge
	live    *engine.Judge // by the live policy, of generation liveAt
	liveAt  uint64
	trouble string
	since   time.Time
	counts  counts
	groups  groups
	seen    struct{ dropped, skipped, known uint64 } // told to the metrics
	asked   uint64                                   // comparisons that OPA's evaluator was asked about
	from    int                                      // slot at which the next turn begins
	most    int                                      // decisions a turn
}

func newRun(x *Shadow, c Candidate, p *engine.Program) *run {
	s := &run{of: x, candidate: c, threshold: math.MaxUint64, judge: judgeOf(p), over: make(chan struct{}), asks: make(chan chan Report), since: x.opt.Now()}
	if c.Share < 1 {
		s.threshold = uint64(c.Share * math.MaxUint64)
	}
	s.tap.prints = newPrints()
	s.tap.plan.Store(planOf(s.judge, nil))
	s.most = s.bound()
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// remember is how many bytes of decisions a candidate keeps, as the live policy
// does: without that it would cost several times as much as the live one.
const remember = 16 << 20

func judgeOf(p *engine.Program) *engine.Judge {
	j := engine.NewJudge(p)
	j.Remember(remember)
	return j
}

func (s *run) end() {
	if s != nil {
		s.stop()
	}
}

func (s *run) revision() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.judge.Program().Revision()
}

// ask has what waits decided, and returns the report.
func (s *run) ask(ctx context.Context) (Report, error) {
	answer := make(chan Report, 1)
	select {
	case s.asks <- answer:
	case <-s.over:
		return Report{}, ErrNone
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
	select {
	case r := <-answer:
		return r, nil
	case <-s.over:
		return Report{}, ErrNone
	}
}

// work decides what is taken, until the run ends.
func (s *run) work() {
	defer close(s.over)
	tick := time.NewTicker(s.of.opt.Every)
	defer tick.Stop()
	s.follow()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			s.turn()
		case answer := <-s.asks:
			s.turn()
			answer <- s.report()
		}
	}
}

// turn decides what waits.
func (s *run) turn() {
	s.follow()
	done := 0
	for i := range room {
		at := &s.tap.slots[(s.from+i)%room]
		if at.state.Load() != full {
			continue
		}
		s.decide(at)
		at.live, at.plan = nil, nil
		at.state.Store(free)
		if done++; done%breath == 0 {
			runtime.Gosched()
		}
		if done == s.most || s.ctx.Err() != nil {
			s.from = (s.from + i + 1) % room
			break
		}
	}
	s.tally()
}

// tally takes over what was counted on the requests' path.
func (s *run) tally() {
	d, k, a := s.dropped.Load(), s.skipped.Load(), s.known.Load()
	s.of.meters.count(resultDropped, d-s.seen.dropped)
	s.of.meters.count(resultSkipped, k-s.seen.skipped)
	s.of.meters.count(resultAgreed, a-s.seen.known)
	s.counts.compared += a - s.seen.known
	s.counts.agreed += a - s.seen.known
	s.seen.dropped, s.seen.skipped, s.seen.known = d, k, a
}

// follow notes that another policy became the live one: the candidate is
// compiled anew, as the switches stand by now, and what was counted against the
// one before counts no more.
func (s *run) follow() {
	p, generation := s.of.opt.Live.Active()
	if p == nil || generation == s.liveAt {
		return
	}
	first := s.liveAt == 0
	s.live, s.liveAt = engine.NewJudge(p), generation
	if !first {
		s.tally()
		s.counts, s.groups, s.since, s.trouble = counts{}, groups{}, s.of.opt.Now(), ""
		s.again()
	}
	s.tap.plan.Store(planOf(s.judge, s.live))
}

// again compiles the candidate anew.
func (s *run) again() {
	next, err := s.candidate.Build()
	if err != nil {
		s.trouble = "it could not be compiled anew when the live policy changed: " + err.Error()
		s.of.opt.Logger.Error("policy in shadow is not as the switches stand", "place", s.candidate.Name, "error", err)
		return
	}
	s.mu.Lock()
	s.judge = judgeOf(next)
	s.mu.Unlock()
	s.most = s.bound()
}

// bound is how many decisions a turn has.
func (s *run) bound() int {
	if s.judge.Slow() != "" {
		return slowTurn
	}
	return room
}

// decide has the candidate decide what waits in a slot, and compares.
func (s *run) decide(at *slot) {
	r := &at.request
	if !at.plan.has(s.tap.plan.Load()) {
		s.counts.compared++
		s.count(resultStale, &s.counts.stale)
		return
	}
	d, err := s.judge.Decide(s.ctx, r)
	if s.ctx.Err() != nil {
		return
	}
	s.counts.compared++
	print := uint64(failed)
	if err == nil {
		print = s.tap.of(d)
	}
	if print == at.said {
		if s.counts.compared%confirmOneIn != 0 || s.judge.Confirm(s.ctx, r, d, err) {
			s.count(resultAgreed, &s.counts.agreed)
			if p := at.plan; err == nil && p.agreed != nil && p == s.tap.plan.Load() {
				p.agreed.agree(at.live, r.Time, d)
			}
			return
		}
	}
	s.differ(at, d, err)
}

// differ finds out what it is that differs: the live policy is asked once more
// too, since of what it said there is no more than the fingerprint.
func (s *run) differ(at *slot, d *authz.Decision, err error) {
	r := &at.request
	if at.generation != 0 && at.generation != s.liveAt || s.live == nil {
		s.count(resultStale, &s.counts.stale)
		return
	}
	was, wasErr := s.live.Decide(s.ctx, r)
	if s.asked++; s.asked <= confirmAll || s.asked%confirmOneIn == 0 {
		if !s.judge.Confirm(s.ctx, r, d, err) {
			d, err = s.judge.Program().Decide(s.ctx, r)
		}
		if !s.live.Confirm(s.ctx, r, was, wasErr) {
			was, wasErr = s.live.Program().Decide(s.ctx, r)
		}
	}
	if s.ctx.Err() != nil {
		return
	}
	if wasErr != nil {
		was = nil
	}
	changes := replay.Compare(was, d, err)
	if len(changes) == 0 {
		s.count(resultAgreed, &s.counts.agreed)
		return
	}
	s.count(resultDisagreed, &s.counts.disagreed)
	rules := rulesBetween(was, d)
	for _, c := range changes {
		s.of.meters.differ(string(c.Kind))
		s.groups.add(r, c, rules)
	}
}

func (s *run) count(result string, n *uint64) {
	*n++
	s.of.meters.count(result, 1)
}
