package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/neosc/gate/session"
)

// Factors takes second factors away. Safe for concurrent use.
type Factors interface {
	// RemoveFactors takes away all that a user has.
	RemoveFactors(ctx context.Context, userID string) error
	// Reset takes away everybody's apps and recovery codes, with the key under
	// which they were kept; passkeys stay.
	Reset(ctx context.Context) error
}

// handleFactors adds what needs Factors.
func (a *API) handleFactors() {
	if a.o.Factors == nil {
		return
	}
	a.handle("DELETE /v1/users/{email}/factors", a.removeFactors)
	a.handle("DELETE /v1/factors", a.resetFactors)
}

// removeFactors also ends the account's sessions: who has the lost factor may
// have one.
func (a *API) removeFactors(r *http.Request) (any, error) {
	id, err := a.userID(r)
	if err != nil {
		return nil, err
	}
	u, err := a.o.Members.UserByID(r.Context(), id)
	if err != nil {
		return nil, err
	}
	if err := a.o.Factors.RemoveFactors(r.Context(), id); err != nil {
		return nil, err
	}
	n, err := a.o.Sessions.RevokeUser(r.Context(), id)
	if err == nil {
		err = a.keepFactors(r, session.Person{ID: u.ID, Email: u.Email})
	}
	if err != nil {
		return nil, fmt.Errorf("the second factors are removed, but sessions of before may go on, or nobody is told; try again: %w", err)
	}
	a.o.Logger.Info("mfa_removed", "user", u.ID, "sessions", n, "by", "operator")
	return ChangedUser{User: u, SessionsEnded: n}, nil
}

func (a *API) resetFactors(r *http.Request) (any, error) {
	err := a.o.Factors.Reset(r.Context())
	if err == nil {
		err = a.keepFactors(r, session.Person{})
	}
	if err != nil {
		return nil, err
	}
	a.o.Logger.Warn("mfa_removed", "user", "all", "by", "operator")
	return struct{}{}, nil
}

func (a *API) keepFactors(r *http.Request, of session.Person) error {
	if a.o.Audit == nil {
		return nil
	}
	e := session.NewEvent(r.Context(), session.ActionFactorRemoved, nil)
	e.User, e.Details = of, map[string]string{"method": "all"}
	if of == (session.Person{}) {
		e.Details["of"] = "everybody"
	}
	return a.o.Audit.Append(r.Context(), e)
}

// RemoveFactors takes an account's second factors away and ends its sessions.
func (c *Client) RemoveFactors(ctx context.Context, email string) (out ChangedUser, err error) {
	if email == "" {
		return out, errors.New("name the account")
	}
	err = c.do(ctx, "DELETE", "/v1/users/"+url.PathEscape(email)+"/factors", nil, nil, &out)
	return out, err
}

// ResetFactors takes away everybody's apps and recovery codes.
func (c *Client) ResetFactors(ctx context.Context) error {
	var out struct{}
	return c.do(ctx, "DELETE", "/v1/factors", nil, nil, &out)
}
