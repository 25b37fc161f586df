package account

import (
	"context"

	"github.com/neosc/gate/session"
)

// byOperator reports whether a change comes over the admin socket. Who may use
// that can make an administrator at any time, and so may take the last one's role.
func byOperator(ctx context.Context) bool {
	return session.OriginOf(ctx).Actor == session.Operator()
}

// UserByEmail implements session.Users.
func (s *Service) UserByEmail(ctx context.Context, email string) (session.User, error) {
	u, err := s.st.Get(ctx, email)
	if err != nil {
		return session.User{}, err
	}
	return u.public(), nil
}

// AddUser implements session.Users. The operator vouches for the email, so it
// counts as verified.
func (s *Service) AddUser(ctx context.Context, n session.NewUser) (session.User, error) {
	u := User{Email: n.Email, Name: n.Name, Organization: n.Organization, Roles: n.Roles, EmailVerified: true, MFA: true}
	if n.Demo {
		grant := s.st.o.DemoGrant
		u.Demo = &grant
	}
	action := session.ActionRegister
	if n.PasswordSHA256 != "" {
		action = session.ActionUserImported
	}
	hash, err := s.st.firstHash(ctx, &u, n)
	if err != nil {
		return session.User{}, err
	}
	ready, err := s.st.ready(ctx, u, hash)
	if err != nil {
		return session.User{}, err
	}
	err = s.tx(ctx, func(ctx context.Context, tx txn) error {
		n, err := insertUser(ctx, tx, s.st.o.Dialect, ready)
		if err != nil {
			return err
		}
		if n == 0 {
			return refuse(taken(ready.Email))
		}
		return s.audit(ctx, append([]session.Event{event(ctx, action, ready)}, session.RoleEvents(ctx, sessionOf(ready), nil, ready.Roles)...)...)
	})
	if err != nil {
		return session.User{}, err
	}
	return ready.public(), nil
}

// SetPassword implements session.Users.
func (s *Service) SetPassword(ctx context.Context, email, password string) (session.User, error) {
	u, err := s.st.Get(ctx, email)
	if err != nil {
		return session.User{}, err
	}
	hash, err := s.st.hash(ctx, password, u.Email, u.Name)
	if err != nil {
		return session.User{}, err
	}
	err = s.tx(ctx, func(ctx context.Context, tx txn) error {
		n, err := s.st.execOn(ctx, tx, `UPDATE users SET password_hash = ?, updated_at = ? WHERE id = ?`, hash, s.st.now().UnixMicro(), u.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return refuse(session.ErrNoUser)
		}
		if err := s.st.voidResets(ctx, tx, u.ID); err != nil {
			return err
		}
		return s.audit(ctx, event(ctx, session.ActionPasswordChanged, u))
	})
	if err != nil {
		return session.User{}, err
	}
	return u.public(), nil
}
