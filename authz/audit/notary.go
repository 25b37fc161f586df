package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// lookEvery is how often a notary looks whether there is something to sign.
	lookEvery = time.Second
	// roundTime bounds one round of a notary; what is left is for the next.
	roundTime = 5 * time.Minute
)

// NotaryOptions set up a Notary. DB, Dialect, Trail and Keys are needed.
type NotaryOptions struct {
	DB      *sql.DB
	Dialect Dialect
	// Trail gets the events of retention.
	Trail *Trail
	Keys  *Keys
	// Every is how old a checkpoint may be while entries follow it, and Entries
	// how many of them may, whichever is first. 0 means a minute and 1000.
	Every   time.Duration
	Entries uint64
	// Keep is how long the entries of a day are kept after it; 0 is for ever.
	Keep time.Duration
	// Sinks get every checkpoint, in order, until they have taken it.
	Sinks []Sink
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none are shown.
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
}

// Notary signs where a trail is, exports that, seals days and takes out those
// that were kept long enough. It signs nothing that does not follow from what it
// signed before. Several may work on one trail. Its methods are for one
// goroutine.
type Notary struct {
	o       NotaryOptions
	metrics *notaryMetrics
	// sure is the last entry that this notary has followed the chain to.
	sure   Head
	begun  bool
	sealed string // the last day that was found sealed

	mu      sync.Mutex
	problem error // of the last round
}

// NewNotary returns a Notary. Run starts it.
func NewNotary(o NotaryOptions) (*Notary, error) {
	if o.DB == nil || o.Dialect == nil || o.Trail == nil || o.Keys == nil {
		return nil, errors.New("audit notary: need DB, Dialect, Trail and Keys")
	}
	if o.Every <= 0 {
		o.Every = time.Minute
	}
	if o.Entries == 0 {
		o.Entries = 1000
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
	m, err := newNotaryMetrics(o.Registerer, o.MetricPrefix)
	if err != nil {
		return nil, fmt.Errorf("audit notary: %w", err)
	}
	return &Notary{o: o, metrics: m}, nil
}

// Run does a round each second until ctx is done, and a last one then.
func (n *Notary) Run(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
			defer cancel()
			n.told(n.round(last, true))
			return
		case <-look.C:
			within, cancel := context.WithTimeout(ctx, roundTime)
			err := n.round(within, false)
			cancel()
			if ctx.Err() == nil {
				n.told(err)
			}
		}
	}
}

// told logs the first of several failures, and that they are over.
func (n *Notary) told(err error) {
	n.mu.Lock()
	was := n.problem
	n.problem = err
	n.mu.Unlock()
	switch {
	case err != nil && was == nil:
		n.o.Logger.Error("the audit trail has no new checkpoint, or it was not exported", "error", err)
	case err == nil && was != nil:
		n.o.Logger.Info("the audit trail has checkpoints again, all exported")
	}
	if err != nil {
		n.metrics.failed.Inc()
	}
}

// Problem is why the last round of Run failed, nil if it did not. Safe for
// concurrent use, unlike the others.
func (n *Notary) Problem() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.problem
}

// Round signs what is due, seals the days that are over, takes out those that
// were kept long enough, and exports what waits. A *TamperedError means that the
// trail is not as it was when it was signed last: it gets no signature.
func (n *Notary) Round(ctx context.Context) error { return n.round(ctx, false) }

// round is Round; final signs what there is, due or not.
func (n *Notary) round(ctx context.Context, final bool) error {
	err := n.begin(ctx)
	if err == nil {
		err = n.sign(ctx, final)
	}
	if err == nil {
		err = n.sealDays(ctx)
	}
	if err == nil {
		err = n.prune(ctx)
	}
	return errors.Join(err, n.export(ctx))
}

func (n *Notary) fails(doing string, err error) error {
	return fmt.Errorf("audit trail: %s: %w", doing, n.o.Dialect.Tidy(err))
}

// begin takes up at the last checkpoint that one of the keys signed.
func (n *Notary) begin(ctx context.Context) error {
	if n.begun {
		return nil
	}
	err := n.reading(ctx, func(tx *sql.Tx) error {
		own, err := readOwn(ctx, tx, n.o.Dialect, n.o.Keys.Verifiers())
		if err != nil {
			return err
		}
		if n.sure, err = n.start(ctx, tx, own); err != nil {
			return err
		}
		for _, c := range own.known {
			if c.Number > n.sure.Number {
				n.sure = c.Head
			}
		}
		return nil
	})
	n.begun = err == nil
	return err
}

// start returns where the trail begins, after a seal if not at its first entry.
func (n *Notary) start(ctx context.Context, tx *sql.Tx, own kept) (Head, error) {
	return readStart(ctx, tx, n.o.Dialect, own, Expected{Keys: n.o.Keys.Verifiers(), KeptFrom: n.o.Clock()})
}

func (n *Notary) reading(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := n.o.DB.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return n.fails("reading it", err)
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	return do(tx)
}

// sign makes a checkpoint of the head if one is due.
func (n *Notary) sign(ctx context.Context, final bool) error {
	now := n.o.Clock()
	var number, at int64
	row := n.o.DB.QueryRowContext(ctx, `SELECT number, at FROM audit_checkpoints ORDER BY number DESC LIMIT 1`)
	if err := row.Scan(&number, &at); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return n.fails("reading its checkpoints", err)
	}
	head, err := scanHead(n.o.DB.QueryRowContext(ctx, `SELECT number, hash FROM audit_head WHERE one = 1`))
	if err != nil {
		return n.fails("reading its head", err)
	}
	switch {
	case head.Number == uint64(number) && head.Number == n.sure.Number && head.Hash == n.sure.Hash, head.Number == 0:
		return nil
	case head.Number < n.sure.Number:
		return tampered(head.Number+1, "entries %d to %d were cut off the end", head.Number+1, n.sure.Number)
	case !final && head.Number < uint64(number)+n.o.Entries && now.Sub(time.UnixMicro(at)) < n.o.Every:
		return nil
	}
	if err := n.follow(ctx); err != nil || n.sure.Number <= uint64(number) {
		return err
	}
	return n.keep(ctx, Checkpoint{Head: n.sure, At: now})
}

// follow verifies what came since the last time, so that a signature vouches
// for what was verified and not for what somebody put there.
func (n *Notary) follow(ctx context.Context) error {
	return n.reading(ctx, func(tx *sql.Tx) error {
		head, err := readHead(ctx, tx)
		if err != nil {
			return n.fails("reading its head", err)
		}
		if err := n.catchUp(ctx, tx); err != nil {
			return err
		}
		v := newVerifier(nil)
		if v.at = n.sure; n.sure.Number > 0 && head.Number == n.sure.Number && head.Hash != n.sure.Hash {
			return tampered(head.Number, "the trail's head is not the entry %d that was signed", head.Number)
		}
		if err := v.read(ctx, tx, n.o.Dialect); err != nil {
			return err
		}
		if err := v.end(head); err != nil {
			return err
		}
		n.sure = v.at
		return nil
	})
}

// catchUp goes on at the trail's start, where another notary took out what this
// one has not followed yet.
func (n *Notary) catchUp(ctx context.Context, tx *sql.Tx) error {
	start, err := scanHead(tx.QueryRowContext(ctx, `SELECT number, hash FROM audit_start WHERE one = 1`))
	if err != nil {
		return n.fails("reading its start", err)
	}
	if start.Number <= n.sure.Number {
		return nil
	}
	own, err := readOwn(ctx, tx, n.o.Dialect, n.o.Keys.Verifiers())
	if err == nil {
		n.sure, err = n.start(ctx, tx, own)
	}
	return err
}

// keep writes a checkpoint. A seal replaces one of the same entry that is none.
func (n *Notary) keep(ctx context.Context, c Checkpoint) error {
	signed, err := c.sign(n.o.Keys)
	if err != nil {
		return fmt.Errorf("audit trail: signing a checkpoint: %w", err)
	}
	_, err = n.o.DB.ExecContext(ctx, n.o.Dialect.Bind(`INSERT INTO audit_checkpoints (number, at, day, note, exported) VALUES (?, ?, ?, ?, 0)
		ON CONFLICT (number) DO UPDATE SET at = excluded.at, day = excluded.day, note = excluded.note, exported = 0 WHERE audit_checkpoints.day = '' AND excluded.day <> ''`),
		int64(c.Number), c.At.UnixMicro(), c.Day, signed)
	if err != nil {
		return n.fails("keeping a checkpoint", err)
	}
	n.metrics.signed.Inc()
	n.metrics.last.Set(float64(c.Number))
	return nil
}

// export gives the sinks what they lack, the oldest first.
func (n *Notary) export(ctx context.Context) error {
	if len(n.o.Sinks) == 0 {
		return nil
	}
	const most = 100
	for {
		rows, err := n.waiting(ctx, most)
		if err != nil {
			return err
		}
		// What leaves must not be undone by a power cut: the trail would look cut off.
		if len(rows) > 0 && n.o.Trail.o.Sync != nil {
			if err := n.o.Trail.synced(); err != nil {
				return err
			}
		}
		for _, w := range rows {
			for _, s := range n.o.Sinks {
				if err := s.Put(ctx, w.number, w.note); err != nil {
					return fmt.Errorf("audit trail: exporting the checkpoint of entry %d: %w", w.number, err)
				}
			}
			if _, err := n.o.DB.ExecContext(ctx, n.o.Dialect.Bind(`UPDATE audit_checkpoints SET exported = 1 WHERE number = ? AND note = ?`), int64(w.number), w.note); err != nil {
				return n.fails("marking a checkpoint as exported", err)
			}
			n.metrics.exported.Inc()
		}
		if len(rows) < most {
			return nil
		}
	}
}

type waitingNote struct {
	number uint64
	note   []byte
}

func (n *Notary) waiting(ctx context.Context, most int) (out []waitingNote, err error) {
	rows, err := n.o.DB.QueryContext(ctx, n.o.Dialect.Bind(`SELECT number, note FROM audit_checkpoints WHERE exported = 0 ORDER BY number LIMIT ?`), most)
	if err != nil {
		return nil, n.fails("reading its checkpoints", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var w waitingNote
		if err := rows.Scan(&w.number, &w.note); err != nil {
			return nil, n.fails("reading its checkpoints", err)
		}
		out = append(out, w)
	}
	if err := rows.Err(); err != nil {
		return nil, n.fails("reading its checkpoints", err)
	}
	return out, nil
}
