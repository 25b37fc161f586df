package web

import (
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

// maxForm bounds a form: an email, a password, a return target, a token.
const maxForm = 8 << 10

// maxBounces is how often within bounceSeconds somebody who is signed in is
// sent back to an application that sends them here again. A cookie that a
// sibling host tossed for one path can make such a loop, in which browsers
// give up after 20 redirects, ten rounds; the form ends it before.
const (
	maxBounces    = 8
	bounceSeconds = 15
)

func cleaned(p string) string {
	c := path.Clean(p)
	if len(c) > 1 && strings.HasSuffix(p, "/") {
		c += "/"
	}
	return c
}

// target is where the value of rd leads; ok is false for the default, the
// landing page.
func (h *Handler) target(rd []string) (to string, ok bool) {
	if len(rd) == 1 {
		if to, ok := ReturnTarget(rd[0], h.o.GateOrigin, h.o.IsOrigin); ok {
			return to, true
		}
	}
	return h.o.GateOrigin + "/", false
}

// signInForm shows the form, or sends on who is signed in already.
func (h *Handler) signInForm(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		query = nil // an unreadable query names no target
	}
	s, err := h.who(r)
	if err != nil {
		h.trouble(w, r, "looking up a session", err)
		return
	}
	if s == nil {
		h.signInAt(w, r, query)
		return
	}
	to, _ := h.target(query["rd"])
	bounces := h.bounces(r) + 1
	switch {
	case bounces <= maxBounces:
		h.setBounces(w, bounces)
		redirect(w, http.StatusFound, to)
	case len(h.providers()) > 0:
		h.loop(w, r, s.Identity.Provider, to)
	default:
		h.showSignIn(w, r, pages.SignInView{Notice: &pages.Notice{
			Tone: "warn", Text: "You are signed in, and yet were sent here again and again. Signing in anew gives you a fresh session.",
		}}, query["rd"])
	}
}

// showSignIn fills in the token and the target, and shows the form.
func (h *Handler) showSignIn(w http.ResponseWriter, r *http.Request, v pages.SignInView, rd []string) {
	if to, ok := h.target(rd); ok {
		v.ReturnTo = to
		if u, err := url.Parse(to); err == nil {
			v.Target = u.Host
		}
	}
	v.Passkeys, v.Register, v.Forgot = h.o.Factors != nil, h.o.Register, h.o.Forgot
	v.CSRF = h.csrf.issue(w, r, "sign in", "")
	h.show(w, h.o.Pages.SignIn(v))
}

// signIn takes the form.
func (h *Handler) signIn(w http.ResponseWriter, r *http.Request) {
	if h.o.NoAccounts {
		h.refuseForm(w, r, http.StatusNotFound, errors.New("there are no accounts of the gate's own"))
		return
	}
	if !h.ownOrigin(r) {
		h.refuseForm(w, r, http.StatusForbidden, errors.New("the origin is not the gate's own"))
		return
	}
	form, status, err := readForm(w, r)
	if err != nil {
		h.refuseForm(w, r, status, err)
		return
	}
	// A foreign site could otherwise sign somebody in as itself and watch what
	// they then type into applications.
	if !h.csrf.valid(r, form.Get("csrf"), "sign in", "") {
		h.metrics.count(local, outcomeForm)
		h.o.Logger.Warn("sign-in refused", "outcome", outcomeForm, "client_ip", ClientAddr(r), "request_id", requestID(r))
		h.showSignIn(w, r, pages.SignInView{Status: http.StatusForbidden, Notice: &pages.Notice{
			Tone: "warn", Text: "This form was too old to be used, or cookies are switched off. Nothing was sent on. This is a new one.",
		}}, form["rd"])
		return
	}
	id, err := h.o.Accounts.SignIn(r.Context(), form.Get("email"), form.Get("password"), ClientAddr(r))
	if needed, ok := errors.AsType[*session.FactorNeededError](err); ok {
		h.pend(w, r, form, needed.User)
		return
	}
	if err != nil {
		h.signInFailed(w, r, form, err)
		return
	}
	to, _ := h.target(form["rd"])
	h.beginAt(w, r, id, to)
}

// beginAt gives the person a new session and sends them on. The one that came with the request
// ends first: a session id that somebody else knows or planted must not
// outlive the sign-in.
func (h *Handler) beginAt(w http.ResponseWriter, r *http.Request, id session.Identity, to string) {
	if _, err := h.end(r); err != nil {
		h.metrics.count(local, outcomeUnavailable)
		h.trouble(w, r, "ending the session before", err)
		return
	}
	s, value, err := h.o.Sessions.Create(r.Context(), id, session.Browser, 0)
	if err != nil {
		h.metrics.count(local, outcomeUnavailable)
		h.trouble(w, r, "creating a session", err)
		return
	}
	if err := h.auditSignIn(r.Context(), s); err != nil {
		h.metrics.count(local, outcomeUnavailable)
		h.trouble(w, r, "keeping a sign-in in the audit trail", err)
		return
	}
	h.clearCookies(w, r, to)
	h.welcome(w, r, s, value, to)
}

// welcome hands out the cookie of a new session and sends its owner on.
func (h *Handler) welcome(w http.ResponseWriter, r *http.Request, s *session.Session, cookie, to string) {
	w.Header().Add("Set-Cookie", h.o.Cookie.Set(cookie, s.ExpiresAt.Sub(h.o.Clock())))
	id := s.Identity
	h.metrics.count(id.Provider, outcomeSuccess)
	h.o.Logger.Info("signed in", "user", id.UserID, "session", s.Key.Short(), "provider", id.Provider, "client_ip", ClientAddr(r), "request_id", requestID(r))
	redirect(w, http.StatusSeeOther, to)
}

// signInFailed says why not. What was typed as an email is never logged: it
// may be a password in the wrong field.
func (h *Handler) signInFailed(w http.ResponseWriter, r *http.Request, form url.Values, err error) {
	v := pages.SignInView{Email: form.Get("email")}
	var o outcome
	guesses, tooMany := errors.AsType[*session.TooManyGuessesError](err)
	switch {
	case errors.Is(err, session.ErrCredentials):
		// 422 and not 401, which would need a WWW-Authenticate challenge.
		o, v.Status, v.Wrong = outcomeCredentials, http.StatusUnprocessableEntity, true
		v.Notice = &pages.Notice{Tone: "bad", Text: "Email or password is wrong."}
	case tooMany:
		o, v.Status = outcomeGuesses, http.StatusTooManyRequests
		seconds := max(1, int(math.Ceil(guesses.RetryAfter.Seconds())))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		v.Notice = &pages.Notice{Tone: "warn", Text: "Too many guesses came for this account or from this address. The next one is looked at in " + pages.InWords(seconds) + "."}
	case errors.Is(err, session.ErrBusy):
		o, v.Status = outcomeBusy, http.StatusTooManyRequests
		w.Header().Set("Retry-After", "1")
		v.Notice = &pages.Notice{Tone: "warn", Text: "Too many people sign in at this moment. Nothing is wrong with what you typed; try again in a second."}
	default:
		h.metrics.count(local, outcomeUnavailable)
		h.trouble(w, r, "checking a password", err)
		return
	}
	h.metrics.count(local, o)
	h.auditRefused(r.Context(), session.ActionLogin, local, string(o))
	h.o.Logger.Warn("sign-in refused", "outcome", o, "client_ip", ClientAddr(r), "request_id", requestID(r))
	h.showSignIn(w, r, v, form["rd"])
}

// refuseForm answers what no page of the gate sends.
func (h *Handler) refuseForm(w http.ResponseWriter, r *http.Request, status int, why error) {
	h.metrics.count(local, outcomeForm)
	h.o.Logger.Warn("form refused", "error", why, "path", r.URL.Path, "client_ip", ClientAddr(r), "request_id", requestID(r))
	h.refuse(w, r, status, "form_refused", nil)
}

// ownOrigin reports whether a form came from a page of the gate. Every browser
// sends Origin with a POST (Fetch standard, "append a request Origin header").
func (h *Handler) ownOrigin(r *http.Request) bool {
	v := r.Header.Values("Origin")
	return len(v) == 1 && v[0] == h.o.GateOrigin
}

// readForm reads a form that a browser sent. JSON in a text/plain body, which
// needs no CORS preflight, is refused by its type.
func readForm(w http.ResponseWriter, r *http.Request) (form url.Values, status int, err error) {
	if r.ContentLength == 0 {
		return url.Values{}, 0, nil
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return nil, http.StatusUnsupportedMediaType, errors.New("the content type is not application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the form is larger than %d bytes", maxForm)
		}
		return nil, http.StatusBadRequest, errors.New("the form did not arrive whole")
	}
	form, err = url.ParseQuery(string(body))
	if err != nil {
		return nil, http.StatusBadRequest, errors.New("the form is not well-formed")
	}
	for name, values := range form {
		if len(values) != 1 || !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return nil, http.StatusBadRequest, errors.New("the form has a field twice, or bytes that are not UTF-8")
		}
	}
	return form, 0, nil
}

// clearCookies expires every variant of the session cookie that could hide
// ours. Where several came, or somebody was sent here again and again, also
// those for the path of the target: a sibling host may have tossed one there.
func (h *Handler) clearCookies(w http.ResponseWriter, r *http.Request, to string) {
	lines := h.o.Cookie.Expire(h.host, r.URL.Path+"/")
	if u, err := url.Parse(to); err == nil && (len(h.cookies(r)) > 1 || h.bounces(r) > 1) {
		lines = append(lines, h.o.Cookie.Expire(h.host, u.EscapedPath()+"/")...)
	}
	sent := make(map[string]bool, len(lines))
	for _, line := range lines {
		if !sent[line] {
			sent[line] = true
			w.Header().Add("Set-Cookie", line)
		}
	}
	if h.bounces(r) > 0 {
		h.setBounces(w, 0)
	}
}

func (h *Handler) bounceCookie() string {
	return strings.TrimSuffix(h.csrf.cookie, "_csrf") + "_bounces"
}

// bounces returns how often somebody was sent back lately.
func (h *Handler) bounces(r *http.Request) int {
	c, err := r.Cookie(h.bounceCookie())
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(c.Value)
	if err != nil || n < 0 || n > maxBounces {
		return maxBounces
	}
	return n
}

func (h *Handler) setBounces(w http.ResponseWriter, n int) {
	c := &http.Cookie{Name: h.bounceCookie(), Value: strconv.Itoa(n), Path: "/", MaxAge: bounceSeconds, HttpOnly: true, Secure: h.o.Cookie.Secure, SameSite: http.SameSiteLaxMode}
	if n == 0 {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
