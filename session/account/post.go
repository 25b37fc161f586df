package account

import (
	"context"
	"errors"
	"time"

	"github.com/neosc/gate/session"
)

const (
	// sendTime bounds one try to send a mail, and drainTime the rest of one that
	// is under way when the gate stops.
	sendTime  = 30 * time.Second
	drainTime = 10 * time.Second
	// lookEvery is how often mailers look for letters that other gates have left.
	lookEvery = 30 * time.Second
)

// post sends what waits until ctx ends. What is left then waits for the next gate.
func (s *Service) post(ctx context.Context) {
	for ctx.Err() == nil {
		l, wait, err := s.st.takeLetter(ctx)
		switch {
		case l != nil:
			s.send(ctx, l)
			continue
		case err != nil && ctx.Err() == nil:
			s.log.Error("mails that wait cannot be looked up", "error", err)
			wait = lookEvery
		case err == nil && wait == 0:
			s.forget()
		}
		if wait == 0 || wait > lookEvery {
			wait = lookEvery
		}
		timer := time.NewTimer(wait)
		select {
		case <-s.waiting:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// send tries a letter once, and says when to try again.
func (s *Service) send(ctx context.Context, l *letter) {
	m, err := s.try(ctx, l)
	ctx = context.WithoutCancel(ctx) // what became of it is kept when the gate stops, too
	switch {
	case err == nil && m == nil:
		err = s.st.dropLetter(ctx, l)
	case err == nil:
		s.mails.WithLabelValues(string(l.kind), "sent").Inc()
		err = s.st.dropLetter(ctx, l)
	case errors.Is(err, session.ErrMailRefused) || !s.st.now().Before(l.ends):
		s.mails.WithLabelValues(string(l.kind), "failed").Inc()
		s.log.Error("a mail was not sent, and is not tried again", "kind", l.kind, "tries", l.tries, "error", err)
		err = s.st.dropLetter(ctx, l)
	default:
		later := s.o.Retry[min(l.tries, len(s.o.Retry))-1]
		s.mails.WithLabelValues(string(l.kind), "delayed").Inc()
		s.log.Warn("a mail was not sent; it is tried again", "kind", l.kind, "tries", l.tries, "in", later, "error", err)
		err = s.st.putBack(ctx, l, later)
	}
	if err != nil { // it may come twice, but is not lost
		s.log.Error("what became of a mail could not be kept", "kind", l.kind, "error", err)
	}
}

// try writes a letter and hands it to the mailer. Without a mail there was
// nothing to be sent.
func (s *Service) try(ctx context.Context, l *letter) (*session.Mail, error) {
	within, cancel := context.WithTimeout(session.WithOrigin(context.WithoutCancel(ctx), l.origin), sendTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(drainTime, cancel) })
	defer stop()
	m, err := s.write(within, l)
	if err != nil || m == nil {
		return nil, err
	}
	return m, s.o.Mailer.SendMail(within, *m)
}

// token returns that of a letter's link, "" if the link does not hold any more.
// A letter that is tried again brings the same one while this gate lives: a
// server may have passed on what it seemed to refuse. After that it is a new
// one, since only its hash is kept.
func (s *Service) token(ctx context.Context, l *letter) (string, error) {
	s.mu.Lock()
	token := s.tokens[l.link]
	s.mu.Unlock()
	if token != "" {
		if ok, err := s.st.holds(ctx, l.link, token); ok || err != nil {
			return token, err
		}
	}
	token = newToken()
	ok, err := s.st.renewToken(ctx, l.link, token)
	if !ok || err != nil {
		return "", err
	}
	s.remember(l.link, token)
	return token, nil
}

func (s *Service) remember(link, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[link] = token
}

// forget has no tokens kept: no letter waits.
func (s *Service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}
