package oidclogin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/neosc/gate/session"
)

const (
	tokensPurpose = "provider tokens"
	logoutPurpose = "provider logout"
	sidPurpose    = "provider session"
	// logoutLife is how long a logout is remembered for sign-ins that it
	// overtook: longer than a code and a login state live together.
	logoutLife = time.Hour
)

// keptTokens are what a session needs of the provider later: to refresh, to
// revoke, and to end the session there.
type keptTokens struct {
	tokens
	Provider string    `json:"provider"`
	Got      time.Time `json:"got"`
	// Nonce is that of the sign-in.
	Nonce string `json:"nonce,omitempty"`
	// Spent: the refresh token was sent, or is about to be. Fence counts how
	// often any was.
	Spent bool   `json:"spent,omitempty"`
	Fence uint64 `json:"fence,omitempty"`
}

// earliestRefresh keeps short-lived tokens from having the provider asked with
// every other request.
const earliestRefresh = 30 * time.Second

// refreshAt is when most of the access token's life is over: late enough to
// be rare, early enough to be tried again. It is zero if there is nothing to
// refresh with.
func (t *keptTokens) refreshAt() time.Time {
	if t.Refresh == "" {
		return time.Time{}
	}
	return t.Got.Add(max(t.life()/5*4, earliestRefresh))
}

// begin makes the session of a person. What is written first is what a logout
// that comes at the same moment looks for, and what is read last is what such
// a logout leaves: whichever comes first, the session does not survive it.
func (l *Logins) begin(ctx context.Context, p *provider, st *loginState, t *tokens, who *person, kind session.Kind) (*session.Login, error) {
	now := l.o.Clock()
	if who.sid != "" {
		n := session.Note{Data: []byte(who.UserID), Expires: now.Add(30 * 24 * time.Hour)}
		if err := l.o.Notes.SetNote(ctx, sidKey(sidPurpose, p.Issuer, who.sid), n, now); err != nil {
			return nil, fmt.Errorf("provider session: %w", err)
		}
	}
	if err := l.provision(ctx, p, &who.Identity, now); err != nil {
		return nil, err
	}
	if p.ProjectID != "" && !who.inProject && p.projectMissed.CompareAndSwap(false, true) {
		l.o.Logger.Warn("an ID token does not name project_id: at Zitadel it is another project's than the client's, and nobody gets its roles", "provider", p.ID, "project_id", p.ProjectID)
	}
	kept := &keptTokens{tokens: *t, Provider: p.ID, Got: now, Nonce: st.Nonce}
	draft := session.Draft{Identity: who.Identity, Kind: kind, IdPSession: who.sid, SignIn: session.ActionSSOLogin, Refreshed: true}
	plain, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("provider tokens: %w", err)
	}
	if sealedSize(plain) <= session.MaxNoteSize {
		draft.RefreshAt = kept.refreshAt()
	}
	s, cookie, secret, err := l.o.Sessions.Begin(ctx, draft)
	switch {
	case errors.Is(err, session.ErrUnavailable):
		return nil, err
	case err != nil:
		return nil, &session.LoginError{Reason: session.LoginIdentity, Provider: p.ID, ReturnTo: st.ReturnTo, Err: err}
	}
	ended, err := l.overtaken(ctx, p, who, now)
	if err == nil && ended {
		err = &session.LoginError{Reason: session.LoginEnded, Provider: p.ID, ReturnTo: st.ReturnTo, Err: errors.New("the provider ended its session before the sign-in was through")}
	}
	if err == nil {
		err = l.keep(ctx, s, secret, p, plain, now)
	}
	if err != nil {
		return nil, errors.Join(err, l.o.Sessions.Revoke(context.WithoutCancel(ctx), s.Key))
	}
	return &session.Login{Session: s, Cookie: cookie, ReturnTo: st.ReturnTo, Started: st.Started}, nil
}

// provision keeps who signs in, for good.
func (l *Logins) provision(ctx context.Context, p *provider, id *session.Identity, now time.Time) error {
	if l.o.Directory == nil {
		return nil
	}
	first, err := l.o.Directory.SignedIn(ctx, *id, now)
	if err != nil {
		return fmt.Errorf("keeping who signed in: %w", err)
	}
	if first {
		l.o.Logger.Info("somebody signed in for the first time", "provider", p.ID, "user", id.UserID)
	}
	return nil
}

// overtaken reports whether the provider has ended its session, or all of the
// user's up to some instant, before ours began.
func (l *Logins) overtaken(ctx context.Context, p *provider, who *person, now time.Time) (bool, error) {
	keys := []session.Key{subKey(logoutPurpose, p.Issuer, who.Subject)}
	if who.sid != "" {
		keys = append(keys, sidKey(logoutPurpose, p.Issuer, who.sid))
	}
	notes, err := session.GetNotes(ctx, l.o.Notes, now, keys...)
	switch {
	case err != nil:
		return false, err
	case len(notes) == 2 && notes[1].LiveAt(now):
		return true, nil
	case !notes[0].LiveAt(now):
		return false, nil
	}
	at, err := time.Parse(time.RFC3339, string(notes[0].Data))
	return err != nil || !who.issued.After(at), nil
}

// keep seals the provider's tokens under a key of the cookie's secret and lays
// them beside the session. Tokens that are too large to keep are let go: the
// session then is never refreshed, nor ended at the provider.
func (l *Logins) keep(ctx context.Context, s *session.Session, secret session.Secret, p *provider, plain []byte, now time.Time) error {
	k := noteKey(tokensPurpose, s.Key.String())
	data, err := sealText(secret[:], tokensPurpose, k, plain)
	if err != nil {
		return fmt.Errorf("provider tokens: %w", err)
	}
	if len(data) > session.MaxNoteSize {
		l.o.Logger.Warn("a provider's tokens are too large to be kept", "provider", p.ID, "bytes", len(data), "session", s.Key.Short())
		return nil
	}
	if err := l.o.Notes.SetNote(ctx, k, session.Note{Data: data, Expires: s.ExpiresAt}, now); err != nil {
		return fmt.Errorf("provider tokens: %w", err)
	}
	return nil
}

// takeTokens returns the tokens of a session, once, to whoever has its cookie.
func (l *Logins) takeTokens(ctx context.Context, s *session.Session, cookie string) (*keptTokens, error) {
	key, secret, err := l.o.Sessions.OpenSecret(cookie)
	if err != nil {
		return nil, err
	}
	if key != s.Key {
		return nil, errors.New("the cookie is another session's")
	}
	k := noteKey(tokensPurpose, s.Key.String())
	n, err := l.o.Notes.TakeNote(ctx, k, l.o.Clock())
	if err != nil {
		return nil, err
	}
	t := new(keptTokens)
	return t, unseal(secret[:], tokensPurpose, k, n.Data, t)
}
