package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

// passkeyPath is where a passkey alone signs somebody in.
const passkeyPath = "/oauth2/passkey"

// browserKey names a browser that nobody is signed in with, by the seed of its
// form tokens; ok is false if it has none.
func (h *Handler) browserKey(r *http.Request) (k session.Key, ok bool) {
	for _, c := range r.CookiesNamed(h.csrf.cookie) {
		if validSeed(c.Value) {
			return session.Key(sha256.Sum256([]byte("neosc passkey sign-in\x00" + c.Value))), true
		}
	}
	return session.Key{}, false
}

// passkeyForm asks for a passkey. A browser without a seed is given one first:
// the challenge belongs to it.
func (h *Handler) passkeyForm(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		query = nil // an unreadable query names no target
	}
	if h.o.NoAccounts {
		h.refuse(w, r, http.StatusNotFound, "unknown_route", nil)
		return
	}
	if _, ok := h.browserKey(r); !ok {
		h.showSignIn(w, r, pages.SignInView{Notice: &pages.Notice{Tone: "info", Text: "Choose the passkey once more: this browser had no cookie of the gate's yet."}}, query["rd"])
		return
	}
	h.askPasskey(w, r, query["rd"], pages.PasskeySignInView{})
}

func (h *Handler) askPasskey(w http.ResponseWriter, r *http.Request, rd []string, v pages.PasskeySignInView) {
	owner, _ := h.browserKey(r)
	options, err := h.o.Factors.BeginPasskeyCheck(r.Context(), owner, session.FactorUser{})
	if err != nil {
		h.trouble(w, r, "asking for a passkey", err)
		return
	}
	if to, ok := h.target(rd); ok {
		v.ReturnTo = to
	}
	v.Options, v.CSRF = string(options), h.csrf.issue(w, r, "sign in", "")
	h.show(w, h.o.Pages.PasskeySignIn(v))
}

// passkey takes the reply. It names nobody before it is checked, so guesses are
// charged to the address alone.
func (h *Handler) passkey(w http.ResponseWriter, r *http.Request) {
	form, ok := h.ownForm(w, r)
	if !ok {
		return
	}
	owner, known := h.browserKey(r)
	if h.o.NoAccounts || !known || !h.csrf.valid(r, form.Get("csrf"), "sign in", "") {
		h.refuseForm(w, r, http.StatusForbidden, errors.New("no passkey was asked for"))
		return
	}
	userID, err := h.o.Factors.FinishPasskeyCheck(r.Context(), owner, session.FactorUser{}, []byte(form.Get("credential")), ClientAddr(r))
	var id session.Identity
	if err == nil {
		if id, _, err = h.o.Identities.Identify(r.Context(), userID); errors.Is(err, session.ErrCredentials) {
			err = session.ErrFactor
		}
	}
	if err != nil {
		h.passkeyFailed(w, r, form, err)
		return
	}
	// The key, and the person's unlocking it: two factors in one.
	id.AMR, id.AuthenticatedAt = []string{session.AMRKey, session.AMRMFA}, time.Time{}
	if err := h.keep(r, h.factorEvent(r, session.ActionFactorUsed, &asked{user: session.FactorUser{ID: id.UserID, Email: id.Email}}, "passkey")); err != nil {
		h.trouble(w, r, "keeping a passkey in the audit trail", err)
		return
	}
	to, _ := h.target(form["rd"])
	h.beginAt(w, r, id, to)
}

func (h *Handler) passkeyFailed(w http.ResponseWriter, r *http.Request, form url.Values, err error) {
	v := pages.PasskeySignInView{}
	guesses, tooMany := errors.AsType[*session.TooManyGuessesError](err)
	switch {
	case errors.Is(err, session.ErrFactor):
		v.Status, v.Notice = http.StatusUnprocessableEntity, &pages.Notice{Tone: "bad", Text: "That passkey opens no account here."}
		h.metrics.count(local, outcomeFactor)
		h.auditRefused(r.Context(), session.ActionLogin, local, string(outcomeFactor))
	case tooMany:
		v.Status, v.Notice = http.StatusTooManyRequests, tooManyNotice(w, guesses)
		h.metrics.count(local, outcomeGuesses)
	default:
		h.metrics.count(local, outcomeUnavailable)
		h.trouble(w, r, "checking a passkey", err)
		return
	}
	h.o.Logger.Warn("sign-in refused", "outcome", outcomeFactor, "status", v.Status, "client_ip", ClientAddr(r), "request_id", requestID(r))
	h.askPasskey(w, r, form["rd"], v)
}

// keyForm asks the browser for a new passkey.
func (h *Handler) keyForm(w http.ResponseWriter, r *http.Request) {
	if s, _, ok := h.fresh(w, r); ok {
		h.showKey(w, r, s, pages.KeySetupView{ReturnTo: h.onward(r), Name: "Passkey of " + h.o.Clock().Format("2 January 2006")})
	}
}

func (h *Handler) showKey(w http.ResponseWriter, r *http.Request, s *session.Session, v pages.KeySetupView) {
	options, err := h.o.Factors.BeginPasskey(r.Context(), s.Key, factorUser(s))
	if err != nil {
		h.trouble(w, r, "setting up a passkey", err)
		return
	}
	v.Email, v.Options, v.CSRF = s.Identity.Email, string(options), h.csrf.issue(w, r, securityForm, s.Key.String())
	h.show(w, h.o.Pages.KeySetup(v))
}

// key takes a new passkey.
func (h *Handler) key(w http.ResponseWriter, r *http.Request) {
	s, f, form, ok := h.freshForm(w, r)
	if !ok {
		return
	}
	added, err := h.o.Factors.FinishPasskey(r.Context(), s.Key, factorUser(s), form.Get("name"), []byte(form.Get("credential")))
	said := map[error]string{
		session.ErrFactor:         "That passkey could not be taken. Try again, or use another device.",
		session.ErrFactorName:     "Give the passkey a name of 1 to 60 characters.",
		session.ErrTooManyFactors: "There are as many passkeys as an account may have. Remove one first.",
	}
	for reason, text := range said {
		if errors.Is(err, reason) {
			h.showKey(w, r, s, pages.KeySetupView{ReturnTo: h.onwardOf(form), Status: http.StatusUnprocessableEntity, Name: form.Get("name"), Notice: &pages.Notice{Tone: "bad", Text: text}})
			return
		}
	}
	if err != nil {
		h.trouble(w, r, "setting up a passkey", err)
		return
	}
	undo := func(ctx context.Context) error { return h.o.Factors.RemovePasskey(ctx, s.Identity.UserID, added.ID) }
	if h.changed(w, r, s, session.ActionFactorAdded, map[string]string{"method": "passkey", "name": added.Name}, undo) {
		h.enrolled(w, r, s, f, session.AMRKey, h.onwardOf(form))
	}
}

// renameKey calls a passkey something else.
func (h *Handler) renameKey(w http.ResponseWriter, r *http.Request) {
	s, _, form, ok := h.freshForm(w, r)
	if !ok {
		return
	}
	err := h.o.Factors.RenamePasskey(r.Context(), s.Identity.UserID, form.Get("id"), form.Get("name"))
	switch {
	case errors.Is(err, session.ErrFactorName):
		h.showSecurity(w, r, s, http.StatusUnprocessableEntity, &pages.Notice{Tone: "bad", Text: "Give the passkey a name of 1 to 60 characters."})
	case errors.Is(err, session.ErrNoFactor):
		h.showSecurity(w, r, s, http.StatusUnprocessableEntity, &pages.Notice{Tone: "warn", Text: "There is no such passkey any more."})
	case err != nil:
		h.trouble(w, r, "renaming a passkey", err)
	case h.changed(w, r, s, session.ActionFactorRenamed, map[string]string{"method": "passkey", "name": form.Get("name")}, nil):
		h.showSecurity(w, r, s, 0, &pages.Notice{Tone: "good", Text: "The passkey has its new name."})
	}
}

// removeKey takes a passkey away.
func (h *Handler) removeKey(w http.ResponseWriter, r *http.Request) {
	s, f, form, ok := h.freshForm(w, r)
	if !ok {
		return
	}
	details := map[string]string{"method": "passkey"}
	for _, k := range f.Passkeys {
		if k.ID == form.Get("id") {
			details["name"] = k.Name
		}
	}
	err := h.o.Factors.RemovePasskey(r.Context(), s.Identity.UserID, form.Get("id"))
	h.removed(w, r, s, err, details, "The passkey is removed. It opens nothing any more.")
}
