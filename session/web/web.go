package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

// App is one application on the landing page.
type App = pages.App

// Options set up the handler. All but Logins, Exchange, NoAccounts,
// Registerer and MetricPrefix are needed.
type Options struct {
	Pages *pages.Renderer
	// Accounts check passwords, Sessions begin and end sessions.
	Accounts session.Authenticator
	Sessions session.Issuer
	// Factors keep and check second factors, for accounts that Identities knows;
	// without them there are none. Accounts then answers a right password with
	// *session.FactorNeededError where one has to follow.
	Factors    session.SecondFactors
	Identities session.Identifier
	// Logins sign people in at identity providers; nil if there are none.
	Logins session.Logins
	// Exchange finishes sign-ins of single-page apps; nil if there are none.
	Exchange *Exchange
	// Audit keeps sign-ins and sign-outs; nil keeps nothing. A sign-in that it
	// cannot keep does not come about.
	Audit session.Auditor
	// AuditLog is what GET /api/audit-logs shows, and Tokens the access tokens
	// by which programs ask for it; without AuditLog there is no such address.
	AuditLog session.AuditReader
	Tokens   session.TokenVerifier
	// Switches are the policy's, for the page of administrators; nil: there is none.
	Switches session.Switches
	// NoAccounts says that nobody signs in with a password here.
	NoAccounts bool
	// Register and Forgot say that the sign-in page leads to pages on which
	// anybody makes an account, and asks for a new password by mail.
	Register, Forgot bool
	// IsAdministrator says who may do what concerns others; nil: who has the role
	// "admin".
	IsAdministrator func(ctx context.Context, s *session.Session) bool
	// GateOrigin is the gate's own origin as browsers see it.
	GateOrigin string
	// IsOrigin reports whether an origin (scheme://host[:port], lower case) is
	// one of the routes file. Return targets must be there.
	IsOrigin func(origin string) bool
	// Apps lists the applications and asks policy which are open to s now.
	Apps func(ctx context.Context, s *session.Session) []App
	// JWKS returns the keys that check the signed identity header, as a JWK set.
	JWKS func() []byte
	// Cookie is how the session cookie is set.
	Cookie session.CookieSpec
	// FormKeys returns the secrets of form tokens, each at least 32 bytes, the
	// same on all replicas: a form may be fetched from one and sent to another.
	// The first makes tokens, all check them, so that a rotation refuses no form.
	FormKeys   func() ([][]byte, error)
	Logger     *slog.Logger
	Clock      func() time.Time
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
}

// Handler serves the gate's own host. Safe for concurrent use.
type Handler struct {
	o       Options
	host    string
	csrf    csrf
	assets  map[string]pages.Asset
	metrics metrics
	refused refusals
	exports chan struct{}
	mux     *http.ServeMux
}

// New returns the handler, or says which option is wrong.
func New(o Options) (*Handler, error) {
	for name, missing := range map[string]bool{
		"Pages": o.Pages == nil, "Accounts": o.Accounts == nil, "Sessions": o.Sessions == nil, "IsOrigin": o.IsOrigin == nil,
		"Apps": o.Apps == nil, "JWKS": o.JWKS == nil, "Logger": o.Logger == nil, "Clock": o.Clock == nil,
	} {
		if missing {
			return nil, errors.New("web: Options." + name + " is missing")
		}
	}
	if o.FormKeys == nil {
		return nil, errors.New("web: Options.FormKeys is missing")
	}
	if (o.Factors == nil) != (o.Identities == nil) {
		return nil, errors.New("web: Options.Factors and Identities need each other")
	}
	if err := o.Cookie.Validate(); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	if err := o.Exchange.validate(); err != nil {
		return nil, err
	}
	u, err := url.Parse(o.GateOrigin)
	if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != o.GateOrigin {
		return nil, fmt.Errorf("web: Options.GateOrigin %q is not an origin such as https://gate.example.com", o.GateOrigin)
	}
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	if o.IsAdministrator == nil {
		o.IsAdministrator = func(_ context.Context, s *session.Session) bool { return slices.Contains(s.Identity.Roles, adminRole) }
	}
	h := &Handler{o: o, host: u.Hostname(), csrf: newCSRF(o.FormKeys, o.Cookie), assets: map[string]pages.Asset{}, exports: make(chan struct{}, exportsAtOnce)}
	assets, err := pages.Assets()
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	for _, a := range assets {
		h.assets[a.Name] = a
	}
	if h.metrics, err = newMetrics(o.Registerer, o.MetricPrefix); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	h.mux = http.NewServeMux()
	for path, methods := range map[string]map[string]http.HandlerFunc{
		"/{$}":                     {"GET": h.landing},
		"/oauth2/sign_in":          {"GET": h.signInForm, "POST": h.signIn},
		"/oauth2/sign_out":         {"GET": h.signOutForm, "POST": h.signOut},
		"/oauth2/signed_out":       {"GET": h.signedOut},
		"/callback/{id}":           {"GET": h.callback},
		"/backchannel-logout/{id}": {"POST": h.logOut},
		"/assets/{name}":           {"GET": h.asset},
		"/favicon.ico":             {"GET": h.favicon},
		"/api/audit-logs":          h.auditLogs(),
		switchesPath:               h.switchPage(),
		themePath:                  {"POST": h.chooseTheme},
		"/":                        nil,
		// Upstreams fetch it; the name is the one that their libraries know.
		"/.well-known/pomerium/jwks.json": {"GET": h.jwks},
	} {
		h.mux.Handle(path, h.methods(methods))
	}
	for path, methods := range h.factorRoutes() {
		h.mux.Handle(path, h.methods(methods))
	}
	h.mux.HandleFunc(exchangePath, h.exchange)
	return h, nil
}

// ServeHTTP implements http.Handler. A panic is a 503 page for that request
// and a log line.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if theme := h.theme(r); theme != "" {
		w = &themed{w, theme}
	}
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p) // a reply is torn off
			}
			h.o.Logger.Error("panic while serving a page", "panic", p, "path", r.URL.Path, "request_id", requestID(r))
			h.refuse(w, r, http.StatusServiceUnavailable, "internal_error", nil)
		}
	}()
	// ServeMux would redirect "//x" and "/a/../b" to a cleaned path: a redirect
	// that a client words. Envoy normalises paths, so such a one is nothing here.
	if r.URL.Path == "" || r.URL.Path[0] != '/' || cleaned(r.URL.Path) != r.URL.Path {
		h.refuse(w, r, http.StatusNotFound, "unknown_route", nil)
		return
	}
	h.mux.ServeHTTP(w, r.WithContext(session.WithOrigin(r.Context(), origin(r))))
}

// methods answers by method: HEAD as GET, 404 without any, 405 for others.
func (h *Handler) methods(by map[string]http.HandlerFunc) http.Handler {
	allow := ""
	for _, m := range []string{"GET", "POST"} {
		if by[m] != nil {
			allow += ", " + m
			if m == "GET" {
				allow += ", HEAD"
			}
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		switch f := by[method]; {
		case f != nil:
			f(w, r)
		case by == nil:
			h.refuse(w, r, http.StatusNotFound, "unknown_route", nil)
		default:
			w.Header().Set("Allow", allow[2:])
			h.refuse(w, r, http.StatusMethodNotAllowed, "method_not_allowed", nil)
		}
	})
}

// jwks serves the public keys. Five minutes is for how long a new key is
// published, at the least, before it signs.
func (h *Handler) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(h.o.JWKS()) // the client may be gone: nobody to tell
}

// show sends a page.
func (h *Handler) show(w http.ResponseWriter, p pages.Page) {
	if t, ok := w.(*themed); ok {
		p = p.Themed(t.theme)
	}
	for _, f := range p.Headers() {
		w.Header().Set(f.Name, f.Value)
	}
	w.Header().Set("Content-Type", p.ContentType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.Body) // the client may be gone: nobody to tell
}

// refuse sends the page of a refusal.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, status int, reason string, s *session.Session) {
	v := pages.RefusalView{
		Status: status, Reasons: []string{reason}, Host: h.host, Path: r.URL.Path, Method: r.Method,
		RequestID: requestID(r), Now: h.o.Clock(),
	}
	if s != nil {
		v.UserEmail, v.Roles = s.Identity.Email, s.Identity.Roles
	}
	h.show(w, h.o.Pages.Refusal(v))
}

// redirect sends somebody on. The target was checked or is the gate's own.
func redirect(w http.ResponseWriter, status int, target string) {
	w.Header().Set("Location", target)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
}

func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	return id[:min(len(id), 128)]
}

// cookies returns the values of the session cookie, at most one more than are
// looked at.
func (h *Handler) cookies(r *http.Request) []string {
	var values []string
	for _, line := range r.Header.Values("Cookie") {
		values = session.AppendCookieValues(values, line, h.o.Cookie.Name)
	}
	return values
}

// who returns the session of a request, nil for none. An error means that it
// cannot be told now.
func (h *Handler) who(r *http.Request) (*session.Session, error) {
	values := h.cookies(r)
	if len(values) == 0 {
		return nil, nil
	}
	s, err := h.o.Sessions.ByCookies(r.Context(), values, h.o.Clock())
	switch {
	case err == nil:
		return s, nil
	case errors.Is(err, session.ErrInvalid), errors.Is(err, session.ErrAmbiguous):
		return nil, nil
	default:
		return nil, err
	}
}

// endedSession is one that was ended, with the cookie value that opened it.
type endedSession struct {
	*session.Session
	cookie string
}

// end revokes every session that the request's cookies open, also when they
// are several and so nobody's.
func (h *Handler) end(r *http.Request) (ended []endedSession, err error) {
	values := h.cookies(r)
	for _, v := range values[:min(len(values), session.MaxCookieValues)] {
		s, err := h.o.Sessions.ByCookies(r.Context(), []string{v}, h.o.Clock())
		if errors.Is(err, session.ErrInvalid) {
			continue
		}
		if err != nil {
			return ended, err
		}
		if err := h.o.Sessions.Revoke(r.Context(), s.Key); err != nil {
			return ended, err
		}
		ended = append(ended, endedSession{s, v})
	}
	return ended, nil
}

// trouble answers when something that the gate needs did not.
func (h *Handler) trouble(w http.ResponseWriter, r *http.Request, doing string, err error) {
	h.o.Logger.Error(doing+" failed", "error", err, "request_id", requestID(r))
	w.Header().Set("Retry-After", "1")
	reason := "internal_error"
	if errors.Is(err, session.ErrUnavailable) {
		reason = "session_store_unavailable"
	}
	h.refuse(w, r, http.StatusServiceUnavailable, reason, nil)
}
