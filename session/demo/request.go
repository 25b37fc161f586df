package demo

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/neosc/gate/session"
)

// Request implements session.Demos.
func (s *Service) Request(ctx context.Context, who *session.Session, q session.DemoRequest) (session.DemoGrant, error) {
	r, approval, err := s.asked(ctx, who, q)
	if err != nil {
		return session.DemoGrant{}, err
	}
	if err := s.present(ctx, who, r); err != nil {
		return session.DemoGrant{}, err
	}
	began := false
	err = s.st.tx(ctx, func(ctx context.Context, t *txn) error {
		if err := t.oneRequest(ctx); err != nil {
			return err
		}
		if has, err := t.liveOne(ctx, r.UserID, r.WorkspaceType); err != nil || has != nil {
			if r = has; has != nil {
				r.Again = true
			}
			return err
		}
		if err := s.withinCaps(ctx, t, r); err != nil {
			return err
		}
		began = true
		return s.create(ctx, t, r, approval)
	})
	if full, ok := errors.AsType[*session.DemoCapError](err); ok {
		s.metrics.refused.WithLabelValues(full.Cap).Inc()
	}
	if err != nil {
		return session.DemoGrant{}, err
	}
	if began {
		s.created(ctx, r)
		err = s.stillPresent(ctx, who, r)
	}
	return r.DemoGrant, err
}

// created is what follows a grant's beginning once it is stored.
func (s *Service) created(ctx context.Context, r *row) {
	if r.Status != session.GrantActive {
		s.wake()
		return
	}
	s.metrics.started.WithLabelValues(r.WorkspaceType).Inc()
	s.tellNow(ctx, r)
}

// asked returns the grant that a request is for.
func (s *Service) asked(ctx context.Context, who *session.Session, q session.DemoRequest) (*row, bool, error) {
	k, ok := s.o.kind(q.WorkspaceType)
	switch {
	case who == nil || who.Identity.UserID == "":
		return nil, false, errors.New("a demo session for nobody")
	case who.Identity.Provider == localProvider && !who.Identity.EmailVerified:
		// Whoever registers has a session at once, for any address and any number of them.
		return nil, false, fmt.Errorf("%w: the email is not verified yet; follow the link that was mailed to it", session.ErrBadDemo)
	case !ok:
		return nil, false, fmt.Errorf("%w: there is no kind of workspace %q", session.ErrBadDemo, clip(q.WorkspaceType, 64))
	}
	if q.Duration == 0 {
		q.Duration = k.MaxDuration
	}
	if q.Duration < time.Second || q.Duration > k.MaxDuration {
		return nil, false, fmt.Errorf("%w: %s is not from 1 s to %s, which is the most for %s", session.ErrBadDemo, q.Duration, k.MaxDuration, k.Name)
	}
	purpose, err := text("purpose", q.Purpose)
	if err != nil {
		return nil, false, err
	}
	id := &who.Identity
	from := session.OriginOf(ctx).ClientIP
	if from != "" {
		from = session.AddressKey(from)
	}
	r := &row{DemoGrant: session.DemoGrant{
		UserID: id.UserID, Email: id.Email, Issuer: id.Issuer, Subject: id.Subject, Organization: id.Organization, OrganizationID: organizationOf(id),
		ClientAddr: from, WorkspaceType: k.Name, Purpose: purpose, MaxDuration: q.Duration.Truncate(time.Millisecond),
	}}
	return r, k.Approval, nil
}

// organizationOf is the id of somebody's organization, or its name where that is
// all that is known.
func organizationOf(id *session.Identity) string {
	if v, ok := id.Claims["organization_id"].(string); ok && v != "" {
		return v
	}
	return id.Organization
}

// create stores a grant: pending, starting or active.
func (s *Service) create(ctx context.Context, t *txn, r *row, approval bool) error {
	if err := name(&r.DemoGrant, t.now); err != nil {
		return err
	}
	r.RequestedAt, r.fence = t.now, 1
	person := session.Person{ID: r.UserID, Email: r.Email}
	asked := func() session.Event {
		e := event(ctx, session.ActionDemoRequested, &r.DemoGrant, person)
		if r.Purpose != "" {
			e.Details["purpose"] = r.Purpose
		}
		return e
	}
	events := []session.Event{asked()}
	if approval {
		r.Status, r.dueAt, r.Steps = session.GrantPending, t.now.Add(s.o.Pending), []session.GrantStep{}
	} else {
		events = append(events, s.begin(ctx, r, t.now, person)...)
	}
	if err := t.insert(ctx, r); err != nil {
		return err
	}
	return s.audit(ctx, events...)
}

// name gives a grant its id and its role. Both are in places that others see:
// neither can be guessed from the one before.
func name(g *session.DemoGrant, now time.Time) error {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	digits, err := rand.Int(rand.Reader, big.NewInt(9_000_000_000))
	if err != nil {
		return fmt.Errorf("random number: %w", err)
	}
	g.ID = "demo-" + strconv.FormatInt(now.Unix(), 10) + "-" + hex.EncodeToString(random[:])
	g.Role = session.RoleDemo + "-" + strconv.FormatInt(1_000_000_000+digits.Int64(), 10)
	return nil
}

// requestLock is the advisory lock under which requests go one after another.
const requestLock = 0x6761_7465_0d01

// oneRequest has requests go one after another, so that two at once are not both
// the last one within a cap. Where the database is in this process they do anyway.
func (t *txn) oneRequest(ctx context.Context) error {
	if t.st.clock != nil {
		return nil
	}
	_, err := t.exec(ctx, `SELECT pg_advisory_xact_lock(?)`, requestLock)
	return err
}

// liveOne returns somebody's live grant of a kind, nil if there is none.
func (t *txn) liveOne(ctx context.Context, userID, kind string) (*row, error) {
	r, err := scan(t.QueryRowContext(ctx, t.st.sql(`SELECT `+columns+` FROM demo_grants WHERE user_id = ? AND workspace_type = ? AND `+isLive), userID, kind).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return r, err
}

// withinCaps refuses a grant that is one too many.
func (s *Service) withinCaps(ctx context.Context, t *txn, r *row) error {
	for _, c := range []struct {
		name, column, value string
		most                int
	}{
		{"user", "user_id", r.UserID, s.o.Caps.User}, {"organization", "organization_id", r.OrganizationID, s.o.Caps.Organization},
		{"address", "client_addr", r.ClientAddr, s.o.Caps.Address}, {"all", "", "", s.o.Caps.All},
	} {
		if c.most == 0 || c.column != "" && c.value == "" {
			continue
		}
		where, args := isLive, []any{}
		if c.column != "" {
			where, args = isLive+" AND "+c.column+" = ?", append(args, c.value)
		}
		var n int
		var first sql.NullInt64
		// No more rows are looked at than tell.
		err := t.QueryRowContext(ctx, t.st.sql(`SELECT count(*), min(CASE WHEN expires_at > 0 THEN expires_at END)
			FROM (SELECT expires_at FROM demo_grants WHERE `+where+` LIMIT ?) AS found`), append(args, c.most)...).Scan(&n, &first)
		if err != nil {
			return err
		}
		if n >= c.most {
			full := &session.DemoCapError{Cap: c.name}
			if first.Valid {
				full.RetryAfter = max(time.Second, instant(first.Int64).Sub(t.now))
			}
			return refusal{full}
		}
	}
	return nil
}
