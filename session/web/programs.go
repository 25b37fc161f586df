package web

import (
	"errors"
	"net/http"

	"github.com/neosc/gate/session"
)

// OriginOf is where a request came from, as the trail tells it.
func OriginOf(r *http.Request) session.Origin { return origin(r) }

// PlainPath reports whether a path is absolute and says nothing twice: no empty
// or dot segment.
func PlainPath(p string) bool { return p != "" && p[0] == '/' && cleaned(p) == p }

// Programs counts, logs and keeps a sign-in by password that a program made
// beside the sign-in page: with its session, or with why there is none.
func (h *Handler) Programs(r *http.Request, s *session.Session, err error) {
	if err == nil {
		h.metrics.count(local, outcomeSuccess)
		h.o.Logger.Info("signed in", "user", s.Identity.UserID, "session", s.Key.Short(), "provider", s.Identity.Provider, "by", "api", "client_ip", ClientAddr(r), "request_id", requestID(r))
		return
	}
	o := outcomeUnavailable
	_, tooMany := errors.AsType[*session.TooManyGuessesError](err)
	switch {
	case errors.Is(err, session.ErrCredentials):
		o = outcomeCredentials
	case tooMany:
		o = outcomeGuesses
	case errors.Is(err, session.ErrBusy):
		o = outcomeBusy
	}
	h.metrics.count(local, o)
	if o != outcomeUnavailable {
		h.auditRefused(r.Context(), session.ActionLogin, local, string(o))
		h.o.Logger.Warn("sign-in refused", "outcome", o, "by", "api", "client_ip", ClientAddr(r), "request_id", requestID(r))
	}
}
