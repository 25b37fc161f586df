package demo

import (
	"context"
	"sync"
	"time"
)

// holding runs f while the claim of a grant is made to last: it is short, so that
// others soon go on with what a gate that died had begun, and what f does may take
// long. f's ctx ends once somebody else has the grant. f does not change r.
func (s *Service) holding(ctx context.Context, r *row, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var beats sync.WaitGroup
	beats.Go(func() {
		every := time.NewTicker(s.o.Visibility / 3)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
			// Not past the end of an active one, which is due then whoever has it.
			most := s.o.Visibility.Microseconds()
			n, err := s.st.write(ctx, `UPDATE demo_grants SET due_at = CASE WHEN status = 'active' AND expires_at < {now} + ? THEN expires_at ELSE {now} + ? END
				WHERE id = ? AND fence = ?`, most, most, r.ID, r.fence)
			if err == nil && n == 0 {
				cancel(errLost)
			}
		}
	})
	defer beats.Wait()
	defer cancel(nil)
	return f(ctx)
}

// regrant has the sessions of a grant's person carry what they are to carry now.
func (s *Service) regrant(ctx context.Context, r *row) error {
	_, err := s.o.Sessions.Regrant(ctx, r.UserID)
	return err
}
