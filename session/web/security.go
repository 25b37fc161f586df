package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

// freshFor is how long after somebody last proved who they are they may change
// how they do so.
const freshFor = 10 * time.Minute

// securityForm is the purpose of the forms of these pages.
const securityForm = "security"

// securityAt is the path of the page, with a checked target to go on to.
func securityAt(rd string) string {
	if rd == "" {
		return securityPath
	}
	return securityPath + "?rd=" + url.QueryEscape(rd)
}

// insider is a local account's session, nil if it was answered already.
func (h *Handler) insider(w http.ResponseWriter, r *http.Request) *session.Session {
	s, err := h.who(r)
	switch {
	case err != nil:
		h.trouble(w, r, "looking up a session", err)
		return nil
	case s == nil:
		redirect(w, http.StatusSeeOther, h.o.GateOrigin+"/oauth2/sign_in")
		return nil
	case s.Identity.Provider != local:
		h.refuse(w, r, http.StatusForbidden, "mfa_required", s)
		return nil
	}
	return s
}

// fresh is insider for what changes factors: it wants the second factor, or the
// password where there is none, to have been shown a moment ago, and sends
// there who has not.
func (h *Handler) fresh(w http.ResponseWriter, r *http.Request) (*session.Session, session.Factors, bool) {
	s := h.insider(w, r)
	if s == nil {
		return nil, session.Factors{}, false
	}
	f, err := h.o.Factors.Factors(r.Context(), s.Identity.UserID)
	if err != nil {
		h.trouble(w, r, "looking up second factors", err)
		return nil, f, false
	}
	if h.o.Clock().Sub(s.Identity.AuthenticatedAt) > freshFor || f.Enrolled() && !slices.Contains(s.Identity.AMR, session.AMRMFA) {
		redirect(w, http.StatusSeeOther, h.o.GateOrigin+pages.SecondFactorAt("", h.o.GateOrigin+securityPath))
		return nil, f, false
	}
	return s, f, true
}

// freshForm is fresh for a form.
func (h *Handler) freshForm(w http.ResponseWriter, r *http.Request) (*session.Session, session.Factors, url.Values, bool) {
	form, ok := h.ownForm(w, r)
	if !ok {
		return nil, session.Factors{}, nil, false
	}
	s, f, ok := h.fresh(w, r)
	if !ok {
		return nil, f, nil, false
	}
	if !h.csrf.valid(r, form.Get("csrf"), securityForm, s.Key.String()) {
		h.showSecurity(w, r, s, http.StatusForbidden, tooOld())
		return nil, f, nil, false
	}
	return s, f, form, true
}

func factorUser(s *session.Session) session.FactorUser {
	return session.FactorUser{ID: s.Identity.UserID, Email: s.Identity.Email}
}

// keep has the trail tell of something before it is answered.
func (h *Handler) keep(r *http.Request, e session.Event) error {
	if h.o.Audit == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), auditTime)
	defer cancel()
	return h.o.Audit.Append(ctx, e)
}

// changed keeps a change of somebody's factors, or takes it back.
func (h *Handler) changed(w http.ResponseWriter, r *http.Request, s *session.Session, action session.Action, details map[string]string, undo func(context.Context) error) bool {
	e := session.NewEvent(r.Context(), action, s)
	e.Details = details
	err := h.keep(r, e)
	if err == nil {
		h.o.Logger.Info("second factors changed", "action", action, "user", s.Identity.UserID, "session", s.Key.Short(), "client_ip", ClientAddr(r), "request_id", requestID(r))
		return true
	}
	if undo != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), auditTime)
		defer cancel()
		err = errors.Join(err, undo(ctx))
	}
	h.trouble(w, r, "keeping a change of second factors in the audit trail", err)
	return false
}

// security lists what somebody has.
func (h *Handler) security(w http.ResponseWriter, r *http.Request) {
	if s := h.insider(w, r); s != nil {
		h.showSecurity(w, r, s, 0, nil)
	}
}

func (h *Handler) showSecurity(w http.ResponseWriter, r *http.Request, s *session.Session, status int, notice *pages.Notice) {
	f, err := h.o.Factors.Factors(r.Context(), s.Identity.UserID)
	if err != nil {
		h.trouble(w, r, "looking up second factors", err)
		return
	}
	v := pages.SecurityView{
		Status: status, Email: s.Identity.Email, CodesLeft: f.Recovery, CodesMade: f.RecoveryMade, Notice: notice,
		CSRF: h.csrf.issue(w, r, securityForm, s.Key.String()),
	}
	v.ReturnTo = h.onward(r)
	if v.Notice == nil && slices.Contains(s.Identity.AMR, session.AMRRecovery) {
		v.Notice = &pages.Notice{Tone: "warn", Text: "You signed in with a recovery code. Take away what you have lost, and add what you have now."}
	}
	if f.App != nil {
		v.App = &pages.FactorView{Name: f.App.Name, AddedAt: f.App.AddedAt, UsedAt: f.App.UsedAt}
	}
	for _, k := range f.Passkeys {
		v.Passkeys = append(v.Passkeys, pages.FactorView{ID: k.ID, Name: k.Name, AddedAt: k.AddedAt, UsedAt: k.UsedAt})
	}
	h.show(w, h.o.Pages.Security(v))
}

// appForm shows the key of an app that is being set up.
func (h *Handler) appForm(w http.ResponseWriter, r *http.Request) {
	if s, _, ok := h.fresh(w, r); ok {
		h.showApp(w, r, s, pages.AppSetupView{ReturnTo: h.onward(r)})
	}
}

// onward is the checked target of a page's query, "" for none.
func (h *Handler) onward(r *http.Request) string {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return ""
	}
	return h.onwardOf(query)
}

func (h *Handler) onwardOf(values url.Values) string {
	if to, ok := h.target(values["rd"]); ok {
		return to
	}
	return ""
}

func (h *Handler) showApp(w http.ResponseWriter, r *http.Request, s *session.Session, v pages.AppSetupView) {
	secret, err := h.o.Factors.NewApp(r.Context(), s.Key, factorUser(s))
	if err != nil {
		h.trouble(w, r, "setting up an app", err)
		return
	}
	v.Email, v.Key, v.URI, v.CSRF = s.Identity.Email, secret.Key, secret.URI, h.csrf.issue(w, r, securityForm, s.Key.String())
	p, err := h.o.Pages.AppSetup(v)
	if err != nil {
		h.trouble(w, r, "drawing a QR code", err)
		return
	}
	h.show(w, p)
}

// app takes the first code of an app, which proves that it has the key.
func (h *Handler) app(w http.ResponseWriter, r *http.Request) {
	s, f, form, ok := h.freshForm(w, r)
	if !ok {
		return
	}
	err := h.o.Factors.ConfirmApp(r.Context(), s.Key, factorUser(s), form.Get("code"), ClientAddr(r))
	guesses, tooMany := errors.AsType[*session.TooManyGuessesError](err)
	rd := h.onwardOf(form)
	switch {
	case errors.Is(err, session.ErrFactor):
		h.showApp(w, r, s, pages.AppSetupView{ReturnTo: rd, Status: http.StatusUnprocessableEntity, Wrong: true, Notice: &pages.Notice{Tone: "bad", Text: "That is not the code that the app should show now. See that its clock is right."}})
		return
	case errors.Is(err, session.ErrNotFound):
		h.showApp(w, r, s, pages.AppSetupView{ReturnTo: rd, Status: http.StatusForbidden, Notice: &pages.Notice{Tone: "warn", Text: "That took too long. This is a new key; the one before is void."}})
		return
	case tooMany:
		h.showApp(w, r, s, pages.AppSetupView{ReturnTo: rd, Status: http.StatusTooManyRequests, Notice: tooManyNotice(w, guesses)})
		return
	case err != nil:
		h.trouble(w, r, "setting up an app", err)
		return
	}
	undo := func(ctx context.Context) error { return h.o.Factors.RemoveApp(ctx, s.Identity.UserID) }
	if h.changed(w, r, s, session.ActionFactorAdded, map[string]string{"method": "totp"}, undo) {
		h.enrolled(w, r, s, f, session.AMROTP, rd)
	}
}

// enrolled goes on after something was added: the session now has that factor
// behind it, and who has no recovery codes yet is given some.
func (h *Handler) enrolled(w http.ResponseWriter, r *http.Request, s *session.Session, before session.Factors, method, rd string) {
	if !slices.Contains(s.Identity.AMR, session.AMRMFA) && !h.stepUp(w, r, s, []string{method, session.AMRMFA}) {
		return
	}
	if before.Recovery > 0 {
		redirect(w, http.StatusSeeOther, h.o.GateOrigin+securityAt(rd))
		return
	}
	h.newCodes(w, r, s, rd)
}

// codes makes new recovery codes.
func (h *Handler) codes(w http.ResponseWriter, r *http.Request) {
	s, f, _, ok := h.freshForm(w, r)
	switch {
	case !ok:
	case !f.Enrolled():
		h.showSecurity(w, r, s, http.StatusUnprocessableEntity, &pages.Notice{Tone: "warn", Text: "Recovery codes stand in for a second factor. Set one up first."})
	default:
		h.newCodes(w, r, s, "")
	}
}

func (h *Handler) newCodes(w http.ResponseWriter, r *http.Request, s *session.Session, rd string) {
	codes, err := h.o.Factors.NewRecoveryCodes(r.Context(), s.Identity.UserID)
	if err != nil {
		h.trouble(w, r, "making recovery codes", err)
		return
	}
	next := rd
	if next == "" {
		next = securityPath
	}
	if h.changed(w, r, s, session.ActionRecoveryCodes, nil, nil) {
		h.show(w, h.o.Pages.Codes(pages.CodesView{Email: s.Identity.Email, Codes: codes, Next: next, Now: h.o.Clock()}))
	}
}

// removeApp takes the app away.
func (h *Handler) removeApp(w http.ResponseWriter, r *http.Request) {
	s, _, _, ok := h.freshForm(w, r)
	if !ok {
		return
	}
	err := h.o.Factors.RemoveApp(r.Context(), s.Identity.UserID)
	h.removed(w, r, s, err, map[string]string{"method": "totp"}, "The authenticator app is removed.")
}

// removed answers a removal. Where nothing is left, recovery codes go as well.
func (h *Handler) removed(w http.ResponseWriter, r *http.Request, s *session.Session, err error, details map[string]string, said string) {
	if err != nil && !errors.Is(err, session.ErrNoFactor) {
		h.trouble(w, r, "removing a second factor", err)
		return
	}
	if err == nil && !h.changed(w, r, s, session.ActionFactorRemoved, details, nil) {
		return
	}
	f, err := h.o.Factors.Factors(r.Context(), s.Identity.UserID)
	if err == nil && !f.Enrolled() && f.RecoveryMade > 0 {
		err = h.o.Factors.RemoveFactors(r.Context(), s.Identity.UserID)
	}
	if err != nil {
		h.trouble(w, r, "removing recovery codes", err)
		return
	}
	h.showSecurity(w, r, s, 0, &pages.Notice{Tone: "good", Text: said})
}
