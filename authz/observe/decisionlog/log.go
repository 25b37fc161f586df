package decisionlog

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/observe"
)

// Sink takes records: whole lines of JSON, many per call, from one goroutine.
// It may block and try again until ctx ends; an error says that all, or as many
// as it tells with a *LostError, are lost.
type Sink interface {
	Write(ctx context.Context, lines []byte) error
	// Idle is called when nothing has come for a while, about every second.
	Idle()
	Close() error
}

// LostError says how many records of a call were lost, and why.
type LostError struct {
	Records int
	Err     error
}

// Error implements error.
func (e *LostError) Error() string {
	return fmt.Sprintf("%d decision records are lost: %v", e.Records, e.Err)
}

// Unwrap returns the cause.
func (e *LostError) Unwrap() error { return e.Err }

// Filter is the policy's own masking and dropping. Apply may change the record,
// a JSON object, in place. An error means that neither can be told: the record
// is dropped, since it might hold what the policy hides.
type Filter interface {
	// Active reports whether there is anything to apply.
	Active() bool
	Apply(ctx context.Context, record map[string]any) (drop bool, err error)
}

// Options make a Log. Sink and Logger are needed.
type Options struct {
	Sink Sink
	// Filter is asked about each record, behind the answers; nil hides nothing
	// besides secrets.
	Filter Filter
	// Allows is the share of allowed requests that is kept, 0 to 1, chosen by
	// request id: gates that share it choose the same. All others are kept always.
	Allows float64
	// Buffer is how many bytes of records may wait, at most 1 GiB; 0 means 16 MiB.
	// What comes while it is full is dropped and counted.
	Buffer int
	// Busy is called before Filter is asked about a batch, and what it returns
	// after: a tenth of a millisecond for each record. nil is nothing.
	Busy func() (done func())
	// Linger is how long the first record of a batch waits for others; 0 means
	// 100 ms.
	Linger time.Duration
	// Entrypoint is the rule that decides, such as data.neosc.authz.decision, and
	// IdentityPrefix begins the identity headers: both are in records.
	Entrypoint, IdentityPrefix string
	// Labels are in each record.
	Labels map[string]string
	// Logger is told when records are lost, at most once in a minute.
	Logger *slog.Logger
	// Registerer gets the counters; nil registers nothing. Prefix begins their
	// names; "" means observe.DefaultPrefix.
	Registerer prometheus.Registerer
	Prefix     string
}

// Log keeps decisions. It implements authz.Observer: Observe takes note of what a
// record needs and returns. Safe for concurrent use.
type Log struct {
	o Options
	constant
	parts   *shared
	allows  uint64 // requests whose hash is below are kept
	number  atomic.Uint64
	noted   *notes          // to be encoded
	waiting *observe.Buffer // encoded, to be handed over
	scratch sync.Pool
	scribe  sync.Mutex // of who encodes notes
	usual   encoder    // theirs

	some    chan struct{} // there are notes enough to be encoded
	wake    chan struct{}
	enough  chan struct{}
	closing chan struct{}
	done    chan struct{}
	ctx     context.Context // ends when Close has waited enough
	stop    context.CancelFunc
	told    time.Time

	kept, sampled                 prometheus.Counter
	full, write, policy, unmasked prometheus.Counter
}

// batch is how many bytes are written without waiting for more.
const batch = 256 << 10

var _ authz.Observer = (*Log)(nil)

// New starts the writer. Close ends it, and closes the sink.
func New(o Options) (*Log, error) {
	switch {
	case o.Sink == nil || o.Logger == nil:
		return nil, errors.New("decision log: Options lack Sink or Logger")
	case o.Allows < 0 || o.Allows > 1 || math.IsNaN(o.Allows):
		return nil, errors.New("decision log: the share of allows must be from 0 to 1")
	case o.Buffer < 0 || o.Buffer > 1<<30:
		return nil, errors.New("decision log: the buffer must be at most 1 GiB")
	}
	if o.Buffer == 0 {
		o.Buffer = 16 << 20
	}
	o.Busy = orNothing(o.Busy)
	if o.Linger == 0 {
		o.Linger = 100 * time.Millisecond
	}
	if o.Prefix == "" {
		o.Prefix = observe.DefaultPrefix
	}
	l := &Log{o: o, parts: &shared{prefix: o.IdentityPrefix}, noted: newNotes(), waiting: observe.NewBuffer(o.Buffer),
		some: make(chan struct{}, 1), wake: make(chan struct{}, 1), enough: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{})}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.scratch.New = func() any { return &encoder{b: make([]byte, 0, 4096)} }
	// At 1 all are kept: no hash is above the largest number.
	if l.allows = uint64(o.Allows * math.MaxUint64); o.Allows == 1 {
		l.allows = math.MaxUint64
	}
	if err := l.constants(); err != nil {
		return nil, err
	}
	if err := l.register(); err != nil {
		return nil, err
	}
	go l.encodeSome()
	go l.run()
	return l, nil
}

func (l *Log) constants() error {
	var boot [8]byte
	_, _ = rand.Read(boot[:])
	l.boot = bootID(boot)
	labels := l.o.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	text, err := json.Marshal(labels)
	if err != nil {
		return fmt.Errorf("decision log: labels: %w", err)
	}
	l.labels = fmt.Appendf(nil, `"labels":%s,`, text)
	e := encoder{b: []byte(`"path":`)}
	e.text(planPath(l.o.Entrypoint), maxShort, "")
	l.constant.path = append(e.b, ',')
	return nil
}

// planPath spells data.neosc.authz.decision as OPA's log does.
func planPath(entrypoint string) string {
	return string(bytes.ReplaceAll(bytes.TrimPrefix([]byte(entrypoint), []byte("data.")), []byte("."), []byte("/")))
}

func (l *Log) register() error {
	kept := prometheus.NewCounter(prometheus.CounterOpts{Name: l.o.Prefix + "decision_log_records_total", Help: "Decision records handed to the file or server."})
	sampled := prometheus.NewCounter(prometheus.CounterOpts{Name: l.o.Prefix + "decision_log_sampled_out_total", Help: "Allowed requests that the share decisions.allows leaves out."})
	lost := prometheus.NewCounterVec(prometheus.CounterOpts{Name: l.o.Prefix + "decision_log_dropped_total",
		Help: "Decision records that were not kept, by cause: full (the buffer was), write (file or server failed), policy (data.system.log.drop), mask (the policy's masking failed)."}, []string{"cause"})
	if r := l.o.Registerer; r != nil {
		for _, c := range []prometheus.Collector{kept, sampled, lost} {
			if err := r.Register(c); err != nil {
				return fmt.Errorf("decision log: %w", err)
			}
		}
	}
	l.kept, l.sampled = kept, sampled
	l.full, l.write, l.policy, l.unmasked = lost.WithLabelValues("full"), lost.WithLabelValues("write"), lost.WithLabelValues("policy"), lost.WithLabelValues("mask")
	return nil
}

func orNothing(busy func() (done func())) func() (done func()) {
	if busy == nil {
		return func() func() { return func() {} }
	}
	return busy
}

// run is the writer's goroutine.
func (l *Log) run() {
	defer close(l.done)
	idle := time.NewTicker(time.Second)
	defer idle.Stop()
	for {
		select {
		case <-l.wake:
			l.pause()
			if l.scribe.TryLock() { // else somebody is at it, and what came since wakes again
				l.encodeTaken()
				l.scribe.Unlock()
			}
			l.flush()
		case <-idle.C:
			l.o.Sink.Idle()
		case <-l.closing:
			l.flush()
			if err := l.o.Sink.Close(); err != nil {
				l.o.Logger.Error("decision log cannot be closed", "error", err)
			}
			return
		}
	}
}

func (l *Log) pause() {
	timer := time.NewTimer(l.o.Linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.enough:
	case <-l.closing:
	}
}

func (l *Log) flush() {
	out := l.waiting.Take()
	if len(out) == 0 {
		return
	}
	if l.o.Filter != nil && l.o.Filter.Active() {
		done := l.o.Busy()
		out = l.filtered(out)
		if done(); len(out) == 0 {
			return
		}
	}
	n := bytes.Count(out, []byte{'\n'})
	err := l.o.Sink.Write(l.ctx, out)
	lost := 0
	if err != nil {
		lost = n
		if some, ok := errors.AsType[*LostError](err); ok {
			lost = min(some.Records, n)
		}
		l.tell("decision records are lost", err)
	}
	l.kept.Add(float64(n - lost))
	l.write.Add(float64(lost))
}

// tell logs trouble once in a minute.
func (l *Log) tell(what string, err error) {
	if now := time.Now(); now.Sub(l.told) > time.Minute {
		l.told = now
		l.o.Logger.Error(what, "error", err)
	}
}

// filtered applies the policy's masks and drops to each record.
func (l *Log) filtered(lines []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(lines) {
		record, err := parseObject(line)
		drop := false
		if err == nil {
			drop, err = l.o.Filter.Apply(l.ctx, record)
		}
		var text []byte
		if err == nil && !drop {
			hideCopies(record)
			text, err = json.Marshal(record)
		}
		switch {
		case err != nil:
			l.unmasked.Inc()
			l.tell("the policy's masks of the decision log fail; records are dropped", err)
		case drop:
			l.policy.Inc()
		default:
			out.Write(text)
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

// parseObject keeps numbers exact.
func parseObject(line []byte) (m map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err = d.Decode(&m); err == nil && m == nil {
		err = errors.New("it is no object")
	}
	return m, err
}

// Close writes what waits and closes the sink. It returns ctx's error, and gives
// up what the sink still tries, when that takes longer.
func (l *Log) Close(ctx context.Context) error {
	if l.noted.end() { // what comes now waits for nobody to encode it
		l.encodeNoted()
		l.waiting.End()
		close(l.closing)
	}
	defer l.stop()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
