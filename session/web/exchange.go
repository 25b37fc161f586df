package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

const (
	exchangePath = "/api/auth/token-exchange"
	// maxExchange bounds the request: a code of 4 KiB, escaped, and the rest.
	maxExchange = 16 << 10
	// exchangeTime bounds the whole answer. A provider is asked for its
	// configuration, its keys, tokens and userinfo, each in 5 s at most.
	exchangeTime = 20 * time.Second
)

// Exchange says how single-page apps may have their sign-ins finished.
type Exchange struct {
	Exchanger session.Exchanger
	// Budget is charged once an attempt for the client's address: Burst at
	// once, then one in Every.
	Budget session.GuessBudget
	Burst  int
	Every  time.Duration
	// Tokens returns a session's tokens by its access token; nil: it has that
	// one alone.
	Tokens func(s *session.Session, access string) (session.Tokens, error)
}

func (x *Exchange) validate() error {
	if x != nil && (x.Exchanger == nil || x.Budget == nil || x.Burst < 1 || x.Every <= 0) {
		return errors.New("web: Options.Exchange needs Exchanger, Budget, Burst and Every")
	}
	return nil
}

// exchangeRequest is the body: the first four are what apps know, nonce and iss
// what makes it safe.
type exchangeRequest struct {
	Code        string `json:"code"`
	Verifier    string `json:"code_verifier"`
	RedirectURI string `json:"redirect_uri"`
	Provider    string `json:"provider"`
	Nonce       string `json:"nonce"`
	Issuer      string `json:"iss"`
}

// exchanged is the answer: no token of the provider's is in it.
type exchanged struct {
	AccessToken string        `json:"access_token"`
	TokenType   string        `json:"token_type"`
	ExpiresIn   int64         `json:"expires_in"` // seconds
	Refresh     string        `json:"refresh_token,omitempty"`
	User        exchangedUser `json:"user"`
}

type exchangedUser struct {
	ID            string   `json:"id"`
	Email         string   `json:"email"`
	EmailVerified bool     `json:"email_verified"`
	Name          string   `json:"name"`
	Organization  string   `json:"organization"`
	Role          string   `json:"role"`
	Roles         []string `json:"roles"`
	MFA           bool     `json:"mfa_enabled"`
}

// exchange finishes the sign-in of a single-page app. It reads and sets no
// cookie: what it gives is a bearer token, so that no other site's page has a
// use for it. It is open to anybody who can make a request, hence the budget;
// and as browsers let pages of any origin send one, Origin is looked at first.
func (h *Handler) exchange(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Add("Vary", "Origin")
	if h.o.Exchange == nil {
		h.problem(w, r, problem{Status: http.StatusNotFound, Detail: "No provider has redirect URIs of apps.", Reason: "unknown_route"})
		return
	}
	origin := r.Header.Values("Origin")
	known := len(origin) == 1 && h.o.Exchange.Exchanger.AppOrigin(origin[0])
	if known {
		w.Header().Set("Access-Control-Allow-Origin", origin[0])
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After, X-Request-Id")
	}
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") == http.MethodPost
	switch {
	case preflight && known:
		w.Header().Set("Access-Control-Allow-Methods", "POST")
		w.Header().Set("Access-Control-Allow-Headers", "content-type")
		w.Header().Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
	case r.Method != http.MethodPost && !preflight:
		w.Header().Set("Allow", "POST")
		h.problem(w, r, problem{Status: http.StatusMethodNotAllowed, Detail: "Send a POST.", Reason: "method_not_allowed"})
	case !known:
		h.exchangeFailed(w, r, &session.LoginError{Reason: session.LoginApp, Err: errors.New("the Origin is that of no configured app")})
	default:
		ctx, cancel := context.WithTimeout(r.Context(), exchangeTime)
		defer cancel()
		h.exchangeFor(ctx, w, r, origin[0])
	}
}

func (h *Handler) exchangeFor(ctx context.Context, w http.ResponseWriter, r *http.Request, origin string) {
	if !h.chargeExchange(ctx, w, r) {
		return
	}
	q, p := readExchange(w, r)
	if p != nil {
		h.metrics.count(anyProvider, outcomeForm)
		h.o.Logger.Warn("token exchange refused", "outcome", outcomeForm, "error", p.Detail, "client_ip", ClientAddr(r), "request_id", requestID(r))
		h.problem(w, r, *p)
		return
	}
	l, err := h.o.Exchange.Exchanger.Exchange(ctx, session.ExchangeLogin{
		Provider: q.Provider, Code: q.Code, Verifier: q.Verifier, RedirectURI: q.RedirectURI, Nonce: q.Nonce, Issuer: q.Issuer, Origin: origin,
	})
	if err != nil {
		if e, ok := errors.AsType[*session.LoginError](err); ok && h.nameOf(e.Provider) != "" {
			h.auditRefused(ctx, session.ActionSSOLogin, e.Provider, string(e.Reason))
		}
		h.exchangeFailed(w, r, err)
		return
	}
	t := session.Tokens{Session: l.Session, Access: l.Cookie, AccessUntil: l.Session.ExpiresAt}
	if h.o.Exchange.Tokens != nil {
		if t, err = h.o.Exchange.Tokens(l.Session, l.Cookie); err != nil {
			h.exchangeFailed(w, r, err)
			return
		}
	}
	id := l.Session.Identity
	h.metrics.count(id.Provider, outcomeSuccess)
	h.o.Logger.Info("signed in", "user", id.UserID, "session", l.Session.Key.Short(), "provider", id.Provider, "by", "token_exchange", "client_ip", ClientAddr(r), "request_id", requestID(r))
	h.json(w, http.StatusOK, "application/json", exchanged{
		AccessToken: t.Access, TokenType: "bearer", ExpiresIn: int64(t.AccessUntil.Sub(h.o.Clock()) / time.Second), Refresh: t.Refresh, User: h.exchangedUserOf(r, l.Session),
	})
}

// chargeExchange takes an attempt from the address's budget, or answers.
func (h *Handler) chargeExchange(ctx context.Context, w http.ResponseWriter, r *http.Request) bool {
	x := h.o.Exchange
	ok, wait, err := x.Budget.Take(ctx, h.o.Clock(), "exchange_address", session.AddressKey(ClientAddr(r)), 1/x.Every.Seconds(), x.Burst)
	switch {
	case err != nil:
		h.metrics.count(anyProvider, outcomeUnavailable)
		h.o.Logger.Error("charging a token exchange failed", "error", err, "request_id", requestID(r))
		w.Header().Set("Retry-After", "1")
		h.problem(w, r, problem{Status: http.StatusServiceUnavailable, Detail: "Attempts cannot be counted now. Try again in a moment.", Reason: "internal_error"})
	case !ok:
		h.metrics.count(anyProvider, outcomeGuesses)
		seconds := max(1, int(math.Ceil(wait.Seconds())))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		h.o.Logger.Warn("token exchange refused", "outcome", outcomeGuesses, "client_ip", ClientAddr(r), "request_id", requestID(r))
		h.problem(w, r, problem{
			Type: "https://iana.org/assignments/http-problem-types#quota-exceeded", Status: http.StatusTooManyRequests,
			Detail: fmt.Sprintf("Too many sign-ins came from this address. The next one is looked at in %d s.", seconds), Reason: string(outcomeGuesses),
		})
	}
	return err == nil && ok
}

// readExchange reads the body. Its type is not one that a page may send to a
// foreign origin without asking first.
func readExchange(w http.ResponseWriter, r *http.Request) (*exchangeRequest, *problem) {
	bad := func(status int, format string, args ...any) (*exchangeRequest, *problem) {
		return nil, &problem{Status: status, Detail: fmt.Sprintf(format, args...), Reason: string(session.LoginRequest)}
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return bad(http.StatusUnsupportedMediaType, "Send application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxExchange))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return bad(http.StatusRequestEntityTooLarge, "The body is larger than %d bytes.", maxExchange)
	} else if err != nil {
		return bad(http.StatusBadRequest, "The body did not arrive whole.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	q := new(exchangeRequest)
	err = d.Decode(q)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = errors.New("something follows it")
		}
	}
	if err != nil {
		return bad(http.StatusBadRequest, "The body must be one JSON object of texts: code, code_verifier, redirect_uri, provider, nonce, and iss if the provider sent one.")
	}
	return q, nil
}

// exchangeFailed says why no token was given. What the provider said is for the
// log; the app gets the reason's own words, and for what it has to mend itself
// the error's, which repeats no value of the request.
func (h *Handler) exchangeFailed(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*session.LoginError](err)
	if !ok {
		h.metrics.count(anyProvider, outcomeUnavailable)
		h.o.Logger.Error("a token exchange failed", "error", err, "request_id", requestID(r))
		w.Header().Set("Retry-After", "1")
		reason := "internal_error"
		if errors.Is(err, session.ErrUnavailable) {
			reason = "session_store_unavailable"
		}
		h.problem(w, r, problem{Status: http.StatusServiceUnavailable, Detail: "Nothing was done. Sign in again in a moment.", Reason: reason})
		return
	}
	label := e.Provider
	if h.nameOf(label) == "" {
		label = anyProvider
	}
	h.metrics.count(label, outcome(e.Reason))
	h.o.Logger.Warn("token exchange refused", "outcome", e.Reason, "provider", label, "error", e.Err, "client_ip", ClientAddr(r), "request_id", requestID(r))
	p := problem{Status: loginStatus(e.Reason), Detail: exchangeDetail[e.Reason], Reason: string(e.Reason)}
	switch e.Reason {
	case session.LoginApp, session.LoginRequest:
		p.Detail = sentence(e.Err.Error())
	case session.LoginReply:
		// A code that was used, or was for another verifier, nonce or redirect
		// URI: the app's affair as often as the provider's.
		p.Status = http.StatusBadRequest
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	h.problem(w, r, p)
}

var exchangeDetail = map[session.LoginReason]string{
	session.LoginUnknown:    "There is no such provider.",
	session.LoginAway:       "The provider does not answer now. Sign in again in a moment.",
	session.LoginSuperseded: "The provider took back what it had given, since another sign-in came after. Sign in again.",
	session.LoginState:      "iss is not that of the provider, or is missing though the provider sends it.",
	session.LoginDenied:     "The provider said no.",
	session.LoginReply:      "The provider did not take the code, or its ID token does not hold. A code works once, with the code_verifier, redirect_uri and nonce of its own request. Sign in again.",
	session.LoginClock:      "The provider's token is not valid at this time. Its clock or the gate's is off.",
	session.LoginIdentity:   "This account cannot be let in.",
	session.LoginEnded:      "The provider ended its session meanwhile. Sign in again.",
}

// sentence makes one of an error's text.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

func (h *Handler) exchangedUserOf(r *http.Request, s *session.Session) exchangedUser {
	id := &s.Identity
	u := exchangedUser{
		ID: id.UserID, Email: id.Email, EmailVerified: id.EmailVerified, Name: id.Name, Organization: id.Organization, Roles: id.Roles,
		MFA: slices.ContainsFunc(id.AMR, func(m string) bool { return m == "mfa" || m == "otp" || m == "hwk" }),
	}
	if u.Roles == nil {
		u.Roles = []string{}
	}
	// The one that says most, for apps that know of one alone.
	for _, role := range append([]string{adminRole, "neosc", "user"}, id.Roles...) {
		if slices.Contains(id.Roles, role) {
			u.Role = role
			break
		}
	}
	if h.o.IsAdministrator(r.Context(), s) {
		u.Role = adminRole
	}
	return u
}
