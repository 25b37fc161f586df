package admin

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/neosc/gate/session"
)

// maxList is the most rows of one answer, as session.Query has it.
const maxList = 1000

// limited reads the parameter limit, if it is there.
func limited(q url.Values, limit *int) error {
	if !q.Has("limit") {
		return nil
	}
	n, err := strconv.Atoi(q.Get("limit"))
	if err != nil || n < 1 || n > maxList {
		return problem(http.StatusBadRequest, "limit %q is not a number from 1 to %d", q.Get("limit"), maxList)
	}
	*limit = n
	return nil
}

func (a *API) listSessions(r *http.Request) (any, error) {
	q, err := parameters(r, "user", "email", "limit")
	if err != nil {
		return nil, err
	}
	query := session.Query{UserID: q.Get("user"), Email: q.Get("email"), Now: a.o.Clock(), Limit: 100}
	if err := limited(q, &query.Limit); err != nil {
		return nil, err
	}
	found, err := a.o.Sessions.List(r.Context(), query)
	if err != nil {
		return nil, err
	}
	out := sessionList{Sessions: []SessionInfo{}}
	for _, s := range found {
		out.Sessions = append(out.Sessions, infoOf(s))
	}
	return out, nil
}

func (a *API) createSession(r *http.Request) (any, error) {
	var n NewSession
	if err := decode(r, &n); err != nil {
		return nil, err
	}
	id, kind, lifetime, err := n.check()
	if err != nil {
		return nil, err
	}
	id.AuthenticatedAt = a.o.Clock()
	s, value, err := a.o.Sessions.Create(r.Context(), id, kind, lifetime)
	if err != nil && !errors.Is(err, session.ErrUnavailable) {
		return nil, problem(http.StatusUnprocessableEntity, "%v", err)
	}
	if err != nil {
		return nil, err
	}
	a.o.Logger.Info("session_created", "session", s.Key.Short(), "user", id.UserID, "kind", kind, "by", "operator")
	out := CreatedSession{Key: s.Key.String(), ExpiresAt: s.ExpiresAt}
	if kind == session.Service {
		out.Token = value
	} else {
		out.Cookie = a.o.CookieName + "=" + value
	}
	return out, nil
}

// check turns the request into an identity. The email counts as verified: an
// operator vouches for it.
func (n NewSession) check() (id session.Identity, kind session.Kind, lifetime time.Duration, err error) {
	if n.Email == "" || len(n.Email) > 254 {
		return id, "", 0, problem(http.StatusUnprocessableEntity, "email has %d bytes, want 1 to 254", len(n.Email))
	}
	roles, err := session.CheckNames("role", n.Roles)
	if err != nil {
		return id, "", 0, problem(http.StatusUnprocessableEntity, "roles: %v", err)
	}
	switch kind = session.Kind(n.Kind); kind {
	case "":
		kind = session.Browser
	case session.Browser, session.Service:
	default:
		return id, "", 0, problem(http.StatusUnprocessableEntity, "kind %q is neither browser nor service", n.Kind)
	}
	if n.Lifetime != "" {
		if lifetime, err = time.ParseDuration(n.Lifetime); err != nil || lifetime <= 0 {
			return id, "", 0, problem(http.StatusUnprocessableEntity, "lifetime %q is not a duration above zero such as 8h or 30m", n.Lifetime)
		}
	}
	if n.UserID == "" {
		n.UserID = "operator:" + n.Email
	}
	return session.Identity{
		Provider: "operator", Subject: n.UserID, UserID: n.UserID, Email: n.Email, EmailVerified: true, Name: n.Name,
		Organization: n.Organization, Roles: roles, Claims: n.Claims,
	}, kind, lifetime, nil
}

func (a *API) revokeSession(r *http.Request) (any, error) {
	k, err := session.ParseKey(r.PathValue("key"))
	if err != nil {
		return nil, problem(http.StatusBadRequest, "%v; `gate session list` shows the keys", err)
	}
	if err := a.o.Sessions.RevokeToken(r.Context(), k); err != nil {
		return nil, err
	}
	a.o.Logger.Info("session_revoked", "session", k.Short(), "by", "operator")
	return ended{Ended: 1}, nil
}

func (a *API) revokeSessions(r *http.Request) (any, error) {
	q, err := parameters(r, "user", "email", "all")
	if err != nil {
		return nil, err
	}
	user, email, all := q.Get("user"), q.Get("email"), q.Get("all")
	n := 0
	switch {
	case all == "true" && user == "" && email == "":
		n, err = a.o.Sessions.RevokeAll(r.Context())
	case all == "" && user != "" && email == "":
		n, err = a.o.Sessions.RevokeUser(r.Context(), user)
	case all == "" && user == "" && email != "":
		n, err = a.revokeEmail(r, email)
	default:
		return nil, problem(http.StatusBadRequest, "say whose sessions to end, by either user or email, or all=true for everybody's")
	}
	if err != nil {
		return nil, err
	}
	a.o.Logger.Info("session_revoked", "user", user, "email", email, "all", all == "true", "sessions", n, "by", "operator")
	return ended{Ended: n}, nil
}

// revokeEmail ends page after page until none is left: an email is no key of
// the store. One that signs in faster than this ends sessions is stopped at a
// bound rather than raced for ever.
func (a *API) revokeEmail(r *http.Request, email string) (int, error) {
	n := 0
	for range 100 {
		found, err := a.o.Sessions.List(r.Context(), session.Query{Email: email, Now: a.o.Clock(), Limit: maxList})
		if err != nil || len(found) == 0 {
			return n, err
		}
		for _, s := range found {
			if err := a.o.Sessions.Revoke(r.Context(), s.Key); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, problem(http.StatusConflict, "ended %d sessions, and there are more: they begin faster than they can be ended; disable the account first", n)
}
