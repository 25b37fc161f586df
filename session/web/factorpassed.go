package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// factorEvent is an event of somebody's second factor.
func (h *Handler) factorEvent(r *http.Request, action session.Action, a *asked, with string) session.Event {
	e := session.NewEvent(r.Context(), action, a.s)
	e.User = session.Person{ID: a.user.ID, Email: a.user.Email}
	if e.Actor == (session.Person{}) {
		e.Actor = e.User
	}
	if len(with) > 16 {
		with = "unknown"
	}
	e.Details = map[string]string{"method": with}
	return e
}

// factorPassed begins a session under a new id: the first one of a sign-in, or
// one in the place of that which was shown.
func (h *Handler) factorPassed(w http.ResponseWriter, r *http.Request, a *asked, amr []string) {
	if err := h.keep(r, h.factorEvent(r, session.ActionFactorUsed, a, amr[0])); err != nil {
		h.trouble(w, r, "keeping a second factor in the audit trail", err)
		return
	}
	to := a.to
	if amr[0] == session.AMRRecovery { // what was lost is to be taken away there
		to = h.o.GateOrigin + securityAt(a.rd)
	}
	if a.s != nil {
		if h.stepUp(w, r, a.s, amr) {
			redirect(w, http.StatusSeeOther, to)
		}
		return
	}
	l, err := h.o.Factors.Take(r.Context(), a.token)
	if err != nil {
		h.factorFailed(w, r, a, "", err)
		return
	}
	id, changed, err := h.o.Identities.Identify(r.Context(), l.User.ID)
	switch {
	case errors.Is(err, session.ErrCredentials), err == nil && changed.After(l.Started):
		// Disabled, or a password that was changed since it was given.
		h.setPending(w, "")
		h.factorFailed(w, r, a, "", session.ErrNotFound)
		return
	case err != nil:
		h.trouble(w, r, "looking up an account", err)
		return
	}
	id.AMR, id.AuthenticatedAt = append([]string{session.AMRPassword}, amr...), time.Time{}
	h.setPending(w, "")
	h.beginAt(w, r, id, to)
}

// stepUp gives somebody who has just shown more a session under a new id that
// says so, until when the one before would have ended. It answers itself if it
// cannot.
func (h *Handler) stepUp(w http.ResponseWriter, r *http.Request, s *session.Session, amr []string) bool {
	id := s.Clone().Identity
	if slices.Contains(amr, session.AMRMFA) {
		for _, m := range id.AMR {
			if !slices.Contains(amr, m) {
				amr = append(amr, m)
			}
		}
	}
	id.AMR, id.AuthenticatedAt = amr, time.Time{} // a password alone makes nothing else fresh
	fresh, value, err := h.o.Sessions.Create(r.Context(), id, session.Browser, s.ExpiresAt.Sub(h.o.Clock()))
	if err == nil {
		_, err = h.end(r)
	}
	if err != nil {
		h.trouble(w, r, "beginning a session anew", err)
		return false
	}
	h.clearCookies(w, r, "")
	w.Header().Add("Set-Cookie", h.o.Cookie.Set(value, fresh.ExpiresAt.Sub(h.o.Clock())))
	h.o.Logger.Info("second factor shown", "user", id.UserID, "session", fresh.Key.Short(), "amr", strings.Join(amr, " "), "client_ip", ClientAddr(r), "request_id", requestID(r))
	return true
}
