package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web"
)

// Sessions is what the API does with sessions; *session.Manager does it. Safe
// for concurrent use.
type Sessions interface {
	session.TokenIssuer
	session.TokenVerifier
	ByCookies(ctx context.Context, values []string, now time.Time) (*session.Session, error)
	Find(ctx context.Context, k session.Key) (*session.Session, error)
	List(ctx context.Context, q session.Query) ([]*session.Session, error)
	Revoke(ctx context.Context, k session.Key) error
	RevokeToken(ctx context.Context, k session.Key) error
	RevokeUser(ctx context.Context, userID string) (int, error)
}

// Options set up the API. Accounts, Sessions, IsOrigin, Cookie, Logger and Clock
// are needed.
type Options struct {
	// Accounts check passwords, Registrar makes accounts, Members and
	// Organizations administer them. Without one of these three its addresses are
	// not there.
	Accounts      session.Authenticator
	Registrar     session.Registrar
	Members       session.Members
	Organizations session.Organizations
	Sessions      Sessions
	// Factors check second factors and Identifier says whose they are; without
	// both, accounts that have one cannot sign in here.
	Factors    session.SecondFactors
	Identifier session.Identifier
	// Mark adds to the identity of a registration what a sign-in would have added,
	// such as whether a second factor is asked of it; nil adds nothing.
	Mark func(*session.Identity)
	// Switches are the policy's; nil: their addresses are not there.
	Switches session.Switches
	// Demos are just-in-time access; nil: its addresses are not there.
	Demos session.Demos
	// NoAccounts says that nobody signs in with a password here.
	NoAccounts bool
	// Audit keeps sign-outs; nil keeps nothing. All else keeps its own events.
	Audit session.Auditor
	// SignIn is told how each sign-in by password ended: s is nil or err is.
	SignIn func(r *http.Request, s *session.Session, err error)
	// IsOrigin reports whether an origin is one of the routes file. The edge has
	// compared it with the one host by then.
	IsOrigin func(origin string) bool
	// IsAdministrator says who may do what concerns others; nil: who has the role
	// "admin".
	IsAdministrator func(ctx context.Context, s *session.Session) bool
	// Cookie is how the session cookie is set.
	Cookie session.CookieSpec
	Logger *slog.Logger
	Clock  func() time.Time
}

// API answers programs. Safe for concurrent use.
type API struct {
	o      Options
	mux    *http.ServeMux
	routes []Route
}

// Route is an address of the API, with whom it is for.
type Route struct {
	Method, Path string
	Access       Access
}

// Access is whom an address is for.
type Access string

// Whom addresses are for: nobody need be signed in, anybody who is, administrators.
const (
	Public  Access = "public"
	Session Access = "session"
	Admin   Access = "admin"
)

// adminRole may do what concerns others.
const adminRole = "admin"

// call is a request with who asks; s is nil where nobody need be signed in.
type call struct {
	*http.Request
	w     http.ResponseWriter
	s     *session.Session
	admin func(ctx context.Context, s *session.Session) bool
}

// reply is a 200 with a body, unless it says otherwise.
type reply struct {
	status int
	body   any
	next   string // path and query of the next page
	file   string // the media type of a body of bytes
}

type handler func(c *call) (reply, error)

// New returns the handler, or says which option is wrong.
func New(o Options) (*API, error) {
	for name, missing := range map[string]bool{
		"Accounts": o.Accounts == nil, "Sessions": o.Sessions == nil, "IsOrigin": o.IsOrigin == nil, "Logger": o.Logger == nil, "Clock": o.Clock == nil,
	} {
		if missing {
			return nil, errors.New("api: Options." + name + " is missing")
		}
	}
	if err := o.Cookie.Validate(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if o.Mark == nil {
		o.Mark = func(*session.Identity) {}
	}
	if o.IsAdministrator == nil {
		o.IsAdministrator = func(_ context.Context, s *session.Session) bool { return slices.Contains(s.Identity.Roles, adminRole) }
	}
	if o.SignIn == nil {
		o.SignIn = func(*http.Request, *session.Session, error) {}
	}
	a := &API{o: o, mux: http.NewServeMux()}
	described, err := description()
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	byPath := map[string]map[string]http.HandlerFunc{}
	for _, x := range append(a.table(), described...) {
		if byPath[x.Path] == nil {
			byPath[x.Path] = map[string]http.HandlerFunc{}
		}
		byPath[x.Path][x.Method] = a.serve(x.Access, x.handler)
		a.routes = append(a.routes, x.Route)
	}
	for path, methods := range byPath {
		a.mux.Handle(path, a.methods(methods))
	}
	a.mux.Handle("/", a.methods(nil))
	return a, nil
}

// Routes lists the addresses.
func (a *API) Routes() []Route { return slices.Clone(a.routes) }

// Before returns a handler that gives the API what is below /api/, but for
// paths that next serves itself, and next all else.
func (a *API) Before(next http.Handler, others ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") && !slices.Contains(others, r.URL.Path) {
			a.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP implements http.Handler. A panic is a 503 for that request and a
// log line.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			a.o.Logger.Error("panic while serving the API", "panic", p, "path", r.URL.Path, "request_id", requestID(r))
			a.refuse(w, r, problem(http.StatusServiceUnavailable, "internal_error", "Something went wrong here."))
		}
	}()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// ServeMux would redirect "//x" and "/a/../b" to a cleaned path: a redirect
	// that a client words. Envoy normalises paths, so such a one is nothing here.
	if !web.PlainPath(r.URL.Path) {
		a.refuse(w, r, noSuchAddress())
		return
	}
	a.mux.ServeHTTP(w, r.WithContext(session.WithOrigin(r.Context(), web.OriginOf(r))))
}

func noSuchAddress() *Problem {
	return problem(http.StatusNotFound, "unknown_route", "There is nothing here. /api/openapi.json describes what there is.")
}

// methods answers by method: HEAD as GET, 404 without any, 405 for others.
func (a *API) methods(by map[string]http.HandlerFunc) http.Handler {
	var allow []string
	for m := range by {
		allow = append(allow, m)
	}
	if by["GET"] != nil {
		allow = append(allow, "HEAD")
	}
	slices.Sort(allow)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		switch f := by[method]; {
		case f != nil:
			f(w, r)
		case by == nil:
			a.refuse(w, r, noSuchAddress())
		default:
			w.Header().Set("Allow", strings.Join(allow, ", "))
			a.refuse(w, r, problem(http.StatusMethodNotAllowed, "method_not_allowed", "This address takes %s.", strings.Join(allow, ", ")))
		}
	})
}

// serve finds out who asks and whether they may, and writes the reply.
func (a *API) serve(access Access, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{Request: r, w: w, admin: a.o.IsAdministrator}
		err := a.admit(c, access)
		var out reply
		if err == nil {
			out, err = h(c)
		}
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		if out.next != "" {
			w.Header().Set("Link", "<"+out.next+`>; rel="next"`)
		}
		a.answer(c, out)
	}
}

func (a *API) answer(c *call, out reply) {
	if out.status == 0 {
		out.status = http.StatusOK
	}
	b, isFile := out.body.([]byte)
	switch {
	case isFile:
		c.w.Header().Set("Content-Type", out.file)
		c.w.WriteHeader(out.status)
		_, _ = c.w.Write(b) // the client may be gone: nobody to tell
	case out.body == nil:
		c.w.WriteHeader(out.status)
	default:
		a.send(c.w, c.Request, out.status, "application/json", out.body)
	}
}
