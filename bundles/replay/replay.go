package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/observe/decisionlog"
)

// Options say how to replay. Judge is needed.
type Options struct {
	// Judge decides by the policy that is tried.
	Judge *engine.Judge
	// Edge is the one that the policy is meant for.
	Edge Edge
	// Workers is how many records are decided at once; 0 means one for each CPU.
	Workers int
	// Only leaves records out, which are counted as others; nil takes all.
	Only func(*decisionlog.Record) bool
	// Progress is told, about every second and from one goroutine, how many
	// records have been read; nil is nobody.
	Progress func(records int64)
	// Now is time.Now if nil.
	Now func() time.Time
}

// chunk are lines of one file that a worker takes at once.
type chunk struct {
	file  string
	text  string
	ends  []int // of the lines in text
	first []int // their numbers
	errs  []error
	order int64
}

// chunkBytes is about how much a worker takes at once.
const chunkBytes = 256 << 10

// Log replays the records of a log, those of its oldest file first, in memory that
// does not grow with them. When ctx ends the report is of what was done until then,
// and says so. An error is of reading alone.
func Log(ctx context.Context, o Options, path string) (*Report, error) {
	return run(ctx, o, func(ctx context.Context, each func(decisionlog.Line) error) error {
		if err := decisionlog.Scan(ctx, path, each); err != nil {
			return fmt.Errorf("decision log: %w", err)
		}
		return nil
	})
}

// Reader is Log for what is open.
func Reader(ctx context.Context, o Options, name string, from io.Reader) (*Report, error) {
	return run(ctx, o, func(ctx context.Context, each func(decisionlog.Line) error) error {
		return decisionlog.ScanReader(ctx, name, from, each)
	})
}

func run(ctx context.Context, o Options, scan func(context.Context, func(decisionlog.Line) error) error) (*Report, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	start := o.Now()
	var read atomic.Int64
	stopProgress := progress(o.Progress, &read)
	chunks := make(chan *chunk, 2*o.Workers)
	tallies := make([]*tally, o.Workers)
	var workers sync.WaitGroup
	for i := range tallies {
		tallies[i] = newTally()
		workers.Go(func() { work(ctx, &o, tallies[i], chunks, &read) })
	}
	err := feed(ctx, scan, chunks)
	close(chunks)
	workers.Wait()
	stopProgress()
	all := newTally()
	for _, t := range tallies {
		all.add(t)
	}
	r := all.report()
	r.Revision, r.Evaluator, r.Slow = o.Judge.Program().Revision(), engine.Machine, o.Judge.Slow()
	if r.Slow != "" {
		r.Evaluator = engine.OPA
	}
	r.Seconds = o.Now().Sub(start).Seconds()
	if ctx.Err() != nil {
		r.Interrupted = true
		err = nil
	}
	return r, err
}

// progress tells how far it is until the returned function is called.
func progress(tell func(int64), read *atomic.Int64) (stop func()) {
	if tell == nil {
		return func() {}
	}
	end, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				tell(read.Load())
			case <-end:
				return
			}
		}
	}()
	return func() { close(end); <-over }
}

// feed cuts lines into chunks.
func feed(ctx context.Context, scan func(context.Context, func(decisionlog.Line) error) error, to chan<- *chunk) error {
	var text strings.Builder
	c := &chunk{}
	order := int64(0)
	send := func() error {
		if len(c.ends) == 0 {
			return nil
		}
		c.text = text.String()
		select {
		case to <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
		text.Reset()
		c = &chunk{}
		return nil
	}
	err := scan(ctx, func(l decisionlog.Line) error {
		if len(c.ends) > 0 && (c.file != l.File || text.Len() > chunkBytes) {
			if err := send(); err != nil {
				return err
			}
		}
		if len(c.ends) == 0 {
			c.file, c.order = l.File, order
			text.Grow(chunkBytes + 8<<10)
		}
		order++
		text.Write(l.Text)
		c.ends, c.first, c.errs = append(c.ends, text.Len()), append(c.first, l.Number), append(c.errs, l.Err)
		return nil
	})
	return errors.Join(err, send())
}

// work replays chunks until there are no more.
func work(ctx context.Context, o *Options, t *tally, chunks <-chan *chunk, read *atomic.Int64) {
	p := newPlayer(o.Judge, o.Edge)
	for c := range chunks {
		if ctx.Err() != nil {
			continue // so that the reader ends
		}
		from := 0
		for i, end := range c.ends {
			if ctx.Err() != nil {
				break
			}
			at := place{c.file, c.first[i], c.order + int64(i)}
			t.line(ctx, o, p, c.text[from:end], c.errs[i], at)
			from = end
		}
		read.Add(int64(len(c.ends)))
	}
	t.Disagreed = p.disagreed
}

// line replays one line.
func (t *tally) line(ctx context.Context, o *Options, p *player, text string, err error, at place) {
	var r *decisionlog.Record
	if err == nil {
		r, err = p.shared.Parse(text)
	}
	if err != nil {
		t.bad(at, err)
		return
	}
	if o.Only != nil && !o.Only(r) {
		t.Others++
		return
	}
	t.record(ctx, p, r, at)
}

func (t *tally) record(ctx context.Context, p *player, r *decisionlog.Record, at place) {
	t.Records++
	if !t.revisions[r.Revision] && len(t.revisions) < maxRevisions && r.Revision != "" {
		t.revisions[strings.Clone(r.Revision)] = true
	}
	// A record of another OPA has no verdict, and every one of those is policy's.
	if !r.Judged() && r.Generation == 0 && r.Verdict != "" {
		t.Unjudged++
		return
	}
	if path := p.missing(r); path != "" {
		t.lacks(r, at, path)
		return
	}
	if !r.Judged() {
		t.lacks(r, at, "/result")
		return
	}
	changes, d, err := p.decide(ctx, r)
	switch {
	case err != nil && ctx.Err() != nil: // it was ended, not decided
		t.Records--
	case len(changes) == 0:
		t.Same++
	default:
		t.changed(r, at, changes, d)
	}
}

// Player replays records that are read already, for one goroutine.
type Player struct{ p *player }

// NewPlayer returns a Player of requests that came from the edge that j is meant for.
func NewPlayer(j *engine.Judge) *Player { return &Player{newPlayer(j, Edge{})} }

// Play decides a record anew: what is decided otherwise, or the pointer to what
// is missing of it.
func (x *Player) Play(ctx context.Context, r *decisionlog.Record) (changes []Change, missing string) {
	if path := x.p.missing(r); path != "" {
		return nil, path
	}
	changes, _, _ = x.p.decide(ctx, r)
	return changes, ""
}
