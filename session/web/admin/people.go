package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/neosc/gate/session"
)

// Person is who somebody is to policy, for explaining decisions about them.
// Nothing in it opens anything, and it holds no claims whose name says that
// they are secret.
type Person struct {
	// Key names the live session that it comes from; "" when there is none and
	// it comes from the local account, which has roles but no claims.
	Key string `json:"key,omitempty"`
	// Session is as policy sees it; without times when it is an account's.
	Session session.Session `json:"session"`
}

// person answers with the newest live session of an email, or else its account.
func (a *API) person(r *http.Request) (any, error) {
	if _, err := parameters(r); err != nil {
		return nil, err
	}
	email := r.PathValue("email")
	found, err := a.o.Sessions.List(r.Context(), session.Query{Email: email, Now: a.o.Clock(), Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(found) > 0 {
		return Person{Key: found[0].Key.String(), Session: *a.shown(found[0])}, nil
	}
	u, err := a.account(r.Context(), email)
	if errors.Is(err, session.ErrNoUser) {
		return nil, NotFound("nobody with the email %s has a live session or a local account", email)
	}
	if err != nil {
		return nil, err
	}
	return Person{Session: session.Session{Kind: session.Browser, Identity: session.Identity{
		Provider: "local", UserID: u.ID, Email: u.Email, EmailVerified: true, Name: u.Name, Organization: u.Organization,
		Roles: nonNil(u.Roles), Claims: a.shown(&session.Session{Identity: session.Identity{Claims: u.Claims}}).Identity.Claims,
	}}}, nil
}

// account is the local one of an email. What no account's email can be is nobody's.
func (a *API) account(ctx context.Context, email string) (session.User, error) {
	u, err := a.o.Users.UserByEmail(ctx, email)
	if errors.Is(err, session.ErrBadUser) {
		err = session.ErrNoUser
	}
	return u, err
}

// shown is a session without what may be a secret.
func (a *API) shown(s *session.Session) *session.Session {
	if a.o.Mask == nil {
		c := s.Clone()
		c.Identity.Claims = nil
		return c
	}
	return a.o.Mask(s)
}

// decision explains a recent decision.
func (a *API) decision(r *http.Request) (any, error) {
	if _, err := parameters(r); err != nil {
		return nil, err
	}
	return a.o.Decision(r.Context(), r.PathValue("id"))
}

// NotFound is an error that is answered with 404 and this text.
func NotFound(format string, args ...any) error {
	return problem(http.StatusNotFound, format, args...)
}
