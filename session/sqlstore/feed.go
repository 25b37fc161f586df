package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neosc/gate/session"
)

// closeWithin bounds saying goodbye to the server.
const closeWithin = 200 * time.Millisecond

// feed hears of every change of a record on a connection of its own, by LISTEN,
// and knows how long it would have.
//
// A commit signals the backends that listen before its writer is answered, and
// a backend passes on what it was signalled before it says that it is ready for
// the next statement. So once a ping is answered, all that was committed before
// it was sent has been delivered.
type feed struct {
	hub    *session.Hub
	cfg    *pgconn.Config
	clock  func() time.Time
	cancel context.CancelFunc
	over   chan struct{} // closed when Run has returned
}

func newFeed(cfg *pgconn.Config, clock func() time.Time, hub *session.Hub) *feed {
	ctx, cancel := context.WithCancel(context.Background())
	f := &feed{hub: hub, cfg: cfg, clock: clock, cancel: cancel, over: make(chan struct{})}
	go func() {
		defer close(f.over)
		hub.Run(ctx, f.listen)
	}()
	return f
}

func (f *feed) close() {
	f.cancel()
	<-f.over
}

// listen connects and tells of changes until the connection fails.
func (f *feed) listen(ctx context.Context) error {
	cfg := f.cfg.Copy()
	cfg.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		k, err := session.ParseKey(n.Payload)
		if err != nil {
			k = session.Key{} // something changed; better all copies than the wrong one
		}
		f.hub.Tell(k)
	}
	c, err := f.connect(ctx, cfg)
	if err != nil {
		return tidy(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
		defer cancel()
		_ = c.Close(ctx)
	}()
	p, err := f.subscribe(ctx, c)
	if err != nil {
		return tidy(err)
	}
	// From here on changes are heard; whatever went before may not have been.
	f.hub.Begin()
	for {
		sent := f.clock()
		next := time.Now().Add(session.FeedPing)
		if err := p.send(ctx, c); err != nil {
			return tidy(err)
		}
		f.hub.Heard(sent)
		if err := pass(ctx, c, next); err != nil {
			return tidy(err)
		}
	}
}

func (f *feed) connect(ctx context.Context, cfg *pgconn.Config) (*pgconn.PgConn, error) {
	ctx, cancel := context.WithTimeout(ctx, session.FeedPromise)
	defer cancel()
	return pgconn.ConnectConfig(ctx, cfg)
}

// pass passes on what is notified until an instant.
func pass(ctx context.Context, c *pgconn.PgConn, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		err := c.WaitForNotification(ctx)
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && !c.IsClosed() {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// ping is a question whose answer proves that changes are heard: the backend
// is the one that listens (a pooler may have given us another), its server is
// still the one that all write to, the tables are those whose changes are told,
// and the triggers that tell them are there and enabled.
type ping struct {
	query string
	want  []string
}

const triggers = `'session_deleted', 'session_updated', 'sessions_truncated'`

// subscribe listens to the table's channel.
func (f *feed) subscribe(ctx context.Context, c *pgconn.PgConn) (*ping, error) {
	row, err := ask(ctx, c, `SELECT to_regclass('sessions')::oid::text`)
	if err != nil {
		return nil, err
	}
	if _, err := strconv.ParseUint(row[0], 10, 32); err != nil {
		return nil, errors.New("there is no table of sessions")
	}
	channel := "gate_session_" + row[0]
	// In one message, so in one transaction, so on one backend.
	pid, err := ask(ctx, c, `LISTEN `+channel+`; SELECT pg_backend_pid()::text`)
	if err != nil {
		return nil, err
	}
	return &ping{
		query: `SELECT pg_backend_pid()::text, pg_is_in_recovery()::text, to_regclass('sessions')::oid::text,
			EXISTS (SELECT FROM pg_listening_channels() c WHERE c = '` + channel + `')::text,
			(SELECT count(*)::text FROM pg_trigger WHERE tgrelid = ` + row[0] + ` AND tgenabled IN ('O', 'A') AND tgname IN (` + triggers + `)),
			(SELECT count(*)::text FROM pg_trigger WHERE tgrelid = to_regclass('session_marks') AND tgenabled IN ('O', 'A') AND tgname = 'session_marked')`,
		want: []string{pid[0], "false", row[0], "true", "3", "1"},
	}, nil
}

func (p *ping) send(ctx context.Context, c *pgconn.PgConn) error {
	got, err := ask(ctx, c, p.query)
	if err != nil {
		return err
	}
	if !slices.Equal(got, p.want) {
		return fmt.Errorf("the server no longer tells of changes: backend, in recovery, table, listening, triggers and that of marks are %q, want %q", got, p.want)
	}
	return nil
}

// ask returns the one row that the last of some statements gives.
func ask(ctx context.Context, c *pgconn.PgConn, query string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, session.FeedPromise)
	defer cancel()
	results, err := c.Exec(ctx, query).ReadAll()
	if err != nil {
		return nil, err
	}
	last := results[len(results)-1]
	if last.Err != nil {
		return nil, last.Err
	}
	if len(last.Rows) != 1 {
		return nil, fmt.Errorf("an answer of %d rows, want 1", len(last.Rows))
	}
	row := make([]string, len(last.Rows[0]))
	for i, v := range last.Rows[0] {
		row[i] = string(v)
	}
	return row, nil
}
