package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Check says whether one part is ready to serve: nil, or what is amiss in
// words for operators. Its text is shown at /readyz, so it names no secret. It
// should heed ctx and must be safe for concurrent use.
type Check func(ctx context.Context) error

// Degraded wraps what is amiss but keeps no request from being served, such as
// a refused reload behind which the old policy goes on: the part stays ready
// and shows it. Were it not ready, one bad file would turn every replica away
// at once. nil stays nil.
func Degraded(err error) error {
	if err == nil {
		return nil
	}
	return degraded{err}
}

type degraded struct{ error }

func (d degraded) Unwrap() error { return d.error }

// Health knows what has to be ready. Safe for concurrent use.
type Health struct {
	limit time.Duration
	now   func() time.Time

	mu     sync.Mutex
	parts  []*part
	ending string
}

type part struct {
	name    string
	check   Check
	running *probe // the last one started, nil before the first
}

// probe is one run of a check. err is read after done is closed.
type probe struct {
	began time.Time
	done  chan struct{}
	err   error
}

// HealthOptions make a Health; the zero value will do.
type HealthOptions struct {
	// Limit is how long a check may take; 0 means one second.
	Limit time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// NewHealth returns a Health without checks, which is ready.
func NewHealth(o HealthOptions) *Health {
	if o.Limit <= 0 {
		o.Limit = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Health{limit: o.Limit, now: o.Now}
}

// Add registers a check under a name that is unique; a second one of the same
// name takes the first one's place.
func (h *Health) Add(name string, c Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &part{name: name, check: c}
	if i := slices.IndexFunc(h.parts, func(x *part) bool { return x.name == name }); i >= 0 {
		h.parts[i] = p
		return
	}
	h.parts = append(h.parts, p)
	slices.SortFunc(h.parts, func(a, b *part) int { return strings.Compare(a.name, b.name) })
}

// Ending makes readiness fail from now on, so that load balancers turn away
// before a shutdown begins. why is shown.
func (h *Health) Ending(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ending = why
}

// Report is what /readyz answers.
type Report struct {
	Ready bool         `json:"ready"`
	Parts []PartReport `json:"parts"`
}

// PartReport is one check's result; Detail is why it is not ready, or what is
// amiss although it is.
type PartReport struct {
	Name   string `json:"name"`
	Ready  bool   `json:"ready"`
	Detail string `json:"detail,omitempty"`
}

// Report runs all checks at once and waits for them, at most the limit. Calls
// that overlap share a run, and a check that hangs is not started again: asking
// often costs the parts no more than asking once.
func (h *Health) Report(ctx context.Context) Report {
	h.mu.Lock()
	parts, ending := slices.Clone(h.parts), h.ending
	probes := make([]*probe, len(parts))
	for i, p := range parts {
		probes[i] = h.probe(p)
	}
	h.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	out := Report{Ready: true, Parts: make([]PartReport, 0, len(parts)+1)}
	add := func(name string, err error) {
		r := PartReport{Name: name, Ready: true}
		if err != nil {
			_, serves := errors.AsType[degraded](err)
			r.Detail, r.Ready = err.Error(), serves
			out.Ready = out.Ready && serves
		}
		out.Parts = append(out.Parts, r)
	}
	for i, p := range parts {
		add(p.name, h.await(ctx, probes[i]))
	}
	if ending != "" {
		add("shutdown", errors.New(ending))
	}
	return out
}

// probe returns the run of p that is under way, or starts one. The caller
// holds h.mu.
func (h *Health) probe(p *part) *probe {
	if p.running != nil {
		select {
		case <-p.running.done:
		default:
			return p.running
		}
	}
	run := &probe{began: h.now(), done: make(chan struct{})}
	p.running = run
	go func() {
		defer close(run.done)
		defer func() {
			if x := recover(); x != nil {
				run.err = fmt.Errorf("the check panicked: %v", x)
			}
		}()
		// Not the asker's context: others may be waiting for this run too.
		ctx, cancel := context.WithTimeout(context.Background(), h.limit)
		defer cancel()
		run.err = p.check(ctx)
	}()
	return run
}

func (h *Health) await(ctx context.Context, run *probe) error {
	select {
	case <-run.done:
		return run.err
	default:
	}
	select {
	case <-run.done:
		return run.err
	case <-ctx.Done():
		return fmt.Errorf("no answer for %s", h.now().Sub(run.began).Round(time.Millisecond))
	}
}
