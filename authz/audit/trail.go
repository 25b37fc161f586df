package audit

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
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
	// perInsert is how many entries one statement adds: nine parameters each,
	// of which every database takes a few thousand.
	perInsert = 100
)

// Dialect is how an SQL database is spoken to; session/sqlstore has those of
// SQLite and Postgres. Safe for concurrent use.
type Dialect interface {
	// Bind rewrites a statement whose parameters are ?.
	Bind(query string) string
	// Migrate brings a schema up to date from goose migrations, in a folder for
	// each dialect; table keeps its version.
	Migrate(ctx context.Context, db *sql.DB, files fs.FS, table string) error
	// Tidy returns an error without what must not be shown.
	Tidy(err error) error
}

// Options set up a Trail. DB and Dialect are needed.
type Options struct {
	// DB is an open database, which stays its opener's to close. SQLite's should
	// be a file of its own: it has one writer at a time.
	DB      *sql.DB
	Dialect Dialect
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
	files, err := fs.Sub(migrations, "migrations")
	if err == nil {
		err = o.Dialect.Migrate(ctx, o.DB, files, versionTable)
	}
	if err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	t := &Trail{o: o, queue: make(chan *call, queued), stop: make(chan struct{}), over: make(chan struct{})}
	if t.metrics, err = newMetrics(o.Registerer, o.MetricPrefix); err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
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
	err := t.wait(ctx, c)
	t.metrics.appended(events, err, time.Since(began))
	return err
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

// run writes what is queued until Close.
func (t *Trail) run() {
	defer close(t.over)
	for {
		select {
		case c := <-t.queue:
			t.serve(c)
			continue
		default:
		}
		select {
		case c := <-t.queue:
			t.serve(c)
		case <-t.stop:
			return
		}
	}
}

// serve writes a call with those that wait behind it.
func (t *Trail) serve(first *call) {
	calls, n := []*call{first}, len(first.rows)
more:
	for n < batch {
		select {
		case c := <-t.queue:
			calls, n = append(calls, c), n+len(c.rows)
		default:
			break more
		}
	}
	err := t.write(calls)
	if err != nil {
		t.o.Logger.Error("the audit trail cannot be written", "entries", n, "error", err)
	}
	for _, c := range calls {
		c.done <- err
	}
}

// write adds the entries of some calls in one transaction. The update of the
// head comes first: its row's lock has gates that share the trail take turns.
func (t *Trail) write(calls []*call) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			// A driver's panic on this goroutine would end the gate.
			err = t.unavailable(fmt.Errorf("panic: %v", p))
		}
	}()
	tx, err := t.o.DB.BeginTx(ctx, nil)
	if err != nil {
		return t.unavailable(err)
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	n := 0
	for _, c := range calls {
		n += len(c.rows)
	}
	var number uint64
	var last []byte
	err = tx.QueryRowContext(ctx, t.o.Dialect.Bind(`UPDATE audit_head SET number = number + ? WHERE one = 1 RETURNING number, hash`), n).Scan(&number, &last)
	if err != nil {
		return t.unavailable(err)
	}
	if len(last) != len(Hash{}) {
		return t.unavailable(fmt.Errorf("the head has a hash of %d bytes", len(last)))
	}
	number -= uint64(n)
	hash := Hash(last)
	rows := make([]row, 0, n)
	for _, c := range calls {
		for _, r := range c.rows {
			number++
			r.number, r.hash = number, chain(hash, number, r.event)
			hash = r.hash
			rows = append(rows, r)
		}
	}
	if err := t.insert(ctx, tx, rows); err != nil {
		return t.unavailable(err)
	}
	if _, err = tx.ExecContext(ctx, t.o.Dialect.Bind(`UPDATE audit_head SET hash = ? WHERE one = 1`), hash[:]); err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return t.unavailable(err)
	}
	t.metrics.written(number, n)
	return nil
}

func (t *Trail) insert(ctx context.Context, tx *sql.Tx, rows []row) error {
	for len(rows) > 0 {
		some := rows[:min(len(rows), perInsert)]
		rows = rows[len(some):]
		args := make([]any, 0, 9*len(some))
		for _, r := range some {
			args = append(args, int64(r.number), r.at, r.action, r.userID, r.userEmail, r.actorID, r.actorEmail, r.event, r.hash[:])
		}
		query := `INSERT INTO audit_entries (number, at, action, user_id, user_email, actor_id, actor_email, event, hash) VALUES ` +
			strings.TrimSuffix(strings.Repeat(`(?, ?, ?, ?, ?, ?, ?, ?, ?), `, len(some)), ", ")
		if _, err := tx.ExecContext(ctx, t.o.Dialect.Bind(query), args...); err != nil {
			return err
		}
	}
	return nil
}
