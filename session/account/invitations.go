package account

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/neosc/gate/session"
)

// maxInvitations is the most of one organization that are listed.
const maxInvitations = 1000

// invited is what an invitation keeps.
type invited struct {
	Roles []string `json:"roles"`
}

func invitedRoles(data string) ([]string, error) {
	var i invited
	if err := json.Unmarshal([]byte(data), &i); err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	return nonNil(i.Roles), nil
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

// Invite implements session.Organizations.
func (s *Service) Invite(ctx context.Context, n session.NewInvitation) (session.Invitation, error) {
	email, err := NormalizeEmail(n.Email)
	if err != nil {
		return session.Invitation{}, err
	}
	if n.Roles == nil {
		n.Roles = []string{RoleUser}
	}
	roles, err := cleanRoles(n.Roles)
	if err != nil {
		return session.Invitation{}, err
	}
	data, err := json.Marshal(invited{Roles: roles})
	if err != nil {
		return session.Invitation{}, fmt.Errorf("invitation: %w", err)
	}
	if s.o.Mailer != nil {
		if err := s.room(ctx); err != nil {
			return session.Invitation{}, err
		}
	}
	now := s.st.now()
	l := link{id: "inv_" + newID(), purpose: forInvite, subject: n.Organization, email: email, data: string(data), created: now, expires: now.Add(inviteLife)}
	var o session.Organization
	var token string
	err = s.tx(ctx, func(ctx context.Context, tx txn) (err error) {
		if err := s.st.lockMembers(ctx, tx); err != nil {
			return err
		}
		if o, err = s.st.organization(ctx, tx, n.Organization); err != nil {
			return err
		}
		if token, err = s.st.putLink(ctx, tx, &l); err != nil {
			return err
		}
		if s.o.Mailer != nil {
			if err := s.putLetter(ctx, tx, letter{kind: mailInvite, to: email, link: l.id, origin: session.OriginOf(ctx)}); err != nil {
				return err
			}
		}
		return s.audit(ctx, event(ctx, session.ActionInvited, &User{Email: email, Organization: o.Name}, "invitation", l.id, "roles", fmt.Sprint(roles)))
	})
	if err != nil {
		return session.Invitation{}, err
	}
	out, err := l.invitation()
	if err != nil {
		return session.Invitation{}, err
	}
	if s.o.Mailer == nil {
		out.Link = s.address(session.InvitationPath, token)
		return out, nil
	}
	s.wake()
	return out, nil
}

func (l *link) invitation() (session.Invitation, error) {
	roles, err := invitedRoles(l.data)
	return session.Invitation{ID: l.id, Organization: l.subject, Email: l.email, Roles: roles, CreatedAt: l.created, ExpiresAt: l.expires}, err
}

// Invitations implements session.Organizations.
func (s *Service) Invitations(ctx context.Context, organization string) ([]session.Invitation, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := s.st.organization(ctx, s.st.db, organization); err != nil {
		return nil, s.st.outside(err)
	}
	rows, err := s.st.db.QueryContext(ctx, s.st.o.Dialect.Bind(`SELECT `+linkColumns+` FROM links WHERE subject = ? AND purpose = ? AND expires_at > ? ORDER BY created_at, id LIMIT ?`),
		organization, string(forInvite), s.st.now().UnixMicro(), maxInvitations)
	if err != nil {
		return nil, s.st.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	out := []session.Invitation{}
	for rows.Next() {
		l, err := scanLink(rows.Scan)
		if err != nil {
			return nil, s.st.unavailable(err)
		}
		i, err := l.invitation()
		if err != nil {
			return nil, s.st.unavailable(err)
		}
		out = append(out, i)
	}
	if err := rows.Err(); err != nil {
		return nil, s.st.unavailable(err)
	}
	return out, nil
}

// RevokeInvitation implements session.Organizations.
func (s *Service) RevokeInvitation(ctx context.Context, id string) error {
	return s.tx(ctx, func(ctx context.Context, tx txn) error {
		var email, organization string
		err := tx.QueryRowContext(ctx, s.st.o.Dialect.Bind(`DELETE FROM links WHERE id = ? AND purpose = ? RETURNING email, subject`), id, string(forInvite)).Scan(&email, &organization)
		if errors.Is(err, sql.ErrNoRows) {
			return refuse(session.ErrLink)
		} else if err != nil {
			return err
		}
		o, err := s.st.organization(ctx, tx, organization)
		if err != nil {
			return err
		}
		return s.audit(ctx, event(ctx, session.ActionInvitationRevoked, &User{Email: email, Organization: o.Name}, "invitation", id))
	})
}

// AcceptInvitation implements session.Organizations.
func (s *Service) AcceptInvitation(ctx context.Context, userID, token string) (session.ChangedUser, error) {
	var before, after *User
	var left follows
	err := s.tx(ctx, func(ctx context.Context, tx txn) (err error) {
		if err := s.st.lockMembers(ctx, tx); err != nil {
			return err
		}
		if before, err = s.st.byID(ctx, tx, userID); err != nil {
			return err
		}
		l, err := s.st.takeLink(ctx, tx, forInvite, token)
		if err != nil {
			return err
		}
		// Undone with the rest: the one who is invited can still use it.
		if l.email != before.Email || !before.EmailVerified || before.Disabled {
			return refuse(session.ErrLink)
		}
		if after, err = s.changed(ctx, tx, before, session.UserChange{Organization: &l.subject}); err != nil {
			return err
		}
		events := append(changeEvents(ctx, before, after), event(ctx, session.ActionInvitationAccepted, after, "invitation", l.id))
		if err := s.store(ctx, tx, before, after, events...); err != nil {
			return err
		}
		left, err = s.leave(ctx, tx, before, after)
		return err
	})
	if err != nil {
		return session.ChangedUser{}, err
	}
	return s.apply(ctx, before, after, left)
}
