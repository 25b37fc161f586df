package account

import (
	"context"
	"fmt"
	"net/url"

	"github.com/neosc/gate/session"
)

// kind is what a mail is about, as metrics and logs have it.
type kind string

const (
	mailVerify     kind = "verify"
	mailRegistered kind = "registered_already"
	mailReset      kind = "reset"
	mailChanged    kind = "password_changed"
	mailInvite     kind = "invitation"
)

// write returns what is to be sent, nil for nothing: who asks for a new password
// of no account gets none, and a link that holds no more is worth no mail.
func (s *Service) write(ctx context.Context, l *letter) (*session.Mail, error) {
	switch l.kind {
	case mailVerify:
		_, err := s.st.Get(ctx, l.to)
		switch {
		case err == nil:
			l.kind, l.link = mailRegistered, ""
		case !isNoUser(err):
			return nil, err
		}
	case mailReset:
		if err := s.newReset(ctx, l); err != nil || l.link == "" {
			return nil, err
		}
	}
	var token, place string
	var err error
	if l.link != "" {
		if token, err = s.token(ctx, l); err != nil || token == "" {
			return nil, err
		}
	}
	if l.kind == mailInvite {
		if place, err = s.st.invitedTo(ctx, l.link); err != nil {
			return nil, err
		}
	}
	m := s.text(l, token, place)
	return &m, nil
}

// newReset keeps a link to choose a new password, unless the letter has one
// already; there is none if the account is none or disabled.
func (s *Service) newReset(ctx context.Context, l *letter) error {
	if l.link != "" {
		return nil
	}
	u, err := s.st.Get(ctx, l.to)
	if isNoUser(err) || err == nil && u.Disabled {
		return nil
	}
	if err != nil {
		return err
	}
	now := s.st.now()
	x := &link{id: "lnk_" + newID(), purpose: forReset, subject: u.ID, email: u.Email, created: now, expires: now.Add(resetLife)}
	var token string
	err = s.tx(ctx, func(ctx context.Context, tx txn) error {
		if token, err = s.st.putLink(ctx, tx, x); err != nil {
			return err
		}
		if _, err := s.st.execOn(ctx, tx, `UPDATE outbox SET link = ? WHERE id = ?`, x.id, l.id); err != nil {
			return err
		}
		return s.audit(ctx, event(ctx, session.ActionPasswordResetAsked, u))
	})
	if err == nil {
		l.link = x.id
		s.remember(x.id, token)
	}
	return err
}

// invitedTo returns the name of the organization of an invitation.
func (st *Store) invitedTo(ctx context.Context, link string) (name string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = st.db.QueryRowContext(ctx, st.o.Dialect.Bind(`SELECT o.name FROM links l JOIN organizations o ON o.id = l.subject WHERE l.id = ?`), link).Scan(&name)
	if err != nil {
		return "", st.unavailable(err)
	}
	return name, nil
}

// address returns a one-time link. It begins with what is configured, never
// with a Host header: who sends a request would choose where the token goes.
func (s *Service) address(path, token string) string {
	return s.o.Origin + path + "?token=" + url.QueryEscape(token)
}

func (s *Service) text(l *letter, token, place string) session.Mail {
	m := session.Mail{To: l.to}
	p := s.o.Product
	switch l.kind {
	case mailVerify:
		m.Subject = "Confirm your address for " + p
		m.Text = fmt.Sprintf("Somebody, most likely you, registered at %s with this address.\n\nTo finish, open this within 24 hours and enter the password that you chose:\n\n%s\n\n"+
			"If it was not you, do nothing. Without that password the link is of no use.\n", p, s.address(session.VerifyPath, token))
	case mailRegistered:
		m.Subject = "You have an account at " + p + " already"
		m.Text = fmt.Sprintf("Somebody, maybe you, tried to register at %s with this address, which has an account already. Nothing was changed.\n\n"+
			"To sign in: %s\nIf you forgot the password, ask for a new one there.\n", p, s.o.Origin)
	case mailReset:
		m.Subject = "A new password for " + p
		m.Text = fmt.Sprintf("Somebody, most likely you, asked for a new password at %s.\n\nTo choose one, open this within an hour:\n\n%s\n\n"+
			"If it was not you, do nothing: the password stays as it is.\n", p, s.address(session.ResetPath, token))
	case mailChanged:
		m.Subject = "Your password for " + p + " was changed"
		m.Text = fmt.Sprintf("The password of your account at %s was changed just now.\n\nIf it was not you, choose a new one at %s at once, and tell your administrator.\n", p, s.o.Origin)
	case mailInvite:
		m.Subject = "An invitation to " + p
		m.Text = fmt.Sprintf("You are invited to join %s at %s.\n\nTo accept, open this within a week:\n\n%s\n", place, p, s.address(session.InvitationPath, token))
	}
	return m
}
