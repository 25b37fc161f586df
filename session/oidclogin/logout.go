package oidclogin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/claims"
)

// signOutTime bounds what a person waits for the provider at a sign-out.
const signOutTime = 3 * time.Second

// SignedOutPath is where a provider sends people after it ended its session:
// <gate origin>/oauth2/signed_out has to be registered there.
const SignedOutPath = "/oauth2/signed_out"

// SignOut implements session.Logins.
func (l *Logins) SignOut(ctx context.Context, s *session.Session, cookie string) string {
	p := l.byID[s.Identity.Provider]
	if p == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, signOutTime)
	defer cancel()
	warn := func(doing string, err error) {
		l.o.Logger.Warn(doing+" failed at a sign-out", "provider", p.ID, "session", s.Key.Short(), "error", err)
	}
	t, err := l.takeTokens(ctx, s, cookie)
	if err != nil {
		if !errors.Is(err, session.ErrNotFound) {
			warn("reading the provider's tokens", err)
		}
		t = &keptTokens{Provider: p.ID}
	}
	m, err := p.discovery.get(ctx)
	if err != nil {
		warn("asking the provider for its endpoints", err)
		return ""
	}
	if err := p.revokeAll(ctx, m, t); err != nil {
		warn("revoking the provider's tokens", err)
	}
	return p.endSession(m, t.ID)
}

// revokeAll revokes the refresh token, and with it the access tokens that it
// gave (RFC 7009, section 2.1); without one, the access token.
func (p *provider) revokeAll(ctx context.Context, m *metadata, t *keptTokens) error {
	switch {
	case m.RevocationEndpoint == "" || t.Provider != p.ID:
		return nil
	case t.Refresh != "":
		return p.revoke(ctx, m, t.Refresh, "refresh_token")
	case t.Access != "":
		return p.revoke(ctx, m, t.Access, "access_token")
	}
	return nil
}

// endSession is where the provider ends its own session
// (OpenID Connect RP-Initiated Logout 1.0).
func (p *provider) endSession(m *metadata, idToken string) string {
	if m.EndSessionEndpoint == "" {
		return ""
	}
	u, err := url.Parse(m.EndSessionEndpoint)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set("client_id", p.ClientID)
	q.Set("post_logout_redirect_uri", p.signedOutURI)
	// A very long token would make an address that servers refuse; with the
	// client id alone the provider asks the person.
	if idToken != "" && len(idToken) <= 6<<10 {
		q.Set("id_token_hint", idToken)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// logout is a logout token that holds.
type logout struct {
	sub, sid, jti string
	issued        time.Time
}

// Bounds on a logout token's age: providers send it at once, and try again for
// some minutes.
const maxLogoutAge = 15 * time.Minute

// LogOut implements session.Logins.
func (l *Logins) LogOut(ctx context.Context, id, token string) error {
	p, err := l.find(id)
	if err != nil {
		return err
	}
	out, err := p.checkLogout(ctx, token)
	if err != nil {
		l.metrics.loggedOut(p.ID, "refused")
		return &session.LoginError{Reason: reasonOf(err), Provider: p.ID, Err: fmt.Errorf("logout token: %w", err)}
	}
	n, err := l.logOutOnce(ctx, p, out)
	switch {
	case errors.Is(err, session.ErrReplayed):
		l.metrics.loggedOut(p.ID, "replayed")
		return &session.LoginError{Reason: session.LoginReply, Provider: p.ID, Err: err}
	case err != nil:
		l.metrics.loggedOut(p.ID, "failed")
		return err
	}
	l.metrics.loggedOut(p.ID, "ended")
	l.o.Logger.Info("a provider ended sessions", "provider", p.ID, "sessions", n)
	return nil
}

// logOutOnce ends what a token names, if the token was not used before: an old
// one must not end the session that somebody began since.
func (l *Logins) logOutOnce(ctx context.Context, p *provider, out *logout) (int, error) {
	now := l.o.Clock()
	used := noteKey("logout token", p.Issuer, out.jti)
	err := l.o.Notes.PutNote(ctx, used, session.Note{Expires: out.issued.Add(maxLogoutAge + 2*skew)}, now)
	if errors.Is(err, session.ErrExists) {
		return 0, session.ErrReplayed
	} else if err != nil {
		return 0, fmt.Errorf("logout token: %w", err)
	}
	n, err := l.endSessions(ctx, p, out, now)
	if err != nil {
		// The provider will send it again, and then it must count.
		_, _ = l.o.Notes.TakeNote(context.WithoutCancel(ctx), used, now)
		return n, fmt.Errorf("ending sessions: %w", err)
	}
	return n, nil
}

// endSessions leaves the mark that sign-ins under way look at, then ends the
// sessions that are there.
func (l *Logins) endSessions(ctx context.Context, p *provider, out *logout, now time.Time) (int, error) {
	mark := session.Note{Data: []byte(out.issued.UTC().Format(time.RFC3339)), Expires: now.Add(logoutLife)}
	if out.sid == "" {
		if err := l.o.Notes.SetNote(ctx, subKey(logoutPurpose, p.Issuer, out.sub), mark, now); err != nil {
			return 0, err
		}
		return l.o.Sessions.RevokeUser(ctx, claims.UserID(p.Issuer, out.sub))
	}
	if err := l.o.Notes.SetNote(ctx, sidKey(logoutPurpose, p.Issuer, out.sid), mark, now); err != nil {
		return 0, err
	}
	user, err := l.userOf(ctx, p, out, now)
	if err != nil || user == "" {
		return 0, err
	}
	return l.endOf(ctx, p, user, out.sid)
}

// userOf returns the id of the user whose session at the provider it is, ""
// if nobody signed in from it.
func (l *Logins) userOf(ctx context.Context, p *provider, out *logout, now time.Time) (string, error) {
	if out.sub != "" {
		return claims.UserID(p.Issuer, out.sub), nil
	}
	n, err := l.o.Notes.GetNote(ctx, sidKey(sidPurpose, p.Issuer, out.sid), now)
	if errors.Is(err, session.ErrNotFound) {
		return "", nil
	}
	return string(n.Data), err
}

// endOf ends a user's sessions that came from one session at the provider.
func (l *Logins) endOf(ctx context.Context, p *provider, user, sid string) (int, error) {
	q := session.Query{UserID: user, Limit: 1000}
	n := 0
	for {
		page, err := l.o.Sessions.List(ctx, q)
		if err != nil {
			return n, err
		}
		for _, s := range page {
			if s.Identity.Issuer == p.Issuer && s.IdPSession == sid {
				if err := l.o.Sessions.Revoke(ctx, s.Key); err != nil {
					return n, err
				}
				n++
			}
		}
		if len(page) < q.Limit {
			return n, nil
		}
		next := page[len(page)-1].CreatedAt
		if next.Equal(q.Before) {
			return n, fmt.Errorf("more than %d sessions began at one instant", q.Limit)
		}
		q.Before = next
	}
}

// checkLogout makes the checks of Back-Channel Logout 1.0, section 2.6.
func (p *provider) checkLogout(ctx context.Context, token string) (*logout, error) {
	m, err := p.discovery.get(ctx)
	if err != nil {
		return nil, &awayError{err}
	}
	v, err := p.verify(ctx, m, token, true)
	if err != nil {
		return nil, err
	}
	now := p.clock()
	_, nonce := v.claims["nonce"]
	events, _ := v.claims["events"].(map[string]any)
	_, event := events[logoutEvent].(map[string]any)
	sid, sidOK := v.claims["sid"].(string)
	_, hasSID := v.claims["sid"]
	jti, _ := v.claims["jti"].(string)
	exp, hasExp := v.claims["exp"].(json.Number)
	switch {
	case nonce:
		return nil, errors.New("it has a nonce, so it is no logout token")
	case !event:
		return nil, errors.New("it has not the event of a logout")
	case v.Subject == "" && sid == "", hasSID && (!sidOK || sid == ""):
		return nil, errors.New("it names neither a session nor a user")
	case len(v.Subject) > 255 || len(sid) > 255:
		return nil, errors.New("sub or sid is too long")
	case jti == "" || len(jti) > 255:
		return nil, errors.New("jti is missing or too long")
	case v.IssuedAt.Unix() <= 0 || now.Sub(v.IssuedAt) > maxLogoutAge:
		return nil, errors.New("iat is missing or too long ago")
	case v.IssuedAt.After(now.Add(skew)):
		return nil, because(session.LoginClock, "it was issued %s from now", v.IssuedAt.Sub(now).Round(time.Second))
	case hasExp && exp != "" && v.Expiry.Add(skew).Before(now):
		return nil, errors.New("it has expired")
	}
	return &logout{sub: v.Subject, sid: sid, jti: jti, issued: v.IssuedAt}, nil
}
