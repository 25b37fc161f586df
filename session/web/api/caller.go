package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web"
)

func requestID(r *http.Request) string { return web.OriginOf(r).RequestID }

// admit finds out who asks and refuses those whom an address is not for.
func (a *API) admit(c *call, access Access) error {
	if access == Public {
		return nil
	}
	s, byCookie, err := a.caller(c.Request)
	switch {
	case err != nil:
		return err
	case s == nil:
		return problem(http.StatusUnauthorized, "unauthenticated", "Sign in, or send an access token that is valid now.")
	case byCookie && !safe(c.Method) && !a.knownOrigin(c.Request):
		// The edge asks for the very origin; without it a cookie would be enough
		// for any page that somebody opens.
		return problem(http.StatusForbidden, "origin_mismatch", "A change by cookie needs the Origin of a page of this edge.")
	case access == Admin && !a.o.IsAdministrator(c.Context(), s):
		return problem(http.StatusForbidden, "role_required", "This is for administrators.")
	}
	c.s = s
	o := session.OriginOf(c.Context())
	o.Actor = session.Person{ID: s.Identity.UserID, Email: s.Identity.Email}
	c.Request = c.WithContext(session.WithOrigin(c.Context(), o))
	return nil
}

// isAdmin reports whether who asks may do what concerns others.
func (c *call) isAdmin() bool { return c.admin(c.Context(), c.s) }

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

func (a *API) knownOrigin(r *http.Request) bool {
	v := r.Header.Values("Origin")
	return len(v) == 1 && a.o.IsOrigin(v[0])
}

// caller is who asks, nil for nobody: a token, if one is there, counts alone.
// An error means that it cannot be told now.
func (a *API) caller(r *http.Request) (s *session.Session, byCookie bool, err error) {
	switch lines := r.Header.Values("Authorization"); {
	case len(lines) > 1:
		return nil, false, nil
	case len(lines) == 1:
		scheme, token, _ := strings.Cut(lines[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, false, nil
		}
		s, err = a.o.Sessions.ByBearer(r.Context(), strings.TrimSpace(token), a.o.Clock())
	default:
		var values []string
		for _, line := range r.Header.Values("Cookie") {
			values = session.AppendCookieValues(values, line, a.o.Cookie.Name)
		}
		if len(values) == 0 {
			return nil, true, nil
		}
		byCookie = true
		s, err = a.o.Sessions.ByCookies(r.Context(), values, a.o.Clock())
	}
	if errors.Is(err, session.ErrInvalid) || errors.Is(err, session.ErrAmbiguous) {
		return nil, byCookie, nil
	}
	return s, byCookie, err
}
