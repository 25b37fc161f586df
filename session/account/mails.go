package account

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/neosc/gate/session"
)

const (
	// sendTime bounds one try to send a mail, and drainTime what is tried once
	// the gate stops.
	sendTime  = 30 * time.Second
	drainTime = 10 * time.Second
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

// letter is a mail to be. What depends on whether there is an account is looked
// up when it is written, not while somebody waits who could tell by the time.
type letter struct {
	kind   kind
	to     string
	token  string
	place  string // the organization of an invitation
	origin session.Origin
}

// enqueue has a letter sent soon.
func (s *Service) enqueue(l letter) error {
	if s.o.Mailer == nil {
		return session.ErrNoMail
	}
	select {
	case s.queue <- l:
		return nil
	default:
		return session.ErrBusy
	}
}

// post sends what is queued until ctx ends, and what waits then.
func (s *Service) post(ctx context.Context) {
	for {
		select {
		case l := <-s.queue:
			s.send(ctx, l)
			continue
		case <-ctx.Done():
		}
		break
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case l := <-s.queue:
			s.send(ctx, l)
		default:
			return
		}
	}
}

func (s *Service) send(ctx context.Context, l letter) {
	ctx = session.WithOrigin(ctx, l.origin)
	m, err := s.write(ctx, &l)
	if err == nil && m != nil {
		err = s.try(ctx, *m)
	}
	switch {
	case err != nil:
		s.mails.WithLabelValues(string(l.kind), "failed").Inc()
		s.log.Error("a mail was not sent", "kind", l.kind, "error", err)
	case m != nil:
		s.mails.WithLabelValues(string(l.kind), "sent").Inc()
	}
}

func (s *Service) try(ctx context.Context, m session.Mail) (err error) {
	for i := 0; ; i++ {
		once, cancel := context.WithTimeout(ctx, sendTime)
		err = s.o.Mailer.SendMail(once, m)
		cancel()
		if err == nil || i == len(s.o.Retry) {
			return err
		}
		select {
		case <-time.After(s.o.Retry[i]):
		case <-ctx.Done():
			return err
		}
	}
}

// write returns what is to be sent, nil for nothing: who asks for a new password
// of no account gets none.
func (s *Service) write(ctx context.Context, l *letter) (*session.Mail, error) {
	switch l.kind {
	case mailVerify:
		_, err := s.st.Get(ctx, l.to)
		switch {
		case err == nil:
			l.kind = mailRegistered
		case !isNoUser(err):
			return nil, err
		}
	case mailReset:
		token, err := s.newReset(ctx, l.to)
		if token == "" || err != nil {
			return nil, err
		}
		l.token = token
	}
	m := s.text(l)
	return &m, nil
}

// newReset keeps a link to choose a new password, "" if the account is none or disabled.
func (s *Service) newReset(ctx context.Context, email string) (token string, err error) {
	u, err := s.st.Get(ctx, email)
	if isNoUser(err) || err == nil && u.Disabled {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	now := s.st.now()
	err = s.tx(ctx, func(ctx context.Context, tx txn) error {
		l := &link{id: "lnk_" + newID(), purpose: forReset, subject: u.ID, email: u.Email, created: now, expires: now.Add(resetLife)}
		if token, err = s.st.putLink(ctx, tx, l); err != nil {
			return err
		}
		return s.audit(ctx, event(ctx, session.ActionPasswordResetAsked, u))
	})
	return token, err
}

// address returns a one-time link. It begins with what is configured, never
// with a Host header: who sends a request would choose where the token goes.
func (s *Service) address(path, token string) string {
	return s.o.Origin + path + "?token=" + url.QueryEscape(token)
}

func (s *Service) text(l *letter) session.Mail {
	m := session.Mail{To: l.to}
	p := s.o.Product
	switch l.kind {
	case mailVerify:
		m.Subject = "Confirm your address for " + p
		m.Text = fmt.Sprintf("Somebody, most likely you, registered at %s with this address.\n\nTo finish, open this within 24 hours and enter the password that you chose:\n\n%s\n\n"+
			"If it was not you, do nothing. Without that password the link is of no use.\n", p, s.address(session.VerifyPath, l.token))
	case mailRegistered:
		m.Subject = "You have an account at " + p + " already"
		m.Text = fmt.Sprintf("Somebody, maybe you, tried to register at %s with this address, which has an account already. Nothing was changed.\n\n"+
			"To sign in: %s\nIf you forgot the password, ask for a new one there.\n", p, s.o.Origin)
	case mailReset:
		m.Subject = "A new password for " + p
		m.Text = fmt.Sprintf("Somebody, most likely you, asked for a new password at %s.\n\nTo choose one, open this within an hour:\n\n%s\n\n"+
			"If it was not you, do nothing: the password stays as it is.\n", p, s.address(session.ResetPath, l.token))
	case mailChanged:
		m.Subject = "Your password for " + p + " was changed"
		m.Text = fmt.Sprintf("The password of your account at %s was changed just now.\n\nIf it was not you, choose a new one at %s at once, and tell your administrator.\n", p, s.o.Origin)
	case mailInvite:
		m.Subject = "An invitation to " + p
		m.Text = fmt.Sprintf("You are invited to join %s at %s.\n\nTo accept, open this within a week:\n\n%s\n", l.place, p, s.address(session.InvitationPath, l.token))
	}
	return m
}
