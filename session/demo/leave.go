package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/neosc/gate/session"
)

var _ session.GrantEnder = (*Service)(nil)

// Accounts tells how an account of the gate's own is at this instant.
type Accounts interface {
	// UserByID returns session.ErrNoUser for who has none, such as people of
	// providers.
	UserByID(ctx context.Context, id string) (session.User, error)
}

// localProvider is the provider of sessions of the gate's own accounts.
const localProvider = "local"

// EndGrants implements session.GrantEnder.
func (s *Service) EndGrants(ctx context.Context, tx *sql.Tx, userID, keep, reason string) (func(context.Context) error, error) {
	t := &txn{Tx: tx, st: s.st, at: time.Now()}
	var err error
	if t.now, err = s.st.nowOn(ctx, tx); err != nil {
		return nil, err
	}
	// A request of this moment is found here, or finds the account as it is then.
	if err := t.oneRequest(ctx); err != nil {
		return nil, err
	}
	where, args := `user_id = ? AND `+isLive, []any{userID}
	if keep != "" {
		where, args = where+` AND organization_id <> ?`, append(args, keep)
	}
	found, err := scanAll(t.QueryContext(ctx, s.st.sql(`SELECT `+columns+` FROM demo_grants WHERE `+where+s.st.forUpdate), args...))
	if err != nil {
		return nil, err
	}
	var events []session.Event
	began := false
	for _, r := range found {
		began = began || !r.StartedAt.IsZero()
		r.Reason = reason
		s.end(r, session.GrantRevoked, t.now)
		events = append(events, event(ctx, session.ActionDemoRevoked, &r.DemoGrant, session.Person{}))
		if err := t.save(ctx, r, r.fence+1); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context) error { return s.left(ctx, userID, len(found), began) }, s.audit(ctx, events...)
}

// left is what follows once EndGrants is committed.
func (s *Service) left(ctx context.Context, userID string, n int, began bool) error {
	s.metrics.ended.WithLabelValues(string(session.GrantRevoked)).Add(float64(n))
	if n > 0 {
		s.wake()
	}
	if began {
		if _, err := s.o.Sessions.Regrant(ctx, userID); err != nil {
			return fmt.Errorf("the demo session has ended, and its claims will go from all sessions: %w", err)
		}
	}
	return nil
}

// present refuses somebody whose account is disabled or gone. Where the account
// is in another organization than the session knew, the grant is of that one.
func (s *Service) present(ctx context.Context, who *session.Session, r *row) error {
	if s.o.Accounts == nil {
		return nil
	}
	u, err := s.o.Accounts.UserByID(ctx, r.UserID)
	switch {
	case errors.Is(err, session.ErrNoUser):
		if who.Identity.Provider == localProvider && who.Identity.EmailVerified {
			return fmt.Errorf("%w: the account is gone", session.ErrBadDemo)
		}
		return nil
	case err != nil:
		return err
	case u.Disabled:
		return fmt.Errorf("%w: the account is disabled", session.ErrBadDemo)
	}
	if u.OrganizationID != "" {
		r.Organization, r.OrganizationID = u.Organization, u.OrganizationID
	}
	return nil
}

// stillPresent looks again once a grant is stored: an account that has changed since
// its person was looked at did so before EndGrants could find the grant.
func (s *Service) stillPresent(ctx context.Context, who *session.Session, r *row) error {
	now := *r
	err := s.present(ctx, who, &now)
	moved := err == nil && now.OrganizationID != r.OrganizationID
	if err == nil && !moved {
		return nil
	}
	if moved {
		err = fmt.Errorf("%w: the account has moved to another organization; ask again", session.ErrBadDemo)
	}
	_, ended := s.End(ctx, r.ID, session.Person{}, "its account has changed")
	return errors.Join(err, ended)
}
