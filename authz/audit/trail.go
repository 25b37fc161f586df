package audit

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

//go:embed migrations
var migrations embed.FS

const (
	// versionTable keeps this package's schema version, apart from that of
	// others in the same database.
	versionTable = "audit_schema"
	// writeTimeout bounds one transaction; who waits longer has gone away.
	writeTimeout = 5 * time.Second
	// batch is how many entries one transaction adds at most, and queued how
	// many calls wait for one before further callers wait to be let in.
	batch  = 512
	queued = 1024
	// enough calls are not kept waiting for more: it is as good to write them while
	// others are being synced.
	enough = 32
	// unsyncedMost is how many transactions wait at most for the disk while another is being
	// synced; one sync serves them all.
	unsyncedMost = 8
	// linger is how long a transaction waits for more calls while they come close
	// on each other: it takes a third of a millisecond of CPU and a wait for the
	// disk, whether for one entry or for fifty.
	linger = 2 * time.Millisecond
)

// Dialect is how the trail's database is spoken to.
type Dialect interface {
	session.SQLDialect
	// InProcess says that the database is a part of this process: a statement
	// costs no round trip, and nothing but another writer keeps it waiting.
	InProcess() bool
}

// Options set up a Trail. DB and Dialect are needed.
type Options struct {
	// DB is an open database, which stays its opener's to close. SQLite's should
	// be a file of its own: it has one writer at a time.
	DB      *sql.DB
	Dialect Dialect
	// Sync returns once what DB has committed is on disk; nil where it is when it
	// is committed.
	Sync func() error
	// SearchTime is how long one search for a text looks through entries before it
	// says where it goes on; 25 ms if it is 0.
	SearchTime time.Duration
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none are shown.
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
}

// Trail implements session.Auditor and session.AuditReader on a database that
// several gates may share. Callers that come while a transaction is under way
// share the next one, so that one wait for the disk serves them all. Safe for
// concurrent use.
type Trail struct {
	o       Options
	metrics *metrics
	queue   chan *call
	stop    chan struct{} // closed by Close
	once    sync.Once
	over    chan struct{} // closed when run has returned

	statements statements
	// turn is held by who writes: mostly run, and a caller that is alone.
	turn sync.Mutex
	// Of who holds turn: where the trail ended when this gate wrote it last, nil if that is
	// not known, and how many calls are to be expected at once.
	head  *Head
	crowd int
	// last is the last entry that this gate has written, and wrote when that was.
	last  uint64
	wrote time.Time
	// found is the last entry that has in the database what it is found by.
	found uint64
	// tail is nil where the database is not in this process: others write to it as well.
	tail *tail
	// findable wakes finds.
	findable chan struct{}
	// unsynced are calls that are written and not yet on disk.
	unsynced chan []*call
}

// call is one Append that waits.
type call struct {
	rows []row
	done chan error
}

// New returns a Trail on o.DB, whose schema it brings up to date. Close it
// before the database.
func New(ctx context.Context, o Options) (*Trail, error) {
	if o.DB == nil || o.Dialect == nil {
		return nil, errors.New("audit trail: need DB and Dialect")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	if o.SearchTime == 0 {
		o.SearchTime = searchTime
	}
	files, err := fs.Sub(migrations, "migrations")
	if err == nil {
		err = o.Dialect.Migrate(ctx, o.DB, files, versionTable)
	}
	if err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	t := &Trail{o: o, queue: make(chan *call, queued), stop: make(chan struct{}), over: make(chan struct{}), unsynced: make(chan []*call, unsyncedMost), findable: make(chan struct{}, 1)}
	if t.metrics, err = newMetrics(o.Registerer, o.MetricPrefix); err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	err = t.load(ctx)
	if err == nil {
		err = t.prepare(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("audit trail: %w", o.Dialect.Tidy(err))
	}
	go t.run()
	return t, nil
}

// Close writes what waits and returns; later Appends fail.
func (t *Trail) Close() error {
	t.once.Do(func() { close(t.stop) })
	<-t.over
	return nil
}

func (t *Trail) unavailable(err error) error {
	return fmt.Errorf("%w: audit trail: %w", session.ErrUnavailable, t.o.Dialect.Tidy(err))
}

var errClosed = errors.New("it is closed")

// Append implements session.Auditor.
func (t *Trail) Append(ctx context.Context, events ...session.Event) error {
	if len(events) == 0 {
		return nil
	}
	c := &call{done: make(chan error, 1)}
	now := t.o.Clock()
	for _, e := range events {
		r, err := newRow(e, now)
		if err != nil {
			return err
		}
		c.rows = append(c.rows, r)
	}
	began := time.Now()
	alone, err := t.alone(c)
	if !alone {
		err = t.wait(ctx, c)
	}
	t.metrics.appended(events, err, time.Since(began))
	return err
}

// alone writes a call at once if nobody else writes or waits: two handovers
// between threads, of which each costs a sixth of a wait for the disk, are spared. It
// waits for the disk and no further, so for nothing that a context could end.
func (t *Trail) alone(c *call) (bool, error) {
	if !t.o.Dialect.InProcess() || !t.turn.TryLock() {
		return false, nil
	}
	defer t.turn.Unlock()
	select {
	case <-t.stop:
		return true, t.unavailable(errClosed)
	default:
	}
	if t.crowd > 1 || len(t.queue) > 0 {
		return false, nil
	}
	err := t.written([]*call{c}, len(c.rows))
	if err == nil && t.o.Sync != nil {
		err = t.synced()
	}
	t.crowd = 1 + len(t.queue)
	return true, err
}

func (t *Trail) wait(ctx context.Context, c *call) error {
	select {
	case <-t.stop: // before queue, which has room still
		return t.unavailable(errClosed)
	default:
	}
	select {
	case t.queue <- c:
	case <-t.stop:
		return t.unavailable(errClosed)
	case <-ctx.Done():
		return t.unavailable(ctx.Err())
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return t.unavailable(ctx.Err())
	case <-t.over: // it came too late for the last transaction, or was in it
		select {
		case err := <-c.done:
			return err
		default:
			return t.unavailable(errClosed)
		}
	}
}
