package web

import (
	"net/http"
	"net/url"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

// signOutForm asks before anything ends: an image or link that leads here has
// no effect.
func (h *Handler) signOutForm(w http.ResponseWriter, r *http.Request) {
	s, err := h.who(r)
	if err != nil {
		h.trouble(w, r, "looking up a session", err)
		return
	}
	to := ""
	if query, err := url.ParseQuery(r.URL.RawQuery); err == nil {
		if t, ok := h.target(query["rd"]); ok {
			to = t
		}
	}
	if s == nil {
		h.show(w, h.o.Pages.SignedOut(signInAt(to)))
		return
	}
	h.show(w, h.o.Pages.SignOut(pages.SignOutView{Email: s.Identity.Email, ReturnTo: to, CSRF: h.csrf.issue(w, r, "sign out", s.Key.String())}))
}

// signOut ends the session on every host and says so. A form without Origin
// must carry the token that is bound to the session; with one, it must be the
// gate's own.
func (h *Handler) signOut(w http.ResponseWriter, r *http.Request) {
	form, status, err := readForm(w, r)
	if err != nil {
		h.refuse(w, r, status, "form_refused", nil)
		return
	}
	s, err := h.who(r)
	if err != nil {
		h.trouble(w, r, "looking up a session", err)
		return
	}
	if !h.mayEnd(r, form.Get("csrf"), s) {
		h.o.Logger.Warn("sign-out refused", "client_ip", ClientAddr(r), "request_id", requestID(r))
		h.refuse(w, r, http.StatusForbidden, "form_refused", s)
		return
	}
	ended, err := h.end(r)
	if err != nil {
		// The cookie stays: without it the person could not try again, and the
		// session would live on.
		h.trouble(w, r, "ending a session", err)
		return
	}
	for _, s := range ended {
		h.auditEnd(r.Context(), session.NewEvent(r.Context(), session.ActionLogout, s.Session))
		h.o.Logger.Info("signed out", "user", s.Identity.UserID, "session", s.Key.Short(), "client_ip", ClientAddr(r), "request_id", requestID(r))
	}
	to, ok := h.target(form["rd"])
	h.clearCookies(w, r, to)
	if !ok {
		to = ""
	}
	if h.o.Logins != nil {
		for _, s := range ended {
			if next := h.o.Logins.SignOut(r.Context(), s.Session, s.cookie); next != "" {
				h.signOutAt(w, s.Identity.Provider, next)
				return
			}
		}
	}
	h.show(w, h.o.Pages.SignedOut(signInAt(to)))
}

// signOutAt sends somebody to the provider, which ends its session too.
func (h *Handler) signOutAt(w http.ResponseWriter, provider, next string) {
	if h.o.Pages.FormsLeadTo(next) {
		redirect(w, http.StatusSeeOther, next)
		return
	}
	// Browsers would hold the redirect; a link they do not hold.
	h.show(w, h.o.Pages.SignedOutAt(h.nameOf(provider), next))
}

// signedOut is where a provider sends people after it ended its session.
func (h *Handler) signedOut(w http.ResponseWriter, r *http.Request) {
	h.show(w, h.o.Pages.SignedOut(signInAt("")))
}

func (h *Handler) mayEnd(r *http.Request, token string, s *session.Session) bool {
	if len(r.Header.Values("Origin")) > 0 {
		return h.ownOrigin(r)
	}
	return s != nil && h.csrf.valid(r, token, "sign out", s.Key.String())
}

// signInAt is the path of the sign-in page that leads to a checked target.
func signInAt(to string) string {
	if to == "" {
		return "/oauth2/sign_in"
	}
	return "/oauth2/sign_in?rd=" + url.QueryEscape(to)
}
