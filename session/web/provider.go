package web

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

// anyProvider is the metric label of callbacks for none that exists: a name
// from an address must not make a new series.
const anyProvider = "unknown"

// providers are the configured ones, none if people sign in here alone.
func (h *Handler) providers() []session.ProviderInfo {
	if h.o.Logins == nil {
		return nil
	}
	return h.o.Logins.Providers()
}

// signInAt shows where to sign in, or sends somebody there at once where there
// is no choice.
func (h *Handler) signInAt(w http.ResponseWriter, r *http.Request, query url.Values) {
	to, hasTarget := h.target(query["rd"])
	if !hasTarget {
		to = ""
	}
	all := h.providers()
	chosen := query.Get("provider")
	switch {
	case (chosen == local || len(all) == 0) && !h.o.NoAccounts:
		h.showSignIn(w, r, pages.SignInView{}, query["rd"])
	case chosen != "":
		h.start(w, r, chosen, to)
	case len(all) == 1 && h.o.NoAccounts:
		h.start(w, r, all[0].ID, to)
	default:
		v := pages.ChooserView{ReturnTo: to, Local: !h.o.NoAccounts}
		if u, err := url.Parse(to); err == nil {
			v.Target = u.Host
		}
		for _, p := range all {
			v.Choices = append(v.Choices, pages.Choice{ID: p.ID, Name: p.Name, Note: p.Note})
		}
		h.show(w, h.o.Pages.Chooser(v))
	}
}

// start sends somebody to a provider, unless that has just been done again and
// again for the same target.
func (h *Handler) start(w http.ResponseWriter, r *http.Request, provider, to string) {
	if h.o.Logins == nil {
		h.loginFailed(w, r, &session.LoginError{Reason: session.LoginUnknown, Provider: provider, ReturnTo: to, Err: errors.New("there are no providers")})
		return
	}
	if h.rounds(r)[roundOf(to)] >= maxRounds {
		h.loop(w, r, provider, to)
		return
	}
	next, err := h.o.Logins.Start(r.Context(), session.StartLogin{Provider: provider, ReturnTo: to, Browser: h.bind(w, r)})
	if err != nil {
		h.loginFailed(w, r, err)
		return
	}
	redirect(w, http.StatusFound, next)
}

// loop ends the circle with a page, and clears what may have made it.
func (h *Handler) loop(w http.ResponseWriter, r *http.Request, provider, to string) {
	h.clearCookies(w, r, to)
	h.setRounds(w, nil)
	h.setBounces(w, 0)
	h.o.Logger.Warn("signing in went in circles", "client_ip", ClientAddr(r), "request_id", requestID(r))
	h.show(w, h.o.Pages.Trouble(pages.TroubleView{
		Status: http.StatusConflict, Reason: "sign_in_loop", Provider: h.nameOf(provider), ProviderID: provider, ReturnTo: to, RequestID: requestID(r),
	}))
}

// callback finishes a sign-in at a provider.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request) {
	provider := r.PathValue("id")
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		query = nil // an unreadable query has no state
	}
	if h.o.Logins == nil {
		h.refuse(w, r, http.StatusNotFound, "unknown_route", nil)
		return
	}
	l, err := h.o.Logins.Finish(r.Context(), session.FinishLogin{Provider: provider, Query: query, Browsers: h.browsers(r)})
	if err != nil {
		if !h.startAnew(w, r, err) {
			h.loginFailed(w, r, err)
		}
		return
	}
	if err := h.replace(r, l); err != nil {
		err = errors.Join(err, h.o.Sessions.Revoke(r.Context(), l.Session.Key))
		h.metrics.count(provider, outcomeUnavailable)
		h.trouble(w, r, "ending the session before", err)
		return
	}
	to, _ := h.target([]string{l.ReturnTo})
	h.clearCookies(w, r, to)
	h.countRound(w, r, l.ReturnTo)
	h.welcome(w, r, l.Session, l.Cookie, to)
}

// loginFailed shows why a sign-in at a provider did not come about.
func (h *Handler) loginFailed(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*session.LoginError](err)
	if !ok {
		h.metrics.count(anyProvider, outcomeUnavailable)
		h.trouble(w, r, "signing in at a provider", err)
		return
	}
	name := h.nameOf(e.Provider)
	label := e.Provider
	if name == "" {
		label = anyProvider
	}
	h.metrics.count(label, outcome(e.Reason))
	if e.Reason == session.LoginDenied || e.Reason == session.LoginIdentity || e.Reason == session.LoginReply {
		h.auditRefused(r.Context(), session.ActionSSOLogin, label, string(e.Reason))
	}
	h.o.Logger.Warn("sign-in refused", "outcome", e.Reason, "provider", label, "error", e.Err, "client_ip", ClientAddr(r), "request_id", requestID(r))
	status := loginStatus(e.Reason)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	v := pages.TroubleView{Status: status, Reason: string(e.Reason), Provider: name, ReturnTo: e.ReturnTo, RequestID: requestID(r)}
	if name != "" {
		v.ProviderID = e.Provider
	}
	h.show(w, h.o.Pages.Trouble(v))
}

func loginStatus(r session.LoginReason) int {
	switch r {
	case session.LoginUnknown:
		return http.StatusNotFound
	case session.LoginState, session.LoginEnded, session.LoginRequest:
		return http.StatusBadRequest
	case session.LoginDenied, session.LoginIdentity, session.LoginApp:
		return http.StatusForbidden
	case session.LoginAway, session.LoginClock, session.LoginSuperseded:
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadGateway
	}
}

// nameOf returns a provider's name for people, "" if there is no such one.
func (h *Handler) nameOf(id string) string {
	for _, p := range h.providers() {
		if p.ID == id {
			return p.Name
		}
	}
	return ""
}

// logOut takes a provider's logout token. It says no more than whether to send
// it again: nobody but a provider has business here.
func (h *Handler) logOut(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	form, status, err := readForm(w, r)
	if err == nil && h.o.Logins == nil {
		status, err = http.StatusNotFound, errors.New("there are no providers")
	}
	if err == nil {
		err = h.o.Logins.LogOut(r.Context(), r.PathValue("id"), form.Get("logout_token"))
		status = logOutStatus(err)
	}
	if err != nil {
		h.o.Logger.Warn("logout token refused", "status", status, "error", err, "request_id", requestID(r))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"error":"invalid_request"}` + "\n"))
	}
}

// logOutStatus: 400 is final to providers, 503 has them try again.
func logOutStatus(err error) int {
	e, ok := errors.AsType[*session.LoginError](err)
	switch {
	case !ok, e.Reason == session.LoginAway:
		return http.StatusServiceUnavailable
	case e.Reason == session.LoginUnknown:
		return http.StatusNotFound
	default:
		return http.StatusBadRequest
	}
}

// Binding cookies. A browser gets one and keeps it. Tabs that begin at the
// same moment, before any answer has arrived, get one each, under names of
// their own: under one name the last would overwrite the others, and only its
// tab would arrive.

func (h *Handler) bindingPrefix() string {
	return strings.TrimSuffix(h.csrf.cookie, "_csrf") + "_login-"
}

// browsers returns the secrets of the binding cookies that came, at most as
// many as are looked at.
func (h *Handler) browsers(r *http.Request) []string {
	var out []string
	prefix := h.bindingPrefix()
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, prefix) && validSeed(c.Value) && len(out) < 2*session.MaxCookieValues {
			out = append(out, c.Value)
		}
	}
	return out
}

// bind returns the secret of this browser, and sets it if it has none.
func (h *Handler) bind(w http.ResponseWriter, r *http.Request) string {
	if have := h.browsers(r); len(have) > 0 {
		return have[0]
	}
	var raw [seedBytes + 4]byte
	_, _ = rand.Read(raw[:])
	seed := base64.RawURLEncoding.EncodeToString(raw[:seedBytes])
	// Lax and not Strict: the callback comes from the provider's site.
	http.SetCookie(w, &http.Cookie{
		Name: h.bindingPrefix() + hex.EncodeToString(raw[seedBytes:]), Value: seed, Path: "/",
		HttpOnly: true, Secure: h.o.Cookie.Secure, SameSite: http.SameSiteLaxMode,
	})
	return seed
}
