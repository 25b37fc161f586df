package account

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/neosc/gate/session"
)

// txn is a transaction of this package's tables.
type txn = *sql.Tx

func (s *Service) tx(ctx context.Context, f func(ctx context.Context, tx txn) error) error {
	return s.st.inTx(ctx, f)
}

// waiting is what a registration keeps until its email is verified. It is no
// account yet: whoever registers another's address must not be able to keep the
// owner from registering it.
type waiting struct {
	Name string `json:"name"`
	Hash string `json:"hash"`
}

// RegistrationOpen implements session.Registrar.
func (s *Service) RegistrationOpen() bool { return s.o.Open }

// Register implements session.Registrar.
func (s *Service) Register(ctx context.Context, r session.Registration, clientAddr string) (session.Identity, error) {
	if r.Invitation == "" && !s.o.Open {
		return session.Identity{}, session.ErrRegistrationClosed
	}
	if err := s.chargeAddress(ctx, "register_address", clientAddr); err != nil {
		return session.Identity{}, err
	}
	u := User{Email: r.Email, Name: strings.TrimSpace(r.Name), Roles: []string{RoleUser}, MFA: true,
		Organization: session.DefaultOrganization, OrganizationID: session.DefaultOrganizationID}
	if err := u.clean(); err != nil {
		return session.Identity{}, err
	}
	if err := checkText("organization", r.Organization); err != nil {
		return session.Identity{}, err
	}
	if r.Invitation != "" {
		return s.registerInvited(ctx, u, r)
	}
	if err := s.room(ctx); err != nil {
		return session.Identity{}, err
	}
	if err := s.st.charge(ctx, s.st.o.Clock(), "mail_account", u.Email, s.o.PerEmail); err != nil {
		return session.Identity{}, err
	}
	hash, err := s.st.hash(ctx, r.Password, u.Email, u.Name)
	if err != nil {
		return session.Identity{}, err
	}
	u.ID = newUserID()
	if err := s.keepRegistration(ctx, &u, hash, r.Organization); err != nil {
		return session.Identity{}, err
	}
	s.wake()
	return s.identity(&u), nil
}

func (s *Service) keepRegistration(ctx context.Context, u *User, hash, wish string) error {
	data, err := json.Marshal(waiting{Name: u.Name, Hash: hash})
	if err != nil {
		return fmt.Errorf("registration: %w", err)
	}
	now := s.st.now()
	e := event(ctx, session.ActionRegister, u, "email_verified", "false")
	if wish != "" {
		e.Details["organization_named"] = wish
	}
	l := &link{id: "lnk_" + newID(), purpose: forVerify, subject: u.ID, email: u.Email, data: string(data), created: now, expires: now.Add(verifyLife)}
	return s.tx(ctx, func(ctx context.Context, tx txn) error {
		if _, err := s.st.putLink(ctx, tx, l); err != nil {
			return err
		}
		if err := s.putLetter(ctx, tx, letter{kind: mailVerify, to: u.Email, link: l.id, origin: session.OriginOf(ctx)}); err != nil {
			return err
		}
		return s.audit(ctx, e)
	})
}

// registerInvited makes an account at once: the invitation came by mail to its
// address.
func (s *Service) registerInvited(ctx context.Context, u User, r session.Registration) (session.Identity, error) {
	l, err := s.st.findLink(ctx, forInvite, r.Invitation)
	if err == nil && l.email != u.Email {
		err = session.ErrLink
	}
	if err != nil {
		return session.Identity{}, err
	}
	hash, err := s.st.hash(ctx, r.Password, u.Email, u.Name)
	if err != nil {
		return session.Identity{}, err
	}
	u.ID, u.PasswordHash, u.EmailVerified, u.OrganizationID = newUserID(), hash, true, l.subject
	u.CreatedAt = s.st.now()
	u.UpdatedAt = u.CreatedAt
	err = s.tx(ctx, func(ctx context.Context, tx txn) error {
		l, err := s.st.takeLink(ctx, tx, forInvite, r.Invitation)
		if err != nil {
			return err
		}
		if u.Roles, err = invitedRoles(l.data); err != nil {
			return err
		}
		o, err := s.st.organization(ctx, tx, l.subject)
		if err != nil {
			return err
		}
		u.Organization = o.Name
		return s.addVerified(ctx, tx, &u, session.ErrUserExists, event(ctx, session.ActionRegister, &u, "email_verified", "true"),
			event(ctx, session.ActionInvitationAccepted, &u, "invitation", l.id))
	})
	if err != nil {
		return session.Identity{}, err
	}
	return s.identity(&u), nil
}

// addVerified stores an account in a transaction, with the events of it; taken
// is the refusal if its email has one already.
func (s *Service) addVerified(ctx context.Context, tx txn, u *User, taken error, events ...session.Event) error {
	n, err := insertUser(ctx, tx, s.st.o.Dialect, u)
	if err != nil {
		return err
	}
	if n == 0 {
		return refuse(taken)
	}
	// Others who registered the address did not show that it is theirs.
	if _, err := s.st.execOn(ctx, tx, `DELETE FROM links WHERE purpose = ? AND email = ?`, string(forVerify), u.Email); err != nil {
		return err
	}
	return s.audit(ctx, append(events, session.RoleEvents(ctx, sessionOf(u), nil, u.Roles)...)...)
}

// VerifyEmail implements session.Registrar.
func (s *Service) VerifyEmail(ctx context.Context, token, password, clientAddr string) (session.Identity, error) {
	if err := s.chargeAddress(ctx, "guess_address", clientAddr); err != nil {
		return session.Identity{}, err
	}
	l, err := s.st.findLink(ctx, forVerify, token)
	if err != nil {
		return session.Identity{}, err
	}
	if err := s.st.charge(ctx, s.st.o.Clock(), "guess_account", l.email, s.st.o.PerAccount); err != nil {
		return session.Identity{}, err
	}
	var w waiting
	if err := json.Unmarshal([]byte(l.data), &w); err != nil {
		return session.Identity{}, s.st.unavailable(fmt.Errorf("registration %s: %w", l.id, err))
	}
	if err := s.st.matches(ctx, w.Hash, password); err != nil {
		return session.Identity{}, err
	}
	u := User{ID: l.subject, Email: l.email, Name: w.Name, Roles: []string{RoleUser}, MFA: true, EmailVerified: true, PasswordHash: w.Hash,
		Organization: session.DefaultOrganization, OrganizationID: session.DefaultOrganizationID, CreatedAt: s.st.now(), UpdatedAt: s.st.now()}
	err = s.tx(ctx, func(ctx context.Context, tx txn) error {
		if _, err := s.st.takeLink(ctx, tx, forVerify, token); err != nil {
			return err
		}
		o, err := s.st.organization(ctx, tx, u.OrganizationID)
		if err != nil {
			return err
		}
		u.Organization = o.Name // administrators may have renamed it
		return s.addVerified(ctx, tx, &u, session.ErrLink, event(ctx, session.ActionEmailVerified, &u))
	})
	if err != nil {
		return session.Identity{}, err
	}
	if _, err := s.o.Sessions.UpdateUser(ctx, u.ID, u.become(nil)); err != nil {
		// The account stands, and a new sign-in has the role.
		s.log.Warn("sessions of a registration did not get its role", "user", u.ID, "error", err)
	}
	return s.identity(&u), nil
}

// matches computes one hash: session.ErrCredentials if the password is another.
func (st *Store) matches(ctx context.Context, hash, password string) error {
	want, err := parseHash(hash)
	if err != nil {
		return st.unavailable(err)
	}
	if !couldBePassword(password) {
		return session.ErrCredentials
	}
	leave, err := st.hasher.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if !st.hasher.verify(password, want) {
		return session.ErrCredentials
	}
	return nil
}

func (s *Service) chargeAddress(ctx context.Context, name, clientAddr string) error {
	return s.st.charge(ctx, s.st.o.Clock(), name, session.AddressKey(clientAddr), s.st.o.PerAddress)
}
