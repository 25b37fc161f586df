package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/neosc/gate/session"
)

const (
	// countEvery is how often grants are counted.
	countEvery = 10 * time.Second
	// settled is how long something that a grant's clean-up has taken away may
	// still be listed.
	settled = time.Minute
	// atOnce bounds what one statement asks about, or removes.
	atOnce = 500
	// mostFailures is after how many of them a sweep of one step is given up: all
	// others may take as long to fail.
	mostFailures = 8
)

// keepHouse counts grants, and takes its turn at looking for what no grant owns.
func (s *Service) keepHouse(ctx context.Context) {
	count := time.NewTicker(countEvery)
	defer count.Stop()
	sweep := time.NewTicker(max(time.Millisecond, s.o.Sweep/4))
	defer sweep.Stop()
	s.count(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-count.C:
			s.count(ctx)
		case <-sweep.C:
			s.sweepInTurn(ctx)
		}
	}
}

func (s *Service) count(ctx context.Context) {
	n, err := s.st.counts(ctx)
	var oldest time.Duration
	if err == nil {
		oldest, err = s.st.oldest(ctx)
	}
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("demo sessions could not be counted", "error", err)
		}
		return
	}
	cleaning := 0
	for status, some := range n {
		if status.Ended() {
			cleaning += some
		}
	}
	for _, status := range live {
		s.metrics.active.WithLabelValues(string(status)).Set(float64(n[status]))
	}
	s.metrics.active.WithLabelValues("cleaning").Set(float64(cleaning))
	s.metrics.oldest.Set(oldest.Seconds())
}

// write runs one statement that changes rows.
func (st *Store) write(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = st.tx(ctx, func(ctx context.Context, t *txn) error {
		n, err = t.exec(ctx, query, args...)
		return err
	})
	return n, err
}

// takeTurn reports whether this process is to do something that one does for all,
// for as long as said.
func (st *Store) takeTurn(ctx context.Context, name string, most time.Duration) (bool, error) {
	n, err := st.write(ctx, `INSERT INTO demo_turns (name, until) VALUES (?, {now} + ?)
		ON CONFLICT (name) DO UPDATE SET until = excluded.until WHERE demo_turns.until <= {now}`, name, most.Microseconds())
	return n == 1, err
}

func (s *Service) sweepInTurn(ctx context.Context) {
	mine, err := s.st.takeTurn(ctx, "sweep", s.o.Sweep)
	if err == nil && mine {
		err = s.Sweep(ctx)
	}
	if err != nil && ctx.Err() == nil {
		s.metrics.trouble.Inc()
		s.log.Warn("what no demo session owns could not be swept", "error", err)
	}
}

// Sweep takes away what steps have made and no live grant owns, and forgets
// grants that are long over. Run has one gate do it, every Options.Sweep.
func (s *Service) Sweep(ctx context.Context) error {
	var all error
	for i := range s.o.Steps {
		if err := s.sweepStep(ctx, &s.o.Steps[i]); err != nil {
			all = errors.Join(all, fmt.Errorf("step %s: %w", s.o.Steps[i].Name(), err))
		}
	}
	_, err := s.st.write(ctx, `DELETE FROM demo_grants WHERE id IN (SELECT id FROM demo_grants WHERE cleaned_at > 0 AND cleaned_at < {now} - ? LIMIT ?)`, s.o.Keep.Microseconds(), atOnce)
	if err != nil {
		return err
	}
	return all
}

func (s *Service) sweepStep(ctx context.Context, step *Step) error {
	owned, err := func() ([]session.DemoGrant, error) {
		ctx, cancel := context.WithTimeout(ctx, step.Timeout)
		defer cancel()
		return step.Owned(ctx)
	}()
	if err != nil {
		return err
	}
	var failed []error
	for some := range slices.Chunk(owned, atOnce) {
		kept, err := s.st.kept(ctx, some)
		if err != nil {
			return err
		}
		for _, g := range some {
			if kept[g.ID] {
				continue
			}
			// One that cannot be taken away keeps no other.
			if err := s.orphan(ctx, g, step); err != nil {
				failed = append(failed, err)
			}
			if len(failed) == mostFailures || ctx.Err() != nil {
				return errors.Join(failed...)
			}
		}
	}
	return errors.Join(failed...)
}

// orphan takes away what one grant left behind.
func (s *Service) orphan(ctx context.Context, g session.DemoGrant, step *Step) error {
	// What is known of the grant names the person whom it concerns in the trail.
	if r, err := s.st.grant(ctx, g.ID); err == nil {
		g.UserID, g.Email, g.Organization, g.WorkspaceType = r.UserID, r.Email, r.Organization, r.WorkspaceType
	}
	if err := call(ctx, g, session.PhaseEnd, step); err != nil {
		s.metrics.failures.WithLabelValues(step.Name(), session.PhaseEnd).Inc()
		return fmt.Errorf("%s: %w", g.ID, err)
	}
	s.metrics.orphans.WithLabelValues(step.Name()).Inc()
	s.log.Warn("something was taken away that no live demo session owns", "demo", g.ID, "step", step.Name())
	e := event(ctx, session.ActionDemoOrphan, &g, session.Person{})
	e.Details["step"] = step.Name()
	return s.audit(ctx, e)
}

// kept returns which grants are not over yet, or were cleaned a moment ago.
func (st *Store) kept(ctx context.Context, some []session.DemoGrant) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	args := make([]any, 0, len(some)+1)
	for _, g := range some {
		args = append(args, g.ID)
	}
	rows, err := st.db.QueryContext(ctx, st.sql(`SELECT id FROM demo_grants WHERE id IN (`+marks(len(some))+`) AND (cleaned_at = 0 OR cleaned_at > {now} - ?)`), append(args, settled.Microseconds())...)
	if err != nil {
		return nil, st.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, st.unavailable(err)
		}
		out[id] = true
	}
	if err := rows.Err(); err != nil {
		return nil, st.unavailable(err)
	}
	return out, nil
}
