package console

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web"
	"github.com/neosc/gate/session/web/pages"
)

// Sessions are the live ones; *session.Manager implements it.
type Sessions interface {
	List(ctx context.Context, q session.Query) ([]*session.Session, error)
	Find(ctx context.Context, k session.Key) (*session.Session, error)
	Revoke(ctx context.Context, k session.Key) error
	RevokeUser(ctx context.Context, userID string) (int, error)
	RevokeAll(ctx context.Context) (int, error)
}

// Options set up a Console. All but Passwords, Security, Demos,
// Workspace and Idle are needed.
type Options struct {
	// Frame serves the pages and knows who asks.
	Frame         *web.Handler
	Pages         *pages.Renderer
	Sessions      Sessions
	Members       session.Members
	Organizations session.Organizations
	Registrar     session.Registrar
	AuditLog      session.AuditReader
	// Policy is that of this gate.
	Policy session.PolicyKeeper
	// CountLive says how many sessions are live at an instant.
	CountLive func(ctx context.Context, now time.Time) (int, error)
	// Passwords says that accounts of the gate's own sign in, Security that they
	// have second factors, with a page for them.
	Passwords, Security bool
	// Demos are demo grants, and Workspace returns where their workspaces are, ""
	// if that is not known; nil without them.
	Demos     session.Demos
	Workspace func() string
	// MinPassword is the least characters of a password.
	MinPassword int
	// Lifetime and Idle are the bounds of sessions; Idle 0 means none.
	Lifetime, Idle time.Duration
	Logger         *slog.Logger
	Clock          func() time.Time
}

// Console is the pages. Safe for concurrent use.
type Console struct {
	o          Options
	counts     counts
	demoCounts demoCounts
}

// New returns a Console, or says which option is missing.
func New(o Options) (*Console, error) {
	for name, missing := range map[string]bool{
		"Frame": o.Frame == nil, "Pages": o.Pages == nil, "Sessions": o.Sessions == nil, "Members": o.Members == nil, "Organizations": o.Organizations == nil,
		"Registrar": o.Registrar == nil, "AuditLog": o.AuditLog == nil, "Policy": o.Policy == nil, "CountLive": o.CountLive == nil, "Logger": o.Logger == nil, "Clock": o.Clock == nil,
		"MinPassword": o.MinPassword < 1, "Lifetime": o.Lifetime <= 0,
	} {
		if missing {
			return nil, errors.New("console: Options." + name + " is missing")
		}
	}
	return &Console{o: o}, nil
}

const (
	adminRole = "admin"
	// local is the provider of the gate's own accounts.
	local = "local"
	// pageForms is the purpose of the forms' tokens.
	pageForms = "account and console"
)

// Routes are the addresses of all pages.
func (c *Console) Routes() web.Routes {
	all := web.Routes{
		"/admin":                           {"GET": c.overview},
		auditPath:                          {"GET": c.audit},
		policyPath:                         {"GET": c.policy, "POST": c.changePolicy},
		organizationsPath:                  {"GET": c.organizations, "POST": c.createOrganization},
		organizationsPath + "/{id}":        {"GET": c.organization, "POST": c.changeOrganization},
		organizationsPath + "/{id}/invite": {"POST": c.invite},
		organizationsPath + "/{id}/revoke": {"POST": c.revokeInvitation},
		"/account":                         {"GET": c.account},
		"/account/profile":                 {"POST": c.saveProfile},
		"/account/password":                {"POST": c.changePassword},
		"/account/sessions/end":            {"POST": c.endOwn},
		"/admin/sessions":                  {"GET": c.sessions},
		"/admin/sessions/end":              {"POST": c.endSession},
		"/admin/sessions/everybody":        {"GET": c.askEverybody, "POST": c.endEverybody},
		"/admin/users":                     {"GET": c.users},
		"/admin/users/{id}":                {"GET": c.user, "POST": c.changeUser},
		"/admin/users/{id}/delete":         {"GET": c.askDelete, "POST": c.deleteUser},
	}
	maps.Copy(all, c.strangers())
	maps.Copy(all, c.demoPages())
	return all
}

// viewer is what the frame of a page shows of who looks.
func (c *Console) viewer(w http.ResponseWriter, r *http.Request, s *session.Session) pages.Viewer {
	id := &s.Identity
	return pages.Viewer{
		Email: id.Email, Name: id.Name, Roles: id.Roles, Admin: c.o.Frame.IsAdministrator(r.Context(), s), Security: c.o.Security && id.Provider == local,
		CSRF: c.o.Frame.Token(w, r, pageForms, s), Notice: c.said(r, s), Now: c.o.Clock(),
		Theme: c.o.Frame.Theme(w, r, s),
	}
}

// as has what is done by ctx tell the audit trail who asked for it.
func as(r *http.Request, s *session.Session) context.Context {
	o := session.OriginOf(r.Context())
	o.Actor = session.Person{ID: s.Identity.UserID, Email: s.Identity.Email}
	return session.WithOrigin(r.Context(), o)
}

// deed is what a form did, as the page after it says.
type deed string

const (
	doneProfile             deed = "profile"
	donePassword            deed = "password"
	doneEnded               deed = "ended"
	doneUserChanged         deed = "user-changed"
	doneDisabled            deed = "user-disabled"
	doneEnabled             deed = "user-enabled"
	doneDeleted             deed = "user-deleted"
	doneOrganization        deed = "organization-created"
	doneOrganizationChanged deed = "organization-changed"
	doneInvited             deed = "invited"
	doneUninvited           deed = "uninvited"
	doneDemoApproved        deed = "demo-approved"
	doneDemoRefused         deed = "demo-refused"
	doneDemoEnded           deed = "demo-ended"
	doneDemoExtended        deed = "demo-extended"
	donePromoted            deed = "policy-promoted"
	doneDropped             deed = "policy-dropped"
	doneBack                deed = "policy-back"
)

// text says what was done, to how many sessions.
func (d deed) text(n int) string {
	sessions := pages.Counted(n, "session", "sessions")
	switch d {
	case doneProfile:
		return "Your name is saved. " + sessions + " show it from now on."
	case donePassword:
		return "Your password is changed. Your other sessions have ended; this one goes on."
	case doneEnded:
		return sessions + " ended. What is ended opens nothing any more, on any of our services."
	case doneUserChanged:
		return "The account is changed, and " + sessions + " of it with it."
	case doneDisabled:
		return "The account is disabled, and " + sessions + " of it ended."
	case doneEnabled:
		return "The account is enabled. It may sign in again."
	case doneDeleted:
		return "The account is deleted, and " + sessions + " of it ended."
	case doneOrganization:
		return "The organization is created. Nobody is in it yet."
	case doneOrganizationChanged:
		return "The organization is changed. Live sessions of its people show it."
	case doneInvited:
		return "The invitation is on its way. Its link is good once, for a week."
	case doneUninvited:
		return "The invitation is taken back. Its link opens nothing any more."
	case doneDemoApproved:
		return "The demo is approved. Its time begins when everything is ready."
	case doneDemoRefused:
		return "The demo is refused. Its person reads your reason."
	case doneDemoEnded:
		return "The demo is ended. It opens nothing any more, and what was made for it is being removed."
	case donePromoted:
		return "What was watched decides now."
	case doneDropped:
		return "The policy is watched no more. What was counted is gone."
	case doneBack:
		return "The gate went back. It stays there until its source has another bundle."
	case doneDemoExtended:
		return "The demo lasts " + pages.Counted(n, "minute", "minutes") + " longer."
	default:
		return ""
	}
}

// done leads on to a page that says what was done. What it says goes by way of
// the address with a token, so that no link can have the page say it untrue.
func (c *Console) done(w http.ResponseWriter, r *http.Request, s *session.Session, path string, d deed, n int) {
	what := string(d) + "." + strconv.Itoa(n)
	c.o.Frame.SeeOther(w, path+"?done="+what+"."+c.o.Frame.Token(w, r, "done "+what, s))
}

// said is the notice of what was done, nil if nothing was.
func (c *Console) said(r *http.Request, s *session.Session) *pages.Notice {
	parts := strings.Split(r.URL.Query().Get("done"), ".")
	if len(parts) != 3 || !c.o.Frame.HasToken(r, parts[2], "done "+parts[0]+"."+parts[1], s) {
		return nil
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil {
		return nil
	}
	if text := deed(parts[0]).text(n); text != "" {
		return &pages.Notice{Tone: "good", Text: text}
	}
	return nil
}

func bad(text string) *pages.Notice { return &pages.Notice{Tone: "bad", Text: text} }

// sentence makes the text of an error one.
func sentence(err error) string {
	s := strings.TrimPrefix(err.Error(), session.ErrBadUser.Error()+": ")
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
