package oidclogin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/neosc/gate/session"
)

const (
	// refreshTime bounds a refresh with all that it asks. A lock is held for
	// longer, so that it is not taken from a refresh that still runs; and not
	// given back, so that it is also the pause before the next try.
	refreshTime = 25 * time.Second
	lockLife    = 30 * time.Second
	lockPurpose = "provider refresh lock"
	storeTries  = 3
	storePause  = 200 * time.Millisecond
)

// outcome says what became of a refresh: a label of metrics and logs.
type outcome string

const (
	renewed    outcome = "renewed"
	refused    outcome = "refused"    // the provider, or what it says, ended the session
	lost       outcome = "lost"       // the answer did not come: the session ends with its access token
	away       outcome = "away"       // the provider was not reached, or not ready
	superseded outcome = "superseded" // another gate was first, or the session ended
	failed     outcome = "failed"     // the store, or the gate's own credentials
	locked     outcome = "locked"     // another gate is at it
)

// Refresh has the provider asked, off the caller's path, who the holder of a
// session is now. Whoever calls goes on with the session as it is. cookie is
// the value that opened it: without its secret nobody can read the tokens.
//
// A lock in the store keeps gates from all trying at once. What makes sure that
// a token is sent once is the note with the tokens: it is marked as spent by
// compare-and-swap before one is sent, so that a gate that lost its lock while
// it was stopped finds the mark, and the session's record takes a refresh only
// if it shows no later one.
func (l *Logins) Refresh(s *session.Session, cookie string) {
	p := l.byID[s.Identity.Provider]
	if p == nil || p.Issuer != s.Identity.Issuer || !l.flights.begin(s.Key) {
		return
	}
	go func() {
		defer l.flights.end(s.Key)
		ctx, cancel := context.WithTimeout(context.Background(), refreshTime)
		defer cancel()
		r := &refresh{Logins: l, p: p, key: s.Key, note: noteKey(tokensPurpose, s.Key.String())}
		start := time.Now()
		o, err := r.guarded(ctx, cookie)
		l.metrics.refreshed(p.ID, o, r.sent, time.Since(start))
		r.log(o, err)
	}()
}

// refresh is one of a session's.
type refresh struct {
	*Logins
	p      *provider
	key    session.Key
	note   session.Key
	secret session.Secret
	was    *session.Session // the store's record
	kept   *keptTokens
	data   []byte // kept, as the note has it
	sent   bool
}

func (r *refresh) log(o outcome, err error) {
	with := []any{"provider", r.p.ID, "session", r.key.Short(), "outcome", string(o)}
	switch {
	case err != nil:
		r.o.Logger.Warn("a session was not refreshed", append(with, "error", err)...)
	case o == refused || o == lost:
		r.o.Logger.Warn("a session was not refreshed", with...)
	}
}

// guarded keeps a panic to this refresh: on a goroutine of its own it would end
// the whole gate.
func (r *refresh) guarded(ctx context.Context, cookie string) (o outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			o, err = failed, fmt.Errorf("panic: %v", p)
		}
	}()
	o, err = r.prepare(ctx, cookie)
	if o != "" || err != nil {
		return o, err
	}
	m, err := r.p.discovery.get(ctx)
	if err != nil {
		return away, err
	}
	return r.send(ctx, m)
}

// prepare takes the lock and reads what there is to refresh. An outcome means
// that there is nothing to send.
func (r *refresh) prepare(ctx context.Context, cookie string) (outcome, error) {
	key, secret, err := r.o.Sessions.OpenSecret(cookie)
	if err != nil || key != r.key {
		return failed, errors.New("the cookie does not open the session")
	}
	r.secret = secret
	now := r.o.Clock()
	lock := noteKey(lockPurpose, r.key.String())
	if err := r.o.Notes.PutNote(ctx, lock, session.Note{Expires: now.Add(lockLife)}, now); errors.Is(err, session.ErrExists) {
		return locked, nil
	} else if err != nil {
		return failed, err
	}
	// The record that the request saw may be another gate's of some time ago.
	if r.was, err = r.o.Sessions.Current(ctx, r.key); errors.Is(err, session.ErrNotFound) {
		return superseded, nil
	} else if err != nil {
		return failed, err
	}
	if r.was.RefreshAt.IsZero() || r.was.RefreshAt.After(now) {
		return superseded, nil
	}
	n, err := r.o.Notes.GetNote(ctx, r.note, now)
	if errors.Is(err, session.ErrNotFound) {
		return r.end(ctx, errors.New("its tokens are gone from the store"))
	} else if err != nil {
		return failed, err
	}
	r.data, r.kept = n.Data, new(keptTokens)
	if err := unseal(secret[:], tokensPurpose, r.note, n.Data, r.kept); err != nil {
		return r.end(ctx, err)
	}
	if r.kept.Spent {
		return r.lose(ctx, errors.New("the answer to the last refresh never came"))
	}
	return "", nil
}

// send spends the token and writes down what comes of it.
func (r *refresh) send(ctx context.Context, m *metadata) (outcome, error) {
	mark := *r.kept
	mark.Spent, mark.Fence = true, max(mark.Fence, r.was.Fence)+1
	switch err := r.swap(ctx, &mark); {
	case errors.Is(err, session.ErrConflict), errors.Is(err, session.ErrNotFound):
		return superseded, nil
	case err != nil:
		return failed, err
	}
	t, sent, err := r.p.refresh(ctx, m, r.kept.Refresh)
	r.sent = sent
	if err != nil {
		return r.unanswered(ctx, sent, err)
	}
	if t.Refresh == "" {
		t.Refresh = r.kept.Refresh // the provider lets it be used again
	}
	next := keptTokens{tokens: *t, Provider: r.p.ID, Got: r.o.Clock(), Nonce: r.kept.Nonce, Fence: r.kept.Fence}
	if next.ID == "" {
		next.ID = r.kept.ID // still the hint that ends the provider's session
	}
	switch err := r.store(ctx, &next); {
	case errors.Is(err, session.ErrNotFound): // signed out meanwhile
		r.giveBack(ctx, m, &next)
		return superseded, nil
	case err != nil:
		return r.lose(ctx, err)
	}
	return r.follow(ctx, m, t)
}

// swap replaces the note, if it is still what this refresh has read or written.
func (r *refresh) swap(ctx context.Context, t *keptTokens) error {
	data, err := seal(r.secret[:], tokensPurpose, r.note, t)
	if err != nil {
		return err
	}
	n := session.Note{Data: data, Expires: r.was.ExpiresAt}
	if err := r.o.Notes.SwapNote(ctx, r.note, r.data, n, r.o.Clock()); err != nil {
		return err
	}
	r.kept, r.data = t, data
	return nil
}

// store is swap for tokens that the provider gave once: it tries again what
// the store did not answer.
func (r *refresh) store(ctx context.Context, t *keptTokens) (err error) {
	for try := range storeTries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return err
			case <-time.After(storePause):
			}
		}
		if err = r.swap(ctx, t); !errors.Is(err, session.ErrUnavailable) {
			return err
		}
	}
	return err
}

// unanswered tells apart why there are no tokens.
func (r *refresh) unanswered(ctx context.Context, sent bool, err error) (outcome, error) {
	e, answered := errors.AsType[*tokenError](err)
	switch {
	case answered && e.spent:
		return r.end(ctx, err)
	case !sent, answered && (e.status == http.StatusTooManyRequests || e.status == http.StatusServiceUnavailable):
		return r.restore(ctx, away, err)
	case answered && e.status >= 400 && e.status < 500 && e.status != http.StatusRequestTimeout:
		return r.restore(ctx, failed, err) // the gate's own credentials, say
	}
	// A timeout, or an error from behind which the provider may have answered:
	// sent again, a token that is good once has the provider take all of them.
	return r.lose(ctx, err)
}

// restore has the token tried again later: it was not used.
func (r *refresh) restore(ctx context.Context, o outcome, err error) (outcome, error) {
	unspent := *r.kept
	unspent.Spent = false
	return o, errors.Join(err, r.swap(ctx, &unspent))
}

// follow writes down who the provider says it is now.
func (r *refresh) follow(ctx context.Context, m *metadata, t *tokens) (outcome, error) {
	id, err := r.p.identifyAgain(ctx, m, t, &r.was.Identity, r.kept.Nonce)
	if err != nil {
		if why := reasonOf(err); why == session.LoginAway || why == session.LoginClock || why == session.LoginSuperseded {
			return away, err // the new refresh token is kept and tried soon
		}
		r.giveBack(ctx, m, r.kept)
		return r.end(ctx, err)
	}
	s, err := r.o.Sessions.Renew(ctx, r.key, session.Renewal{Fence: r.kept.Fence, Identity: id, RefreshAt: r.kept.refreshAt()})
	switch {
	case errors.Is(err, session.ErrNotFound):
		r.giveBack(ctx, m, r.kept)
		return superseded, nil
	case errors.Is(err, session.ErrOvertaken):
		return superseded, nil
	case errors.Is(err, session.ErrUnavailable), errors.Is(err, session.ErrConflict):
		return failed, err
	case err != nil: // an identity that no record can have
		r.giveBack(ctx, m, r.kept)
		return r.end(ctx, err)
	}
	if id != nil {
		if err := r.provision(ctx, r.p, id, r.o.Clock()); err != nil {
			r.o.Logger.Warn("a refresh was not kept with the person", "provider", r.p.ID, "user", id.UserID, "error", err)
		}
	}
	if !slices.Equal(s.Identity.Roles, r.was.Identity.Roles) {
		r.o.Logger.Info("a refresh changed roles", "provider", r.p.ID, "user", s.Identity.UserID, "session", r.key.Short(), "roles", s.Identity.Roles)
	}
	return renewed, nil
}

// lose has the session go on until its access token would have ended.
func (r *refresh) lose(ctx context.Context, cause error) (outcome, error) {
	by := r.kept.Got.Add(r.kept.life())
	if !r.o.Clock().Before(by) {
		_, err := r.end(ctx, cause)
		return lost, err
	}
	_, err := r.o.Sessions.Renew(ctx, r.key, session.Renewal{Fence: r.kept.Fence, EndsBy: by})
	if errors.Is(err, session.ErrOvertaken) || errors.Is(err, session.ErrNotFound) {
		return superseded, nil
	}
	return lost, errors.Join(cause, err)
}

// end ends the session: the provider does not stand by it any more.
func (r *refresh) end(ctx context.Context, cause error) (outcome, error) {
	err := r.o.Sessions.Revoke(ctx, r.key)
	_, _ = r.o.Notes.TakeNote(ctx, r.note, r.o.Clock()) // they would go by themselves
	return refused, errors.Join(cause, err)
}

// giveBack revokes tokens that came for a session that is over.
func (r *refresh) giveBack(ctx context.Context, m *metadata, t *keptTokens) {
	if err := r.p.revokeAll(ctx, m, t); err != nil {
		r.o.Logger.Warn("revoking the provider's tokens failed after a refresh", "provider", r.p.ID, "session", r.key.Short(), "error", err)
	}
}
