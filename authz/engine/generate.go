package engine

import (
	"math/rand/v2"
	"net/netip"
	"net/url"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine/machine"
	"github.com/neosc/gate/session"
)

// generator makes requests for one program: every place that it reads is filled
// from the words of the policy and its data, left out, or of an odd type, and
// all else is usual. It is for one goroutine.
type generator struct {
	*rand.Rand
	slots *slots
	build *builder
	// changes are the slots whose values can be chosen.
	changes []*slot
	words   []string // of the policy and its data
	data    []string // of the data: names of routes and roles, rather than of rules
	known   map[string]bool
	numbers []float64        // of the policy and its data
	own     []string         // texts of the request that is being changed
	hint    machine.Hint     // of the statement that is to go another way
	at      map[string]*slot // slots that can be changed, by path
	paths   []string         // words that begin with a slash
	zones   []*time.Location
}

func newGenerator(f *fast, r *rand.Rand) *generator {
	g := &generator{Rand: r, slots: f.slots, build: f.build, known: map[string]bool{}, at: map[string]*slot{}}
	for i := range f.slots.all {
		if s := &f.slots.all[i]; s.kind > slotAlways {
			g.changes = append(g.changes, s)
			g.at[strings.Join(s.doc, "\x00")] = s
		}
	}
	g.gather(f.data, 0)
	g.data = g.words[:len(g.words):len(g.words)]
	g.gatherPlan(f.source)
	for _, w := range append([]string{"", "x", "a b", "ANA@example.com", "%", "é"}, f.words...) {
		g.word(w)
	}
	for _, w := range slices.Clone(g.words) {
		if p, err := syntax.Parse(w, syntax.Perl); err == nil && p.Op != syntax.OpLiteral && p.Op != syntax.OpEmptyMatch {
			g.word(g.matching(p.Simplify()))
		}
	}
	for _, w := range g.words {
		if strings.HasPrefix(w, "/") {
			g.paths = append(g.paths, w)
		}
		if z, err := time.LoadLocation(w); err == nil && strings.Contains(w, "/") {
			g.zones = append(g.zones, z)
		}
	}
	return g
}

// request makes one anew.
func (g *generator) request() *authz.Request {
	r := &authz.Request{
		Time: g.instant(), ID: "id-1", Method: "GET", Scheme: "https", Host: "portal.example.com", Path: g.path(), Protocol: "HTTP/2",
		Headers:    authz.Headers{{Name: "accept", Value: "text/html"}},
		Route:      &authz.Route{Name: g.text(), PassIdentityHeaders: g.IntN(3) > 0, Policy: map[string]any{}},
		Extensions: map[string]string{}, Source: g.peer(), Destination: g.peer(),
	}
	if g.IntN(6) > 0 {
		r.Session = g.session(r.Time)
	}
	for i := range g.slots.all {
		if g.IntN(5) > 0 {
			g.set(r, &g.slots.all[i])
		}
	}
	return r
}

// changed returns another request that differs in some places.
func (g *generator) changed(from *authz.Request) *authz.Request {
	r := g.copied(from)
	g.own = textsOf(from)
	defer func() { g.own = nil }()
	if g.IntN(2) == 0 {
		r.Time = g.near(r)
	}
	for range 1 + g.IntN(3)*g.IntN(2) {
		if len(g.changes) > 0 {
			g.set(r, g.changes[g.IntN(len(g.changes))])
		}
	}
	if g.IntN(12) == 0 {
		r.Path = g.path()
	}
	return r
}

// copied returns a request whose parts can be changed.
func (g *generator) copied(from *authz.Request) *authz.Request {
	r := ownRequest(from)
	if from.Session != nil {
		r.Session = from.Session.Clone()
	}
	if from.Route != nil {
		route := *from.Route
		route.Policy, _ = ownJSON(from.Route.Policy).(map[string]any)
		r.Route = &route
	}
	return r
}

// towards returns another request that differs from one in what a statement
// looks at.
func (g *generator) towards(from *authz.Request, h machine.Hint) *authz.Request {
	g.hint = h
	defer func() { g.hint = machine.Hint{} }()
	r := g.changed(from)
	if len(h.Paths) == 0 {
		return r
	}
	if g.IntN(2) == 0 { // nothing but that
		r = g.copied(from)
	}
	g.own = g.textsAt(r, h.Paths)
	defer func() { g.own = nil }()
	for range 1 + g.IntN(2) {
		for path := h.Paths[g.IntN(len(h.Paths))]; len(path) > 0; path = path[:len(path)-1] {
			if s := g.at[strings.Join(path, "\x00")]; s != nil {
				g.set(r, s)
				break
			}
		}
	}
	return r
}

// near is an instant near one that the request's claims speak of.
func (g *generator) near(r *authz.Request) time.Time {
	if r.Session == nil || g.IntN(2) == 0 {
		return g.instant()
	}
	for _, x := range r.Session.Identity.Claims {
		switch x := x.(type) {
		case string:
			if t, err := time.Parse(time.RFC3339, x); err == nil {
				return g.beside(t)
			}
		case float64:
			if x > 1e9 && x < 4e9 {
				return g.beside(time.Unix(int64(x), 0))
			}
		}
	}
	return g.beside(r.Session.ExpiresAt)
}

func (g *generator) beside(t time.Time) time.Time {
	return t.Add([]time.Duration{-time.Second, -1, 0, 1, time.Second, -time.Hour, time.Hour}[g.IntN(7)])
}

// instant is any of some years; often a full or half hour in a zone that the
// policy names, or a nanosecond beside it.
func (g *generator) instant() time.Time {
	t := time.Unix(1_700_000_000+g.Int64N(4*365*24*3600), g.Int64N(1e9)).UTC()
	if len(g.zones) > 0 {
		t = t.In(g.zones[g.IntN(len(g.zones))])
	}
	switch g.IntN(4) {
	case 0:
		return t.UTC()
	case 1:
		t = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
	default:
		t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), 30*g.IntN(2), 0, 0, t.Location())
	}
	return g.beside(t).UTC()
}

// path is one that can be judged, most times.
func (g *generator) path() string {
	p := "/"
	if n := len(g.hint.Texts); n > 0 && g.IntN(3) > 0 {
		if p = g.text(); g.IntN(2) == 0 {
			p += "/" + url.PathEscape(g.text())
		}
		return sound(p)
	}
	switch {
	case len(g.paths) > 0 && g.IntN(3) == 0:
		p = strings.ReplaceAll(g.paths[g.IntN(len(g.paths))], "{id}", "7")
		if g.IntN(2) == 0 {
			p += "/" + url.PathEscape(g.text())
		}
	case g.IntN(4) > 0:
		var parts []string
		for range 1 + g.IntN(4) {
			parts = append(parts, url.PathEscape(g.text()))
		}
		p += strings.Join(parts, "/")
	}
	switch g.IntN(8) {
	case 0:
		p += "/"
	case 1:
		p += "?" + url.QueryEscape(g.text()) + "=" + url.QueryEscape(g.text())
	case 2:
		p = "/" + p
	}
	return sound(p)
}

func sound(path string) string {
	if strings.ContainsAny(path, "\x00\n") || !strings.HasPrefix(path, "/") {
		return "/"
	}
	return path
}

func (g *generator) peer() authz.Peer {
	a := g.one("203.0.113.9:4711", "10.0.0.1:80", "192.168.1.7:1", "127.0.0.1:9", "[2001:db8::1]:443", "[::ffff:10.1.2.3]:5", "8.8.8.8:53")
	for range 3 { // an address in a range of the policy's
		if p, err := netip.ParsePrefix(g.text()); err == nil {
			return authz.Peer{Addr: netip.AddrPortFrom(p.Addr(), 1)}
		}
	}
	p := authz.Peer{Addr: netip.MustParseAddrPort(a)}
	switch g.IntN(8) {
	case 0:
		p.Addr = netip.AddrPort{}
	case 1:
		p.Principal = g.text()
	}
	return p
}

var anyKind = [...]session.Kind{session.Browser, session.Bearer, session.Service}

func (g *generator) session(now time.Time) *session.Session {
	s := &session.Session{
		Kind:      anyKind[g.IntN(len(anyKind))],
		ExpiresAt: now.Add(time.Duration(g.Int64N(int64(10 * time.Hour)))).Truncate(time.Second), CreatedAt: now.Add(-time.Hour),
		Identity: session.Identity{
			Provider: "local", UserID: "user-7", Email: "ana@example.com", EmailVerified: g.IntN(4) > 0, Roles: g.texts(), Groups: g.texts(),
			Claims: map[string]any{}, AMR: []string{"pwd"}, AuthenticatedAt: now.Add(-time.Hour).Truncate(time.Second),
		},
	}
	s.Key[0] = byte(g.IntN(4))
	return s
}
