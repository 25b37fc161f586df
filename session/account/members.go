package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/neosc/gate/session"
)

// PageUsers implements session.Members.
func (s *Service) PageUsers(ctx context.Context, q session.UserQuery) (session.UserPage, error) {
	return s.st.PageUsers(ctx, q)
}

// UserByID implements session.Members.
func (s *Service) UserByID(ctx context.Context, id string) (session.User, error) {
	return s.st.UserByID(ctx, id)
}

// ChangeUser implements session.Members.
func (s *Service) ChangeUser(ctx context.Context, id string, c session.UserChange) (session.ChangedUser, error) {
	var before, after *User
	var left follows
	err := s.tx(ctx, func(ctx context.Context, tx txn) (err error) {
		if err := s.st.lockMembers(ctx, tx); err != nil {
			return err
		}
		if before, err = s.st.byID(ctx, tx, id); err != nil {
			return err
		}
		if after, err = s.changed(ctx, tx, before, c); err != nil {
			return err
		}
		if err := s.store(ctx, tx, before, after, changeEvents(ctx, before, after)...); err != nil {
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

// changed returns an account as a change would have it.
func (s *Service) changed(ctx context.Context, tx txn, before *User, c session.UserChange) (*User, error) {
	u := *before
	if c.Name != nil {
		u.Name = strings.TrimSpace(*c.Name)
	}
	if c.Roles != nil {
		u.Roles = *c.Roles
	}
	if c.Disabled != nil {
		u.Disabled = *c.Disabled
	}
	if c.MFA != nil {
		u.MFA = *c.MFA
	}
	if err := u.clean(); err != nil {
		return nil, refuse(err)
	}
	if c.Organization != nil {
		o, err := s.st.organization(ctx, tx, *c.Organization)
		if err != nil {
			return nil, err
		}
		u.OrganizationID, u.Organization = o.ID, o.Name
	}
	return &u, nil
}

// store writes a changed account inside a transaction, with its events.
func (s *Service) store(ctx context.Context, tx txn, before, after *User, events ...session.Event) error {
	if len(events) == 0 {
		return nil // as it was
	}
	if before.isAdmin() && !after.isAdmin() && !byOperator(ctx) {
		if err := s.st.otherAdmin(ctx, tx, before.ID); err != nil {
			return err
		}
	}
	roles, err := json.Marshal(after.Roles)
	if err != nil {
		return fmt.Errorf("roles: %w", err)
	}
	after.UpdatedAt = s.st.now()
	_, err = s.st.execOn(ctx, tx, `UPDATE users SET name = ?, roles = ?, disabled = ?, mfa_enabled = ?, organization_id = ?, organization = ?, updated_at = ? WHERE id = ?`,
		after.Name, string(roles), after.Disabled, after.MFA, after.OrganizationID, after.Organization, after.UpdatedAt.UnixMicro(), after.ID)
	if err != nil {
		return err
	}
	return s.audit(ctx, events...)
}

// isAdmin reports whether an account can sign in as an administrator.
func (u *User) isAdmin() bool {
	return !u.Disabled && slices.Contains(u.effectiveRoles(), RoleAdmin)
}

// otherAdmin refuses if nobody but an account can sign in as an administrator.
func (st *Store) otherAdmin(ctx context.Context, tx txn, id string) error {
	var n int
	// Roles are a JSON array of names, in which a quote would be escaped.
	err := tx.QueryRowContext(ctx, st.o.Dialect.Bind(`SELECT count(*) FROM users WHERE id <> ? AND disabled = ? AND email_verified = ? AND roles LIKE ?`),
		id, false, true, `%"`+RoleAdmin+`"%`).Scan(&n)
	if err == nil && n == 0 {
		err = refuse(session.ErrLastAdmin)
	}
	return err
}

// changeEvents tell of all that differs; there are none if nothing does.
func changeEvents(ctx context.Context, before, after *User) []session.Event {
	events := session.RoleEvents(ctx, sessionOf(after), before.Roles, after.Roles)
	add := func(a session.Action, details ...string) { events = append(events, event(ctx, a, after, details...)) }
	switch {
	case after.Disabled && !before.Disabled:
		add(session.ActionUserDisabled)
	case before.Disabled && !after.Disabled:
		add(session.ActionUserEnabled)
	}
	if before.OrganizationID != after.OrganizationID {
		add(session.ActionUserMoved, "from", before.Organization, "to", after.Organization)
	}
	if before.Name != after.Name {
		add(session.ActionUserChanged, "changed", "name")
	}
	if before.MFA != after.MFA {
		add(session.ActionUserChanged, "changed", "mfa_enabled", "to", fmt.Sprint(after.MFA))
	}
	return events
}

// apply has live sessions go by a change.
func (s *Service) apply(ctx context.Context, before, after *User, left follows) (session.ChangedUser, error) {
	out := session.ChangedUser{User: after.public()}
	var err error
	if after.Disabled {
		out.SessionsEnded, err = s.o.Sessions.RevokeUser(ctx, after.ID)
	} else {
		out.SessionsChanged, err = s.o.Sessions.UpdateUser(ctx, after.ID, after.become(before))
	}
	if err = errors.Join(err, left(ctx)); err != nil {
		return session.ChangedUser{}, fmt.Errorf("the account is changed, but live sessions may not be; try again: %w", err)
	}
	return out, nil
}

// become returns what makes a live session's identity one of u, which was
// before, or nothing. Roles that it has from elsewhere, such as those of a demo,
// it keeps.
func (u *User) become(before *User) func(*session.Identity) error {
	var had []string
	if before != nil {
		had = before.effectiveRoles()
	}
	has := u.effectiveRoles()
	return func(id *session.Identity) error {
		roles := slices.DeleteFunc(slices.Clone(id.Roles), func(r string) bool { return slices.Contains(had, r) && !slices.Contains(has, r) })
		for _, r := range has {
			if !slices.Contains(roles, r) {
				roles = append(roles, r)
			}
		}
		id.Roles = roles
		if id.Claims == nil {
			id.Claims = make(map[string]any)
		}
		u.describe(id)
		return nil
	}
}

// DeleteUser implements session.Members.
func (s *Service) DeleteUser(ctx context.Context, id string) (session.ChangedUser, error) {
	var u *User
	var left follows
	err := s.tx(ctx, func(ctx context.Context, tx txn) (err error) {
		if err := s.st.lockMembers(ctx, tx); err != nil {
			return err
		}
		if u, err = s.st.byID(ctx, tx, id); err != nil {
			return err
		}
		if u.isAdmin() && !byOperator(ctx) {
			if err := s.st.otherAdmin(ctx, tx, id); err != nil {
				return err
			}
		}
		if left, err = s.remove(ctx, tx, u); err != nil {
			return err
		}
		return s.audit(ctx, event(ctx, session.ActionUserRemoved, u))
	})
	if err != nil {
		return session.ChangedUser{}, err
	}
	out := session.ChangedUser{User: u.public()}
	out.SessionsEnded, err = s.o.Sessions.RevokeUser(ctx, id)
	if s.o.Factors != nil {
		// They open nothing, for ids are never given twice, but are personal data.
		if err := s.o.Factors.RemoveFactors(ctx, id); err != nil {
			s.log.Warn("second factors of a removed account are still kept", "user", id, "error", err)
		}
	}
	if err = errors.Join(err, left(ctx)); err != nil {
		return session.ChangedUser{}, fmt.Errorf("the account is gone, but its sessions may go on; end them with `gate session revoke -user %s`: %w", id, err)
	}
	return out, nil
}
