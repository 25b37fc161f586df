package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/neosc/gate/session"
)

// maxBody bounds a request; claims are its largest part.
const maxBody = 64 << 10

// Sessions is what operators do with sessions; *session.Manager does it.
type Sessions interface {
	Create(ctx context.Context, id session.Identity, kind session.Kind, lifetime time.Duration) (*session.Session, string, error)
	Revoke(ctx context.Context, k session.Key) error
	RevokeUser(ctx context.Context, userID string) (int, error)
	RevokeToken(ctx context.Context, k session.Key) error
	RevokeAll(ctx context.Context) (int, error)
	UpdateUser(ctx context.Context, userID string, change func(*session.Identity) error) (int, error)
	List(ctx context.Context, q session.Query) ([]*session.Session, error)
}

// Options set up the handler; all but Decision, Audit, AuditLog and Mask are needed.
type Options struct {
	// Users and Members are the local accounts.
	Users    session.Users
	Members  session.Members
	Sessions Sessions
	// Organizations are those of accounts; nil: they are not to be had here.
	Organizations session.Organizations
	// Factors are the second factors of accounts; nil: they have none.
	Factors Factors
	// People are whom providers have signed in; nil: nobody is kept.
	People session.Directory
	// Reload loads and activates the policy anew. On an error, whose text is
	// shown, the old one goes on.
	Reload func(ctx context.Context) (Policy, error)
	Status func(ctx context.Context) Status
	// Decision explains a recent decision by its request id, as a JSON value; an
	// id that is not known is a NotFound. Nil: decisions are not remembered.
	Decision func(ctx context.Context, requestID string) (any, error)
	// Audit keeps what operators do with accounts, and AuditLog shows what was
	// kept; nil: nothing is.
	Audit    session.Auditor
	AuditLog session.AuditReader
	// Switches are the policy's; nil: there is no changing them here.
	Switches session.Switches
	// Demos are just-in-time access; nil: there is none.
	Demos session.Demos
	// Mask returns a copy of a session that may be shown. Nil: claims are left out.
	Mask func(*session.Session) *session.Session
	// CookieName is that of the session cookie.
	CookieName string
	Logger     *slog.Logger
	Clock      func() time.Time
}

// API answers operators. Safe for concurrent use.
type API struct {
	o   Options
	mux *http.ServeMux
}

// New returns the handler, or says which option is missing.
func New(o Options) (*API, error) {
	for name, missing := range map[string]bool{
		"Users": o.Users == nil, "Members": o.Members == nil, "Sessions": o.Sessions == nil, "Reload": o.Reload == nil, "Status": o.Status == nil,
		"CookieName": o.CookieName == "", "Logger": o.Logger == nil, "Clock": o.Clock == nil,
	} {
		if missing {
			return nil, errors.New("admin: Options." + name + " is missing")
		}
	}
	a := &API{o: o, mux: http.NewServeMux()}
	a.handle("GET /v1/sessions", a.listSessions)
	a.handle("POST /v1/sessions", a.createSession)
	a.handle("DELETE /v1/sessions/{key}", a.revokeSession)
	a.handle("DELETE /v1/sessions", a.revokeSessions)
	a.handle("GET /v1/users", a.listUsers)
	a.handle("POST /v1/users", a.addUser)
	a.handle("PUT /v1/users/{email}/password", a.setPassword)
	a.handle("PUT /v1/users/{email}/roles", a.setRoles)
	a.handle("DELETE /v1/users/{email}", a.removeUser)
	a.handle("GET /v1/people/{email}", a.person)
	a.handle("POST /v1/policy/reload", a.reload)
	a.handleAccounts()
	a.handleFactors()
	a.handleDemos()
	if o.AuditLog != nil {
		a.handle("GET /v1/audit", a.audit)
	}
	if o.Switches != nil {
		a.handle("GET /v1/policy/switches", a.listSwitches)
		a.handle("PUT /v1/policy/switches/{name}", a.setSwitch)
	}
	if o.Decision != nil {
		a.handle("GET /v1/decisions/{id}", a.decision)
	}
	a.handle("GET /v1/status", func(r *http.Request) (any, error) { return o.Status(r.Context()), nil })
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.reply(w, r, nil, problem(http.StatusNotFound, "the admin API has no %s %s", r.Method, r.URL.Path))
	})
	return a, nil
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	a.mux.ServeHTTP(w, r.WithContext(session.WithOrigin(r.Context(), session.Origin{Actor: session.Operator()})))
}

func (a *API) handle(pattern string, f func(*http.Request) (any, error)) {
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		out, err := f(r)
		a.reply(w, r, out, err)
	})
}

// reply answers, and turns errors into problems here alone.
func (a *API) reply(w http.ResponseWriter, r *http.Request, out any, err error) {
	status, contentType := http.StatusOK, "application/json"
	if err != nil {
		p := a.problemOf(r, err)
		status, contentType, out = p.Status, "application/problem+json", p
	}
	body, err := json.Marshal(out)
	if err != nil {
		a.o.Logger.Error("admin answer cannot be written as JSON", "path", r.URL.Path, "error", err)
		http.Error(w, "the answer cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store") // passwords and cookies are shown once
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone: nobody to tell
}

func (a *API) problemOf(r *http.Request, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	switch {
	case errors.Is(err, session.ErrNoUser):
		return problem(http.StatusNotFound, "there is no such user")
	case errors.Is(err, session.ErrUserExists):
		return problem(http.StatusConflict, "there is a user with this email already; change its password or roles instead")
	case errors.Is(err, session.ErrNoOrganization):
		return problem(http.StatusNotFound, "there is no such organization")
	case errors.Is(err, session.ErrOrganizationExists):
		return problem(http.StatusConflict, "%v", err)
	case errors.Is(err, session.ErrBadUser):
		return problem(http.StatusUnprocessableEntity, "%v", err)
	case errors.Is(err, session.ErrBusy):
		return problem(http.StatusServiceUnavailable, "the gate hashes as many passwords as it may at this moment; try again")
	case errors.Is(err, session.ErrNoSwitch):
		return problem(http.StatusNotFound, "%v", err)
	case errors.Is(err, session.ErrBadSwitch):
		return problem(http.StatusUnprocessableEntity, "%v", err)
	case errors.Is(err, session.ErrSwitchChanged):
		return problem(http.StatusConflict, "%v; look again and decide anew", err)
	case errors.Is(err, session.ErrUnavailable):
		a.o.Logger.Error("admin request failed", "path", r.URL.Path, "error", err)
		return problem(http.StatusServiceUnavailable, "the store does not answer: %v", err)
	default:
		a.o.Logger.Error("admin request failed", "path", r.URL.Path, "error", err)
		return problem(http.StatusInternalServerError, "%v", err)
	}
}

func problem(status int, format string, args ...any) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// decode reads one JSON value with known fields only.
func decode(r *http.Request, into any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return problem(http.StatusUnsupportedMediaType, "the content type is %q; send application/json", r.Header.Get("Content-Type"))
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = errors.New("something follows the JSON value")
		}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
	}
	if err != nil {
		return problem(http.StatusBadRequest, "the body: %v", err)
	}
	return nil
}

// parameters returns the query if it has only known names, each once.
func parameters(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problem(http.StatusBadRequest, "the query: %v", err)
	}
next:
	for name, values := range q {
		for _, k := range known {
			if name == k && len(values) == 1 {
				continue next
			}
		}
		return nil, problem(http.StatusBadRequest, "the parameter %q: there are %q, each once", name, known)
	}
	return q, nil
}

func (a *API) reload(r *http.Request) (any, error) {
	p, err := a.o.Reload(r.Context())
	if err != nil {
		return nil, problem(http.StatusUnprocessableEntity, "the old policy goes on: %v", err)
	}
	a.o.Logger.Info("policy_activated", "revision", p.Revision, "generation", p.Generation, "by", "operator")
	return p, nil
}
