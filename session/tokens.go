package session

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Tokens are what a program holds of a session: an access token that is good
// for a short while, and a refresh token that is good once.
type Tokens struct {
	Session *Session
	// Access opens the session by ByBearer until AccessUntil.
	Access      string
	AccessUntil time.Time
	// Refresh gets the next Tokens of the same session by Refresh.
	Refresh string
}

// TokenIssuer begins sessions of programs and goes on with them. Safe for
// concurrent use.
type TokenIssuer interface {
	// BeginTokens begins a session of the kind Bearer as Draft says.
	BeginTokens(ctx context.Context, d Draft) (Tokens, error)
	// RefreshTokens gives the next tokens for a refresh token. ErrInvalid if it
	// opens nothing, is over, or was used before; in the last case the session
	// has ended: two hold the same token, and which of them is the thief nobody
	// can tell (RFC 9700, 4.14.2).
	RefreshTokens(ctx context.Context, token string) (Tokens, error)
}

// ErrReused is in the error of a refresh token that was used before.
var ErrReused = errors.New("the refresh token was used before; its session has ended")

// BeginTokens implements TokenIssuer. All tokens of one sign-in are one session,
// which is listed, changed and ended as one.
func (m *Manager) BeginTokens(ctx context.Context, d Draft) (Tokens, error) {
	if m.o.Refreshes == nil {
		return Tokens{}, errors.New("create session: refresh tokens cannot be sealed here")
	}
	d.Kind, d.Refreshed = Bearer, true
	s, access, p, err := m.begin(ctx, d)
	if err != nil {
		return Tokens{}, err
	}
	return m.tokens(s, p, access)
}

// TokensOf returns the tokens of a session that has just begun as a Draft with
// Refreshed, by its access token. Refresh is "" for one that has none.
func (m *Manager) TokensOf(s *Session, access string) (Tokens, error) {
	p, err := m.o.Sealer.Open(access)
	if err != nil || p.ID.Key() != s.Key {
		return Tokens{}, ErrInvalid
	}
	return m.tokens(s, p, access)
}

// tokens adds the refresh token of a session's present rotation. It has its
// number where the sealed instant is: when it ends, the record says. The secret
// goes along, so that the next access token opens what is sealed under it.
func (m *Manager) tokens(s *Session, access CookiePayload, sealed string) (Tokens, error) {
	t := Tokens{Session: s, Access: sealed, AccessUntil: access.ExpiresAt}
	if s.Rotation == 0 || m.o.Refreshes == nil {
		return t, nil
	}
	var err error
	t.Refresh, err = m.o.Refreshes.Seal(CookiePayload{ID: access.ID, Secret: access.Secret, ExpiresAt: time.Unix(int64(s.Rotation), 0)})
	if err != nil {
		return Tokens{}, fmt.Errorf("seal a refresh token: %w", err)
	}
	return t, nil
}

// RefreshTokens implements TokenIssuer.
func (m *Manager) RefreshTokens(ctx context.Context, token string) (Tokens, error) {
	if m.o.Refreshes == nil || len(token) > maxSealed {
		return Tokens{}, ErrInvalid
	}
	p, err := m.o.Refreshes.Open(token)
	if err != nil {
		return Tokens{}, ErrInvalid
	}
	now := m.o.Clock().UTC().Truncate(time.Millisecond)
	s, err := m.update(ctx, p.ID.Key(), func(s *Session) error {
		switch {
		case s.Kind != Bearer:
			return ErrInvalid
		case s.Rotation != uint64(p.ExpiresAt.Unix()):
			return ErrReused
		}
		if err := m.endedWithAll(ctx, s); err != nil {
			return err
		}
		s.Rotation++
		s.IdleExpiresAt = earlier(now.Add(m.o.Idle), s.ExpiresAt)
		return nil
	})
	switch {
	case errors.Is(err, ErrReused):
		return Tokens{}, m.reused(ctx, p.ID.Key())
	case errors.Is(err, ErrNotFound):
		return Tokens{}, ErrInvalid
	case err != nil:
		return Tokens{}, err
	}
	if err := m.auditRefreshed(ctx, s); err != nil {
		return Tokens{}, err
	}
	access := CookiePayload{ID: p.ID, Secret: p.Secret, ExpiresAt: earlier(s.ExpiresAt, now.Add(m.o.AccessLifetime))}
	sealed, err := m.o.Sealer.Seal(access)
	if err != nil {
		return Tokens{}, fmt.Errorf("seal an access token: %w", err)
	}
	return m.tokens(s, access, sealed)
}

// reused ends the session of a refresh token that came twice.
func (m *Manager) reused(ctx context.Context, k Key) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	was := m.auditWho(ctx, k)
	if err := m.end(ctx, k); err != nil {
		return err
	}
	m.countSoon()
	if was != nil {
		e := NewEvent(ctx, ActionTokenRevoked, was)
		e.Details = map[string]string{"reason": "refresh_token_reused"}
		m.auditEnd(ctx, e)
	}
	return fmt.Errorf("%w: %w", ErrInvalid, ErrReused)
}

// auditRefreshed keeps that a session got new tokens, before they are handed
// out. The token of before is spent then; who cannot be told of the next one
// signs in again.
func (m *Manager) auditRefreshed(ctx context.Context, s *Session) error {
	if m.o.Audit == nil {
		return nil
	}
	e := NewEvent(ctx, ActionTokenIssued, s)
	e.Details = map[string]string{"provider": s.Identity.Provider, "kind": string(s.Kind), "by": "refresh"}
	if err := m.o.Audit.Append(ctx, e); err != nil {
		return fmt.Errorf("%w: refresh: %w", ErrUnavailable, err)
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
