package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web"
)

// auditTime bounds waiting for the event of something that has happened anyway.
const auditTime = 5 * time.Second

// User is a person as apps know one: these six fields and no more.
type User struct {
	ID           string `json:"id"`
	Email        string `json:"email"`
	Name         string `json:"name"`
	Organization string `json:"organization"`
	Role         string `json:"role"`
	MFA          bool   `json:"mfa_enabled"`
}

// SignedIn is what a sign-in gives.
type SignedIn struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	// ExpiresIn is for how many seconds the access token holds.
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	User         User   `json:"user"`
}

type loginRequest struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

func (a *API) login(c *call) (reply, error) {
	var q loginRequest
	if err := a.forPasswords(c, &q); err != nil {
		return reply{}, err
	}
	id, err := a.o.Accounts.SignIn(c.Context(), q.Email, q.Password, web.ClientAddr(c.Request))
	if need, ok := errors.AsType[*session.FactorNeededError](err); ok {
		return reply{}, a.askForFactor(c, need.User)
	}
	if err != nil {
		a.o.SignIn(c.Request, nil, err)
		return reply{}, err
	}
	return a.begin(c, id)
}

// forPasswords reads the request of an address that only accounts of the gate's
// own have.
func (a *API) forPasswords(c *call, into any) error {
	if a.o.NoAccounts {
		return problem(http.StatusNotFound, "unknown_route", "There are no accounts of the gate's own here. Sign in at a provider.")
	}
	return decode(c.w, c.Request, into)
}

// begin gives somebody who has proved who they are a session and its tokens. A
// cookie that came with the request stays what it is: another sign-in.
func (a *API) begin(c *call, id session.Identity) (reply, error) {
	t, err := a.o.Sessions.BeginTokens(c.Context(), session.Draft{Identity: id, SignIn: session.ActionLogin})
	a.o.SignIn(c.Request, t.Session, err)
	if err != nil {
		return reply{}, err
	}
	return a.signedIn(c, t)
}

func (a *API) signedIn(c *call, t session.Tokens) (reply, error) {
	u, err := a.userOf(c.Context(), t.Session)
	if err != nil {
		return reply{}, err
	}
	return reply{body: SignedIn{
		AccessToken: t.Access, TokenType: "bearer", ExpiresIn: int64(t.AccessUntil.Sub(a.o.Clock()) / time.Second), RefreshToken: t.Refresh, User: u,
	}}, nil
}

type refreshRequest struct {
	RefreshToken string `json:"refresh_token"`
}

// refresh gives the next tokens of a session. To whoever holds a token that is
// worth nothing it does not say why.
func (a *API) refresh(c *call) (reply, error) {
	var q refreshRequest
	if err := decode(c.w, c.Request, &q); err != nil {
		return reply{}, err
	}
	t, err := a.o.Sessions.RefreshTokens(c.Context(), q.RefreshToken)
	if errors.Is(err, session.ErrReused) {
		a.o.Logger.Warn("a refresh token came twice; its session has ended", "client_ip", web.ClientAddr(c.Request), "request_id", requestID(c.Request))
	}
	if errors.Is(err, session.ErrInvalid) {
		return reply{}, problem(http.StatusUnauthorized, "refresh_token_invalid", "The refresh token opens nothing. Sign in again.")
	}
	if err != nil {
		return reply{}, err
	}
	return a.signedIn(c, t)
}

func (a *API) me(c *call) (reply, error) {
	if _, err := parameters(c.Request); err != nil {
		return reply{}, err
	}
	u, err := a.userOf(c.Context(), c.s)
	return reply{body: u}, err
}

// userOf says of a session who it is. Whether a second factor is asked of them,
// accounts know; of people of providers, how they signed in tells.
func (a *API) userOf(ctx context.Context, who *session.Session) (User, error) {
	id := &who.Identity
	u := User{ID: id.UserID, Email: id.Email, Name: id.Name, Organization: id.Organization, Role: roleOf(id.Roles), MFA: twoFactors(id)}
	if a.o.IsAdministrator(ctx, who) {
		u.Role = adminRole
	}
	if id.Provider != local || a.o.Members == nil {
		return u, nil
	}
	account, err := a.o.Members.UserByID(ctx, id.UserID)
	switch {
	case errors.Is(err, session.ErrNoUser):
		registered(&u)
	case err != nil:
		return User{}, err
	default:
		u.MFA = account.MFA
	}
	return u, nil
}

// local is the provider of accounts of the gate's own.
const local = "local"

// registered is what every account begins as. The role counts from when the
// email is verified; until then the session has none.
func registered(u *User) {
	if u.Role == "" {
		u.Role = "user"
	}
	u.MFA = true
}

// roleOf is the one that says most, for apps that know of one alone.
func roleOf(roles []string) string {
	for _, role := range append([]string{adminRole, "neosc", "user"}, roles...) {
		if slices.Contains(roles, role) {
			return role
		}
	}
	return ""
}

// twoFactors reports whether a second factor was shown at this sign-in.
func twoFactors(id *session.Identity) bool {
	return slices.ContainsFunc(id.AMR, func(m string) bool {
		return m == session.AMRMFA || m == session.AMROTP || m == session.AMRKey
	})
}

// logout ends the session that asks, with all of its tokens.
func (a *API) logout(c *call) (reply, error) {
	if err := a.o.Sessions.RevokeToken(c.Context(), c.s.Key); err != nil {
		return reply{}, err
	}
	a.keep(c, session.NewEvent(c.Context(), session.ActionLogout, c.s))
	a.o.Logger.Info("signed out", "user", c.s.Identity.UserID, "session", c.s.Key.Short(), "client_ip", web.ClientAddr(c.Request), "request_id", requestID(c.Request))
	if c.s.Kind == session.Browser {
		host := c.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		for _, line := range a.o.Cookie.Expire(host, "/") {
			c.w.Header().Add("Set-Cookie", line)
		}
	}
	return reply{status: http.StatusNoContent}, nil
}

// keep has the trail tell of what has happened already, and is not held up by
// it; what cannot be kept is in the log.
func (a *API) keep(c *call, e session.Event) {
	if a.o.Audit == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), auditTime)
	defer cancel()
	if err := a.o.Audit.Append(ctx, e); err != nil && !errors.Is(err, context.Canceled) {
		a.o.Logger.Error("an event is not in the audit trail", "action", e.Action, "user", e.User.ID, "session", e.Session, "client_ip", e.ClientIP, "request_id", e.RequestID, "error", err)
	}
}
