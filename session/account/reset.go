package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neosc/gate/session"
)

// RequestReset implements session.Registrar.
func (s *Service) RequestReset(ctx context.Context, email, clientAddr string) error {
	if s.o.Mailer == nil {
		return session.ErrNoMail
	}
	if err := s.chargeAddress(ctx, "reset_address", clientAddr); err != nil {
		return err
	}
	e, err := NormalizeEmail(email)
	if err != nil {
		return err
	}
	if err := s.st.charge(ctx, s.st.o.Clock(), "mail_account", e, s.o.PerEmail); err != nil {
		return err
	}
	return s.enqueue(ctx, letter{kind: mailReset, to: e, origin: session.OriginOf(ctx)})
}

// ResetPassword implements session.Registrar.
func (s *Service) ResetPassword(ctx context.Context, token, password, clientAddr string) (session.User, error) {
	if err := s.chargeAddress(ctx, "guess_address", clientAddr); err != nil {
		return session.User{}, err
	}
	l, err := s.st.findLink(ctx, forReset, token)
	if err != nil {
		return session.User{}, err
	}
	u, err := s.st.GetByID(ctx, l.subject)
	if isNoUser(err) || err == nil && u.Disabled {
		return session.User{}, session.ErrLink
	}
	if err != nil {
		return session.User{}, err
	}
	hash, err := s.st.hash(ctx, password, u.Email, u.Name)
	if err != nil {
		return session.User{}, err
	}
	err = s.tx(ctx, func(ctx context.Context, tx txn) error {
		if _, err := s.st.takeLink(ctx, tx, forReset, token); err != nil {
			return err
		}
		return s.setHash(ctx, tx, u, hash, "", session.ErrLink, event(ctx, session.ActionPasswordReset, u))
	})
	if err != nil {
		return session.User{}, err
	}
	s.tell(ctx, u)
	if _, err := s.o.Sessions.RevokeUser(ctx, u.ID); err != nil {
		return session.User{}, fmt.Errorf("the password is changed, but sessions of before may go on: %w", err)
	}
	return u.public(), nil
}

// setHash stores a new password hash; was, if not "", is that which it takes the
// place of. An account that is gone, or has another by now, is refused with gone.
func (s *Service) setHash(ctx context.Context, tx txn, u *User, hash, was string, gone error, e session.Event) error {
	query, args := `UPDATE users SET password_hash = ?, updated_at = ? WHERE id = ? AND disabled = ?`, []any{hash, s.st.now().UnixMicro(), u.ID, false}
	if was != "" {
		query, args = query+` AND password_hash = ?`, append(args, was)
	}
	n, err := s.st.execOn(ctx, tx, query, args...)
	if err != nil {
		return err
	}
	if n == 0 {
		return refuse(gone)
	}
	if err := s.st.voidResets(ctx, tx, u.ID); err != nil {
		return err
	}
	return s.audit(ctx, e)
}

// voidResets has the links for a new password of an account open nothing more.
func (st *Store) voidResets(ctx context.Context, tx txn, userID string) error {
	_, err := st.execOn(ctx, tx, `DELETE FROM links WHERE purpose = ? AND subject = ?`, string(forReset), userID)
	return err
}

// tell mails that a password was changed. Where there is no room for that it is
// in the audit trail all the same.
func (s *Service) tell(ctx context.Context, u *User) {
	if s.o.Mailer == nil {
		return
	}
	if err := s.enqueue(ctx, letter{kind: mailChanged, to: u.Email, origin: session.OriginOf(ctx)}); err != nil {
		s.mails.WithLabelValues(string(mailChanged), "failed").Inc()
		s.log.Error("a mail was not sent, and is not tried again", "kind", mailChanged, "error", err)
	}
}

// ChangePassword implements session.Registrar.
func (s *Service) ChangePassword(ctx context.Context, userID, current, password, clientAddr string, keep session.Key) error {
	if err := s.chargeAddress(ctx, "guess_address", clientAddr); err != nil {
		return err
	}
	u, err := s.st.GetByID(ctx, userID)
	if err != nil {
		return err
	}
	if err := s.st.charge(ctx, s.st.o.Clock(), "guess_account", u.Email, s.st.o.PerAccount); err != nil {
		return err
	}
	if err := s.st.matches(ctx, u.PasswordHash, current); err != nil {
		if errors.Is(err, session.ErrCredentials) {
			e := event(ctx, session.ActionPasswordChanged, u, "reason", "password_wrong")
			e.Outcome = session.OutcomeDenied
			s.auditAfter(ctx, e)
		}
		return err
	}
	hash, err := s.st.hash(ctx, password, u.Email, u.Name)
	if err != nil {
		return err
	}
	err = s.tx(ctx, func(ctx context.Context, tx txn) error {
		return s.setHash(ctx, tx, u, hash, u.PasswordHash, session.ErrCredentials, event(ctx, session.ActionPasswordChanged, u))
	})
	if err != nil {
		return err
	}
	s.tell(ctx, u)
	if err := s.endOthers(ctx, u.ID, keep); err != nil {
		return fmt.Errorf("the password is changed, but sessions of before may go on: %w", err)
	}
	return nil
}

// endOthers ends all sessions of an account but one.
func (s *Service) endOthers(ctx context.Context, userID string, keep session.Key) error {
	if keep == (session.Key{}) {
		_, err := s.o.Sessions.RevokeUser(ctx, userID)
		return err
	}
	for q := (session.Query{UserID: userID, Limit: 1000}); ; {
		page, err := s.o.Sessions.List(ctx, q)
		if err != nil {
			return err
		}
		ended := 0
		for _, x := range page {
			if x.Key != keep {
				if err := s.o.Sessions.Revoke(ctx, x.Key); err != nil {
					return err
				}
				ended++
			}
		}
		if ended == 0 || len(page) < q.Limit {
			return nil
		}
		q.Before = page[len(page)-1].CreatedAt.Add(time.Millisecond)
	}
}
