package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/authz/switches"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/admin"
)

// asked is what the flags of gate explain say of a request.
type asked struct {
	as, url, method, at, address string
	roles, groups                list
	claims, settings             claims
	headers                      headerFlags
	rolesGiven                   bool
}

// question builds the request that Envoy would ask about, and who would ask.
func (a *asked) question(ctx context.Context, cfg *config.Config, client *admin.Client) (*question, error) {
	routes, err := loadRoutes(cfg)
	if err != nil {
		return nil, err
	}
	p, err := configuredPolicy(cfg, edge(cfg, routes), switchesOf(ctx, client))
	if err != nil {
		return nil, err
	}
	q := &question{program: p, source: policySource(cfg), cookieName: cfg.Cookie.Name}
	if q.request, err = a.request(q, routes); err != nil {
		return nil, err
	}
	if err := a.who(ctx, q, cfg, client); err != nil {
		return nil, err
	}
	a.origin(q)
	return q, nil
}

func policySource(cfg *config.Config) string {
	if cfg.Policy.Path == "" {
		return "built in"
	}
	return cfg.Policy.Path
}

func (a *asked) request(q *question, routes *route.File) (*authz.Request, error) {
	at, err := instant(a.at, policyZone(q.program), time.Now)
	if err != nil {
		return nil, err
	}
	u, h, e, err := a.place(q, routes)
	if err != nil {
		return nil, err
	}
	r := &authz.Request{
		Time: at, Method: a.method, Scheme: u.Scheme, Host: strings.ToLower(u.Hostname()), Path: u.RequestURI(), Protocol: "HTTP/2",
		Route: e.Route, RouteName: e.Route.Name, Extensions: map[string]string{"route": e.Route.Name},
	}
	if len(a.settings) > 0 {
		changed := *e.Route
		changed.Policy = maps.Clone(e.Route.Policy)
		if changed.Policy == nil {
			changed.Policy = map[string]any{}
		}
		maps.Copy(changed.Policy, a.settings)
		r.Route = &changed
		q.note("policy settings of the route changed for this question: %s", strings.Join(slices.Sorted(maps.Keys(a.settings)), ", "))
	}
	if a.address != "" {
		ip, err := netip.ParseAddr(a.address)
		if err != nil {
			return nil, fmt.Errorf("-address %q is no IP address", a.address)
		}
		r.Source.Addr = netip.AddrPortFrom(ip.Unmap(), 0)
	}
	q.matched = h.Origin + " prefix " + e.Match.Prefix
	if e.Match.Path != "" {
		q.matched = h.Origin + " path " + e.Match.Path
	}
	for _, x := range a.headers {
		if !forwarded(routes, x.Name) {
			q.note("the header %s is not forwarded to the check: policy does not see it (check_headers of the routes file)", x.Name)
			continue
		}
		r.Headers = append(r.Headers, x)
	}
	return r, nil
}

// place matches the URL as Envoy does.
func (a *asked) place(q *question, routes *route.File) (*url.URL, *route.Host, *route.Entry, error) {
	text := a.url
	if !strings.Contains(text, "://") {
		text = "//" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return nil, nil, nil, fmt.Errorf("-url %q is no URL; write it as https://HOST/PATH", a.url)
	}
	if u.EscapedPath() == "" {
		u.Path = "/"
	}
	p, err := route.Normalise(u.EscapedPath())
	if err != nil {
		return nil, nil, nil, fmt.Errorf("-url: %w", err)
	}
	if p != u.EscapedPath() {
		q.note("Envoy makes the path %s", p)
		if u.Path, err = url.PathUnescape(p); err != nil {
			return nil, nil, nil, fmt.Errorf("-url: %w", err)
		}
		u.RawPath = p
	}
	h, e := routes.Match(u.Hostname(), p)
	if h == nil {
		return nil, nil, nil, fmt.Errorf("the routes file has no host %q: Envoy answers 404 without asking; its hosts are %s", u.Hostname(), strings.Join(hostNames(routes), ", "))
	}
	if e == nil {
		return nil, nil, nil, fmt.Errorf("no route of the host %q matches %s: Envoy answers 404 without asking", h.Name, p)
	}
	if e.Public {
		return nil, nil, nil, fmt.Errorf("the route %q is public: Envoy lets everybody pass to %s without asking", e.Route.Name, p)
	}
	if o, err := url.Parse(h.Origin); err == nil {
		if u.Scheme != "" && (u.Scheme != o.Scheme || u.Port() != o.Port()) {
			q.note("the routes file serves this host at %s", h.Origin)
		}
		u.Scheme = o.Scheme
	}
	return u, h, e, nil
}

func hostNames(f *route.File) []string {
	var names []string
	for _, h := range f.Hosts() {
		names = append(names, h.Name)
	}
	return names
}

func forwarded(f *route.File, name string) bool {
	return slices.ContainsFunc(f.Forwarded(), func(p string) bool {
		prefix, wild := strings.CutSuffix(p, "*")
		return p == name || wild && strings.HasPrefix(name, prefix)
	})
}

// who makes the session: as the flags say, or as the running gate knows them.
func (a *asked) who(ctx context.Context, q *question, cfg *config.Config, client *admin.Client) error {
	at := q.request.Time
	s := &session.Session{Kind: session.Browser, CreatedAt: at, ExpiresAt: at.Add(cfg.Session.Lifetime), IdleExpiresAt: at.Add(cfg.Session.Idle)}
	switch {
	case a.as == "" && !a.rolesGiven && len(a.claims) == 0 && len(a.groups) == 0:
		q.note("nobody is signed in: say who asks with -as or -roles")
		return nil
	case a.as != "" && !a.rolesGiven:
		p, err := client.Person(ctx, a.as)
		if err != nil {
			return fmt.Errorf("who %s is cannot be asked: %w; or say it with -roles r1,r2 beside -as", a.as, err)
		}
		a.known(q, p, s)
		s = q.session
	default:
		s.Identity = session.Identity{Provider: "explain", UserID: "someone", Email: a.as, EmailVerified: a.as != "", AuthenticatedAt: at}
		if a.as != "" {
			s.Identity.UserID = a.as
		}
		q.session, q.whoSource = s, "the command line"
	}
	return a.amend(s)
}

// known takes who somebody is from the running gate.
func (a *asked) known(q *question, p admin.Person, blank *session.Session) {
	s := p.Session
	if k, err := session.ParseKey(p.Key); err == nil {
		s.Key, q.whoSource = k, "the newest live session"
		if !s.LiveAt(q.request.Time) || q.request.Time.Before(s.CreatedAt) {
			q.note("the session does not live at that time: its times are moved")
			s.CreatedAt, s.ExpiresAt, s.IdleExpiresAt = blank.CreatedAt, blank.ExpiresAt, blank.IdleExpiresAt
			s.Identity.AuthenticatedAt = blank.CreatedAt
		}
	} else {
		q.whoSource = "the local account"
		q.note("no live session: the account's roles, without the claims that a sign-in adds")
		s.CreatedAt, s.ExpiresAt, s.IdleExpiresAt = blank.CreatedAt, blank.ExpiresAt, blank.IdleExpiresAt
		s.Identity.AuthenticatedAt = blank.CreatedAt
	}
	q.session = &s
}

// amend adds what the flags say to who asks.
func (a *asked) amend(s *session.Session) (err error) {
	id := &s.Identity
	if a.rolesGiven {
		id.Roles = a.roles
	}
	if id.Roles, err = session.CheckNames("role", id.Roles); err != nil {
		return fmt.Errorf("-roles: %w", err)
	}
	if id.Groups, err = session.CheckNames("group", append(id.Groups, a.groups...)); err != nil {
		return fmt.Errorf("-group: %w", err)
	}
	if len(a.claims) > 0 {
		all := map[string]any{}
		maps.Copy(all, id.Claims)
		maps.Copy(all, a.claims)
		id.Claims = all
	}
	return nil
}

// origin adds the Origin that a browser sends from the host's own pages, unless
// the flags say another.
func (a *asked) origin(q *question) {
	r := q.request
	_, given := r.Headers.Get("origin")
	safe := r.Method == "GET" || r.Method == "HEAD" || r.Method == "OPTIONS"
	if _, upgrade := r.Headers.Get("upgrade"); q.session == nil || given > 0 || safe && upgrade == 0 {
		return
	}
	r.Headers = append(r.Headers, authz.Header{Name: "origin", Value: authz.OwnOrigin(r)})
	q.note("asked with the host's own Origin, as its pages do; say another with -header 'Origin: …'")
}

func (q *question) note(format string, args ...any) {
	q.notes = append(q.notes, visible(fmt.Sprintf(format, args...)))
}

// instant reads -at: RFC 3339, or a wall clock in zone; now without one.
func instant(s string, zone *time.Location, now func() time.Time) (time.Time, error) {
	if s == "" {
		return now().UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("-at %q is no time; write 2026-03-08T21:00:00-06:00, or \"2026-03-08 21:00\" for the clock of %s", s, zone)
}

// headerFlags is the flag -header.
type headerFlags authz.Headers

func (h *headerFlags) String() string { return "" }

func (h *headerFlags) Set(s string) error {
	name, value, ok := strings.Cut(s, ":")
	name = strings.ToLower(strings.TrimSpace(name))
	if !ok || name == "" || strings.ContainsAny(name, " \t") {
		return errors.New("want 'Name: value'")
	}
	if name == "cookie" || name == "authorization" {
		return fmt.Errorf("%s is how somebody says who they are: say it with -as, -roles and -claim", name)
	}
	*h = append(*h, authz.Header{Name: name, Value: strings.TrimSpace(value)})
	return nil
}

// configuredPolicy compiles the policy that the config names, as activation
// does, with its switches set to what is stored; nil leaves the defaults.
func configuredPolicy(cfg *config.Config, e engine.Edge, stored []session.StoredSwitch) (*engine.Program, error) {
	src, err := policySet(cfg)
	if err != nil {
		return nil, err
	}
	src.EntryPoint, src.Timeout = cfg.Policy.Entrypoint, cfg.Policy.Timeout
	if err = errors.Join(src.Identify(), checkActions(&src)); err == nil {
		src.Data, src.Revision, err = switches.Fold(src.Data, src.Revision, stored)
	}
	if err != nil {
		return nil, fmt.Errorf("policy refused: %w", err)
	}
	return engine.Compile(src, e)
}

// loadConfig reads the config file of a command.
func loadConfig(file string) (*config.Config, error) { return config.Load(file, os.Environ()) }
