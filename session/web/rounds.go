package web

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// overlap is how much longer a session holds that another tab's sign-in has
// replaced: longer than the first tab's browser takes from its callback to its
// application and what that loads at once.
const overlap = 10 * time.Second

// replace ends the sessions that came with a callback: an id that somebody else
// knows or planted must not outlive the sign-in. One that another tab of the
// same person began after this one had set out holds a moment longer, since that
// tab is on its way to its application with it; ended at once, it would be sent
// to the provider again and in turn end this one.
func (h *Handler) replace(r *http.Request, l *session.Login) error {
	values := h.cookies(r)
	for _, v := range values[:min(len(values), session.MaxCookieValues)] {
		s, err := h.o.Sessions.ByCookies(r.Context(), []string{v}, h.o.Clock())
		switch {
		case errors.Is(err, session.ErrInvalid):
			continue
		case err != nil:
			return err
		case h.besides(s, l):
			err = h.o.Sessions.EndBy(r.Context(), s.Key, h.o.Clock().Add(overlap))
		default:
			err = h.o.Sessions.Revoke(r.Context(), s.Key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// besides reports whether a session began while the login of the same person was
// under way. Sessions begin at whole milliseconds.
func (h *Handler) besides(s *session.Session, l *session.Login) bool {
	now := l.Session.Identity
	return s.Identity.Provider == now.Provider && s.Identity.UserID == now.UserID &&
		!l.Started.IsZero() && !s.CreatedAt.Before(l.Started.Truncate(time.Millisecond))
}

// startAnew sends somebody back to the beginning whose sign-in another tab's has
// overtaken at the provider: by now that one has signed them in, and this tab is
// led to its target, or the next round does. A provider that refuses each code
// would make that a circle, so after maxAnew rounds the error is shown.
func (h *Handler) startAnew(w http.ResponseWriter, r *http.Request, err error) bool {
	e, ok := errors.AsType[*session.LoginError](err)
	if !ok || !e.Anew || e.ReturnTo == "" {
		return false
	}
	all := h.rounds(r)
	round := all[roundOf(e.ReturnTo)] + 1
	if round > maxAnew {
		delete(all, roundOf(e.ReturnTo)) // who asks for it may begin again
		h.setRounds(w, all)
		return false
	}
	h.metrics.count(e.Provider, outcome(e.Reason))
	if e.Reason == session.LoginReply {
		h.auditRefused(r.Context(), session.ActionSSOLogin, e.Provider, string(e.Reason))
	}
	h.o.Logger.Info("sign-in begins anew", "outcome", e.Reason, "provider", e.Provider, "round", round, "error", e.Err, "request_id", requestID(r))
	h.countRound(w, r, e.ReturnTo)
	redirect(w, http.StatusFound, h.o.GateOrigin+"/oauth2/sign_in?rd="+url.QueryEscape(e.ReturnTo)+"&provider="+url.QueryEscape(e.Provider))
	return true
}

// Rounds. A session that vanishes as soon as it is made would send somebody
// from application to provider and back without end, as the provider asks no
// question of whom it knows. So finished sign-ins are counted by target, and so
// are those that begin anew: of five tabs the first may be overtaken by each of
// the others, one after another. Browsers follow 20 redirects.
const (
	maxRounds    = 5
	maxAnew      = 4
	roundSeconds = 60
	maxTargets   = 10 // of 11 bytes each
)

func roundOf(to string) string {
	h := sha256.Sum256([]byte(to))
	return hex.EncodeToString(h[:4])
}

func (h *Handler) roundsCookie() string {
	return strings.TrimSuffix(h.csrf.cookie, "_csrf") + "_rounds"
}

// rounds returns how often each target was come back to lately.
func (h *Handler) rounds(r *http.Request) map[string]int {
	out := map[string]int{}
	c, err := r.Cookie(h.roundsCookie())
	if err != nil || len(c.Value) > 128 {
		return out
	}
	for part := range strings.SplitSeq(c.Value, "-") {
		target, count, _ := strings.Cut(part, ".")
		if n, err := strconv.Atoi(count); err == nil && len(target) == 8 && n > 0 && len(out) < maxTargets {
			out[target] = min(n, maxRounds)
		}
	}
	return out
}

func (h *Handler) countRound(w http.ResponseWriter, r *http.Request, to string) {
	all := h.rounds(r)
	n := all[roundOf(to)] + 1
	if len(all) == maxTargets && n == 1 {
		all = map[string]int{}
	}
	all[roundOf(to)] = n
	h.setRounds(w, all)
}

func (h *Handler) setRounds(w http.ResponseWriter, all map[string]int) {
	parts := make([]string, 0, len(all))
	for target, n := range all {
		parts = append(parts, target+"."+strconv.Itoa(n))
	}
	c := &http.Cookie{Name: h.roundsCookie(), Value: strings.Join(parts, "-"), Path: "/", MaxAge: roundSeconds, HttpOnly: true, Secure: h.o.Cookie.Secure, SameSite: http.SameSiteLaxMode}
	if len(parts) == 0 {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
