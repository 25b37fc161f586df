package observe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
)

// LogOptions make a Log.
type LogOptions struct {
	// Writer gets whole lines, many per call, from one goroutine. Required.
	Writer io.Writer
	// Buffer is how many bytes may wait to be written, at most 1 GiB; 0 means
	// 4 MiB. As many again may be on their way out. What comes while it is full
	// is dropped and counted.
	Buffer int
	// Linger is how long the first line of a batch waits for others; 0 means
	// 50 ms, negative not at all. To wake the writer and to write cost more than
	// many decisions: at 2,500 checks a second behind Envoy, batches of 5 ms made
	// the log a seventh of what the gate takes, those of 50 ms next to nothing.
	Linger time.Duration
	// Registerer gets the counters; nil registers nothing.
	Registerer prometheus.Registerer
	// Prefix begins every metric's name; "" means DefaultPrefix.
	Prefix string
}

// Log is the access log. Observe copies what it needs into a buffer and
// returns; one goroutine writes. Nobody waits for a lock. Safe for concurrent
// use.
type Log struct {
	w       io.Writer
	linger  time.Duration
	waiting *Buffer // lines to be written

	wake    chan struct{} // capacity 1: there is something to write
	enough  chan struct{} // capacity 1: no need to wait for more
	closing chan struct{}
	done    chan struct{} // the writer is gone

	scratch sync.Pool
	torn    bool // the writer's: the last write ended inside a line

	written, full, failed prometheus.Counter
}

const (
	// batch is how many bytes are written without waiting for more.
	batch = 128 << 10
	// maxBuffer bounds LogOptions.Buffer.
	maxBuffer = 1 << 30
)

// NewLog starts the writer. Close ends it.
func NewLog(o LogOptions) (*Log, error) {
	if o.Writer == nil {
		return nil, errors.New("observe: LogOptions.Writer is missing")
	}
	if o.Buffer <= 0 {
		o.Buffer = 4 << 20
	}
	if o.Buffer > maxBuffer {
		return nil, errors.New("observe: LogOptions.Buffer is above 1 GiB")
	}
	if o.Linger == 0 {
		o.Linger = 50 * time.Millisecond
	}
	prefix, err := metricPrefix(o.Prefix)
	if err != nil {
		return nil, err
	}
	written := prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "access_log_lines_total",
		Help: "Access log lines handed to the writer."})
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "access_log_dropped_total",
		Help: "Access log lines lost, by cause: the buffer was full, or the write failed."}, []string{"cause"})
	if err := register(o.Registerer, written, dropped); err != nil {
		return nil, err
	}
	l := &Log{
		w: o.Writer, linger: o.Linger, waiting: NewBuffer(o.Buffer),
		wake: make(chan struct{}, 1), enough: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
		written: written, full: dropped.WithLabelValues("full"), failed: dropped.WithLabelValues("write"),
	}
	l.scratch.New = func() any { b := make([]byte, 0, 1024); return &b }
	go l.write()
	return l, nil
}

// Observe implements authz.Observer. After Close it drops and counts.
func (l *Log) Observe(r *authz.Request, o *authz.Outcome, took time.Duration) {
	// A line is made apart and copied (some 400 bytes): only then is its size
	// known.
	p := l.scratch.Get().(*[]byte)
	line := appendLine((*p)[:0], r, o, took)
	before, fits := l.waiting.Add(line)
	after := before + len(line)
	*p = line
	l.scratch.Put(p)
	switch {
	case !fits:
		l.full.Inc()
	case before == 0:
		signal(l.wake)
	case before < batch && after >= batch:
		signal(l.enough)
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// write is the writer's goroutine.
func (l *Log) write() {
	defer close(l.done)
	for {
		select {
		case <-l.wake:
			l.pause()
			l.flush()
		case <-l.closing:
			l.flush()
			return
		}
	}
}

// pause lets a batch gather, unless the log is closing.
func (l *Log) pause() {
	if l.linger < 0 {
		return
	}
	timer := time.NewTimer(l.linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.enough: // perhaps of an earlier batch: then this one goes early
	case <-l.closing:
	}
}

// flush writes what waits. A writer that fails loses this batch, counted;
// decisions go on, and so does the log.
func (l *Log) flush() {
	out := l.waiting.Take()
	if len(out) == 0 {
		return
	}
	if l.torn { // close the torn line, so that it spoils no other
		_, _ = l.w.Write([]byte{'\n'})
		l.torn = false
	}
	n, err := l.w.Write(out)
	if err == nil && n < len(out) {
		err = io.ErrShortWrite
	}
	whole := bytes.Count(out[:min(max(n, 0), len(out))], []byte{'\n'})
	l.written.Add(float64(whole))
	if err != nil {
		l.failed.Add(float64(bytes.Count(out, []byte{'\n'}) - whole))
		l.torn = n > 0 && n < len(out) && out[n-1] != '\n'
	}
}

// Close writes what waits and ends the writer. It returns ctx's error if the
// writer hangs for longer than that. A second call only waits.
func (l *Log) Close(ctx context.Context) error {
	if l.waiting.End() {
		close(l.closing)
	}
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
