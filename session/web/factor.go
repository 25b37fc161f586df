package web

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

const (
	factorPath   = "/oauth2/second_factor"
	securityPath = "/account/security"
	factorForm   = "second factor"
	// pendingSeconds is how long the browser keeps the token of a sign-in that
	// waits for its second factor; the gate keeps it no longer.
	pendingSeconds = 300
)

// asked is who is asked for a second factor: somebody whose password was right
// (pending), or somebody who is signed in and has to show it again (s).
type asked struct {
	user    session.FactorUser
	owner   session.Key
	token   string
	pending *session.PendingLogin
	s       *session.Session
	// to is where it leads, checked; rd is what forms carry of that.
	to, rd string
}

// factorRoutes are the addresses of second factors.
func (h *Handler) factorRoutes() map[string]map[string]http.HandlerFunc {
	if h.o.Factors == nil {
		return nil
	}
	return map[string]map[string]http.HandlerFunc{
		factorPath:                       {"GET": h.factorForm, "POST": h.factor},
		passkeyPath:                      {"GET": h.passkeyForm, "POST": h.passkey},
		securityPath:                     {"GET": h.security},
		securityPath + "/app":            {"GET": h.appForm, "POST": h.app},
		securityPath + "/app/remove":     {"POST": h.removeApp},
		securityPath + "/passkey":        {"GET": h.keyForm, "POST": h.key},
		securityPath + "/passkey/rename": {"POST": h.renameKey},
		securityPath + "/passkey/remove": {"POST": h.removeKey},
		securityPath + "/codes":          {"POST": h.codes},
	}
}

// pendingCookie names the cookie of a pending sign-in.
func (h *Handler) pendingCookie() string {
	return strings.TrimSuffix(h.csrf.cookie, "_csrf") + "_pending"
}

func (h *Handler) setPending(w http.ResponseWriter, token string) {
	c := &http.Cookie{Name: h.pendingCookie(), Value: token, Path: "/", MaxAge: pendingSeconds, HttpOnly: true, Secure: h.o.Cookie.Secure, SameSite: http.SameSiteLaxMode}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// pend keeps a sign-in whose password was right, and asks for the rest. There is
// no session yet.
func (h *Handler) pend(w http.ResponseWriter, r *http.Request, form url.Values, u session.FactorUser) {
	rd := ""
	if to, ok := h.target(form["rd"]); ok {
		rd = to
	}
	if h.o.Factors == nil {
		h.trouble(w, r, "asking for a second factor", errors.New("web: Options.Factors is missing"))
		return
	}
	token, err := h.o.Factors.Begin(r.Context(), session.PendingLogin{User: u, ReturnTo: rd, Started: h.o.Clock().UTC()})
	if err != nil {
		h.metrics.count(local, outcomeUnavailable)
		h.trouble(w, r, "keeping a sign-in that waits for a second factor", err)
		return
	}
	h.setPending(w, token)
	redirect(w, http.StatusSeeOther, h.o.GateOrigin+factorPath)
}

// whoIsAsked finds out whom the page is about; nil if nobody.
func (h *Handler) whoIsAsked(r *http.Request, rd []string) (*asked, error) {
	a := &asked{}
	a.to, a.rd = h.factorTarget(rd)
	if c, err := r.Cookie(h.pendingCookie()); err == nil && len(c.Value) <= 64 {
		p, owner, err := h.o.Factors.Pending(r.Context(), c.Value)
		switch {
		case err == nil:
			a.user, a.owner, a.token, a.pending = p.User, owner, c.Value, p
			if a.to, a.rd = h.factorTarget([]string{p.ReturnTo}); a.rd == "" {
				a.to = h.o.GateOrigin + "/"
			}
			return a, nil
		case !errors.Is(err, session.ErrNotFound):
			return nil, err
		}
	}
	s, err := h.who(r)
	if err != nil || s == nil {
		return nil, err
	}
	a.s, a.owner = s, s.Key
	a.user = session.FactorUser{ID: s.Identity.UserID, Email: s.Identity.Email}
	return a, nil
}

// factorTarget is target that knows one page of the gate more: the one from
// which people who want to change their factors are sent here.
func (h *Handler) factorTarget(rd []string) (to, kept string) {
	if len(rd) == 1 && rd[0] == h.o.GateOrigin+securityPath {
		return rd[0], rd[0]
	}
	to, ok := h.target(rd)
	if !ok {
		return to, ""
	}
	return to, to
}

// ways are those by which somebody can answer.
func ways(f session.Factors) []string {
	var out []string
	if len(f.Passkeys) > 0 {
		out = append(out, "passkey")
	}
	if f.App != nil {
		out = append(out, "app")
	}
	if len(out) > 0 && f.Recovery > 0 {
		out = append(out, "recovery")
	}
	return out
}

// factorForm shows the page.
func (h *Handler) factorForm(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		query = nil // an unreadable query names no target
	}
	a, err := h.whoIsAsked(r, query["rd"])
	switch {
	case err != nil:
		h.trouble(w, r, "looking up a sign-in", err)
	case a == nil:
		_, rd := h.factorTarget(query["rd"])
		redirect(w, http.StatusFound, h.o.GateOrigin+pages.SignInAt("", rd))
	default:
		h.askFactor(w, r, a, query.Get("with"), pages.SecondFactorView{})
	}
}

// askFactor shows the form for one way, the first there is if with is none.
func (h *Handler) askFactor(w http.ResponseWriter, r *http.Request, a *asked, with string, v pages.SecondFactorView) {
	if a.s != nil && a.s.Identity.Provider != local {
		// Its second factor is its provider's to ask for.
		h.refuse(w, r, http.StatusForbidden, "mfa_required", a.s)
		return
	}
	f, err := h.o.Factors.Factors(r.Context(), a.user.ID)
	if err != nil {
		h.trouble(w, r, "looking up second factors", err)
		return
	}
	v.Ways = ways(f)
	switch {
	case len(v.Ways) > 0 && slices.Contains(v.Ways, with):
		v.With = with
	case len(v.Ways) > 0:
		v.With = v.Ways[0]
	case a.pending != nil: // removed meanwhile
		h.setPending(w, "")
		redirect(w, http.StatusSeeOther, h.o.GateOrigin+"/oauth2/sign_in")
		return
	case a.to != h.o.GateOrigin+securityPath: // there is none to show: it has to be set up
		redirect(w, http.StatusSeeOther, h.o.GateOrigin+securityAt(a.rd))
		return
	default:
		v.With = "password"
	}
	if v.With == "passkey" {
		options, err := h.o.Factors.BeginPasskeyCheck(r.Context(), a.owner, a.user)
		if err != nil {
			h.trouble(w, r, "asking for a passkey", err)
			return
		}
		v.Options = string(options)
	}
	v.Email, v.ReturnTo, v.StepUp = a.user.Email, a.rd, a.s != nil
	v.CSRF = h.csrf.issue(w, r, factorForm, a.owner.String())
	h.show(w, h.o.Pages.SecondFactor(v))
}

// factor takes the form.
func (h *Handler) factor(w http.ResponseWriter, r *http.Request) {
	form, ok := h.ownForm(w, r)
	if !ok {
		return
	}
	a, err := h.whoIsAsked(r, form["rd"])
	if err != nil {
		h.trouble(w, r, "looking up a sign-in", err)
		return
	}
	if a == nil {
		h.metrics.count(local, outcomeForm)
		h.showSignIn(w, r, pages.SignInView{Status: http.StatusForbidden, Notice: &pages.Notice{
			Tone: "warn", Text: "That took too long, or there were too many attempts. Sign in again.",
		}}, form["rd"])
		return
	}
	if !h.csrf.valid(r, form.Get("csrf"), factorForm, a.owner.String()) {
		h.askFactor(w, r, a, form.Get("with"), pages.SecondFactorView{Status: http.StatusForbidden, Notice: tooOld()})
		return
	}
	if a.pending != nil {
		if err := h.o.Factors.Try(r.Context(), a.token); err != nil {
			h.factorFailed(w, r, a, form.Get("with"), err)
			return
		}
	}
	amr, err := h.checkFactor(r, a, form)
	if err != nil {
		h.factorFailed(w, r, a, form.Get("with"), err)
		return
	}
	h.factorPassed(w, r, a, amr)
}

func tooOld() *pages.Notice {
	return &pages.Notice{Tone: "warn", Text: "This form was too old to be used, or cookies are switched off. Nothing was sent on. This is a new one."}
}

// ownForm reads a form that a page of the gate sent; ok is false if it was
// answered already.
func (h *Handler) ownForm(w http.ResponseWriter, r *http.Request) (form url.Values, ok bool) {
	if !h.ownOrigin(r) {
		h.refuseForm(w, r, http.StatusForbidden, errors.New("the origin is not the gate's own"))
		return nil, false
	}
	form, status, err := readForm(w, r)
	if err != nil {
		h.refuseForm(w, r, status, err)
		return nil, false
	}
	return form, true
}

// checkFactor returns the methods that the answer proves.
func (h *Handler) checkFactor(r *http.Request, a *asked, form url.Values) ([]string, error) {
	ctx, f, addr := r.Context(), h.o.Factors, ClientAddr(r)
	switch form.Get("with") {
	case "app":
		return []string{session.AMROTP, session.AMRMFA}, f.CheckApp(ctx, a.user, form.Get("code"), addr)
	case "recovery":
		return []string{session.AMRRecovery, session.AMRMFA}, f.CheckRecovery(ctx, a.user, form.Get("code"), addr)
	case "passkey":
		_, err := f.FinishPasskeyCheck(ctx, a.owner, a.user, []byte(form.Get("credential")), addr)
		return []string{session.AMRKey, session.AMRMFA}, err
	case "password":
		if a.s == nil {
			return nil, session.ErrFactor
		}
		// An account that has a second factor is not satisfied by its password:
		// then this is FactorNeededError.
		_, err := h.o.Accounts.SignIn(ctx, a.user.Email, form.Get("password"), addr)
		if errors.Is(err, session.ErrCredentials) {
			err = session.ErrFactor
		}
		return []string{session.AMRPassword}, err
	}
	return nil, session.ErrFactor
}

// factorFailed says why not.
func (h *Handler) factorFailed(w http.ResponseWriter, r *http.Request, a *asked, with string, err error) {
	v := pages.SecondFactorView{}
	guesses, tooMany := errors.AsType[*session.TooManyGuessesError](err)
	_, needed := errors.AsType[*session.FactorNeededError](err)
	switch {
	case errors.Is(err, session.ErrFactor), needed:
		v.Status, v.Wrong = http.StatusUnprocessableEntity, true
		v.Notice = &pages.Notice{Tone: "bad", Text: map[string]string{
			"app":      "That code is not right, or was used before. Wait for the next one.",
			"recovery": "That is none of your recovery codes, or it was used before.",
			"passkey":  "That passkey does not open this account.",
		}[with]}
		if v.Notice.Text == "" {
			v.Notice.Text = "That is not right."
		}
	case tooMany:
		v.Status, v.Notice = http.StatusTooManyRequests, tooManyNotice(w, guesses)
	case errors.Is(err, session.ErrBusy):
		v.Status, v.Notice = http.StatusTooManyRequests, &pages.Notice{Tone: "warn", Text: "Too many people sign in at this moment. Try again in a second."}
		w.Header().Set("Retry-After", "1")
	case errors.Is(err, session.ErrNotFound):
		h.setPending(w, "")
		h.metrics.count(local, outcomeGuesses)
		h.showSignIn(w, r, pages.SignInView{Status: http.StatusForbidden, Notice: &pages.Notice{
			Tone: "warn", Text: "That took too long, or there were too many attempts. Sign in again.",
		}}, []string{a.rd})
		return
	default:
		h.metrics.count(local, outcomeUnavailable)
		h.trouble(w, r, "checking a second factor", err)
		return
	}
	h.o.Logger.Warn("second factor refused", "user", a.user.ID, "with", with, "status", v.Status, "client_ip", ClientAddr(r), "request_id", requestID(r))
	if v.Wrong {
		e := h.factorEvent(r, session.ActionFactorFailed, a, with)
		e.Outcome = session.OutcomeDenied
		h.auditEnd(r.Context(), e)
		h.metrics.count(local, outcomeFactor)
	}
	h.askFactor(w, r, a, with, v)
}

func tooManyNotice(w http.ResponseWriter, e *session.TooManyGuessesError) *pages.Notice {
	seconds := max(1, int(math.Ceil(e.RetryAfter.Seconds())))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return &pages.Notice{Tone: "warn", Text: "Too many guesses came for this account or from this address. The next one is looked at in " + pages.InWords(seconds) + "."}
}
