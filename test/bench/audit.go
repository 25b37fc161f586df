package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
)

const (
	auditBlocks   = 9
	auditTurns    = 5
	auditTurnTime = 100 * time.Millisecond
	auditWriters  = 64
	auditFillers  = 8
	auditPerCall  = 100
	auditPages    = 50
)

// auditParts measure what it costs to have an event on disk against a bare
// fdatasync of as many bytes in the same folder, and how long a million entries
// take to be verified and a page of them to be read; and what a sign-in with a
// password, which is in the trail, costs besides its hash.
func auditParts() []part {
	return []part{{"append", measureAppend}, {"million", measureTrail}, {"password", onStand(measurePasswords)}}
}

func auditEvent(n int) session.Event {
	who := session.Person{ID: fmt.Sprint("3000000000000", n%5000), Email: email(n % 5000)}
	return session.Event{
		Time: time.Unix(1_772_700_000+int64(n), 0), Action: []session.Action{session.ActionLogin, session.ActionSessionCreated, session.ActionLogout}[n%3], Outcome: session.OutcomeSuccess,
		Actor: who, User: who, Organization: "280000000000000001", Session: fmt.Sprintf("%032x", n),
		Origin:  session.Origin{ClientIP: "203.0.113.9", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", RequestID: fmt.Sprintf("%032x", n)},
		Details: map[string]string{"provider": "local", "roles": "neosc,user", "amr": "pwd"},
	}
}

func openTrail(ctx context.Context, path string) (*sqlstore.Deferred, *audit.Trail, error) {
	db, err := sqlstore.OpenDeferred(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	t, err := audit.New(ctx, audit.Options{DB: db.DB, Dialect: sqlstore.SQLite(), Sync: db.Sync, Logger: quietLog()})
	return db, t, err
}

// measureAppend interleaves one writer of the trail, 64 of them, and bare writes
// with fdatasync.
func measureAppend(ctx context.Context, r *report) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, trail, err := openTrail(ctx, filepath.Join(dir, "audit.db"))
	if err != nil {
		return err
	}
	defer func() { _, _ = trail.Close(), db.Close() }()
	bare, err := os.OpenFile(filepath.Join(dir, "bare"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer bare.Close()
	var n atomic.Int64
	add := func() error { return trail.Append(ctx, auditEvent(int(n.Add(1)))) }
	line := make([]byte, 1024)
	sync := func() error {
		if _, err := bare.Write(line); err != nil {
			return err
		}
		return fdatasync(bare)
	}
	var cost, rate, one, many []float64
	for block := range auditBlocks + 1 {
		// Turn by turn, so that all meet the disk in the same mood.
		var floor, single, crowd float64
		for range auditTurns {
			for _, side := range []struct {
				to      *float64
				callers int
				do      func() error
			}{{&floor, 1, sync}, {&single, 1, add}, {&crowd, auditWriters, add}} {
				n, err := perSecond(side.callers, side.do)
				if err != nil {
					return err
				}
				*side.to += n / auditTurns
			}
		}
		if block > 0 { // the first is for warming up
			cost, rate = append(cost, floor/single), append(rate, floor/crowd)
			one, many = append(one, single), append(many, crowd)
		}
	}
	r.ratio("append_cost_to_fdatasync", cost, 1.5)
	r.ratio("fdatasync_rate_to_append_64_writers", rate, 0.1)
	r.figure("append_one_writer", median(one), "entries/s", 0)
	r.figure("append_64_writers", median(many), "entries/s", 0)
	return nil
}

// perSecond has callers do something for a turn's time.
func perSecond(callers int, do func() error) (float64, error) {
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	began := time.Now()
	for range callers {
		all.Go(func() {
			for time.Since(began) < auditTurnTime && failed.Load() == nil {
				if err := do(); err != nil {
					failed.Store(&err)
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(done.Load()) / time.Since(began).Seconds(), nil
}

// measureTrail fills a trail with a million entries, verifies it and pages it.
func measureTrail(ctx context.Context, r *report) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, trail, err := openTrail(ctx, filepath.Join(dir, "audit.db"))
	if err != nil {
		return err
	}
	defer func() { _, _ = trail.Close(), db.Close() }()
	if err := fillTrail(ctx, trail); err != nil {
		return err
	}
	began := time.Now()
	span, err := audit.Verify(ctx, db.DB, sqlstore.SQLite(), audit.Expected{})
	if err != nil || span.Entries() != million {
		return fmt.Errorf("verified %d entries: %w", span.Entries(), err)
	}
	r.figure("verify_million", time.Since(began).Seconds(), "s", 10)
	at := func(n int64) time.Time { return time.Unix(1_772_700_000+n, 0) }
	for _, p := range []struct {
		name string
		q    session.AuditQuery
	}{
		{"page_newest", session.AuditQuery{}},
		{"page_middle", session.AuditQuery{Before: million / 2}},
		{"page_of_user", session.AuditQuery{User: email(7), Before: million / 2}},
		{"page_of_action", session.AuditQuery{Action: session.ActionLogout}},
		{"page_of_time", session.AuditQuery{Since: at(1000), Until: at(5000)}},
		{"page_of_user_action_time", session.AuditQuery{User: email(7), Action: session.ActionLogin, Until: at(million / 2)}},
		{"page_of_absent_action", session.AuditQuery{Action: "absent"}},
		{"page_of_search", session.AuditQuery{Text: "person7@"}},
		{"page_of_absent_text", session.AuditQuery{Text: "nowhere"}},
		{"page_of_search_of_user", session.AuditQuery{Text: "firefox", User: email(7)}},
	} {
		var took []float64
		for range auditPages {
			began := time.Now()
			// A search that has not come to its end says so.
			if _, err := trail.Entries(ctx, p.q); err != nil && !errors.As(err, new(*session.AuditPaused)) {
				return err
			}
			took = append(took, float64(time.Since(began).Microseconds())/1e3)
		}
		r.figure(p.name, median(took), "ms", 50)
	}
	return nil
}

func fillTrail(ctx context.Context, trail *audit.Trail) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for range auditFillers {
		all.Go(func() {
			for failed.Load() == nil {
				from := int(next.Add(auditPerCall)) - auditPerCall
				if from >= million {
					return
				}
				events := make([]session.Event, 0, auditPerCall)
				for n := range auditPerCall {
					events = append(events, auditEvent(from+n))
				}
				if err := trail.Append(ctx, events...); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
