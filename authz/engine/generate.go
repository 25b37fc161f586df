package engine

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// generator makes requests for one program: every place that it reads is filled
// from the words of the policy and its data, left out, or of an odd type, and
// all else is usual. It is for one goroutine.
type generator struct {
	*rand.Rand
	slots *slots
	// changes are the slots whose values can be chosen.
	changes []*slot
	words   []string // of the policy and its data
	data    []string // of the data: names of routes and roles, rather than of rules
	known   map[string]bool
	paths   []string // words that begin with a slash
	zones   []*time.Location
}

// maxWords is how many texts of policy and data are taken.
const maxWords = 4000

func newGenerator(f *fast, r *rand.Rand) *generator {
	g := &generator{Rand: r, slots: f.slots, known: map[string]bool{}}
	for i := range f.slots.all {
		if s := &f.slots.all[i]; s.kind > slotAlways {
			g.changes = append(g.changes, s)
		}
	}
	g.gather(f.data, 0)
	g.data = g.words[:len(g.words):len(g.words)]
	for _, w := range append([]string{"", "x", "a b", "ANA@example.com", "%", "é"}, f.words...) {
		g.word(w)
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

func (g *generator) word(w string) {
	if len(g.words) < maxWords && len(w) <= 256 && !g.known[w] {
		g.known[w] = true
		g.words = append(g.words, w)
	}
}

// gather takes the texts of base data; of a long list or object the first.
func (g *generator) gather(x any, depth int) {
	if depth > maxDepth {
		return
	}
	const most = 100
	n := 0
	switch x := x.(type) {
	case string:
		g.word(x)
	case []any:
		for _, e := range x[:min(len(x), most)] {
			g.gather(e, depth+1)
		}
	case map[string]any:
		for k, e := range x {
			if n++; n > most {
				return
			}
			g.word(k)
			g.gather(e, depth+1)
		}
	}
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
	r := ownRequest(from)
	if from.Session != nil {
		r.Session = from.Session.Clone()
	}
	if from.Route != nil {
		route := *from.Route
		route.Policy, _ = ownJSON(from.Route.Policy).(map[string]any)
		r.Route = &route
	}
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

func (g *generator) one(list ...string) string { return list[g.IntN(len(list))] }

func (g *generator) text() string {
	if len(g.data) > 0 && g.IntN(2) == 0 {
		return g.data[g.IntN(len(g.data))]
	}
	return g.words[g.IntN(len(g.words))]
}

func (g *generator) texts() []string {
	var list []string
	for range g.IntN(6) {
		list = append(list, g.text())
	}
	return list
}

// path is one that can be judged, most times.
func (g *generator) path() string {
	p := "/"
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
	if strings.ContainsAny(p, "\x00\n") || !strings.HasPrefix(p, "/") {
		return "/"
	}
	return p
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

func (g *generator) session(now time.Time) *session.Session {
	s := &session.Session{
		Kind:      []session.Kind{session.Browser, session.Bearer, session.Service}[g.IntN(3)],
		ExpiresAt: now.Add(time.Duration(g.Int64N(int64(10 * time.Hour)))).Truncate(time.Second), CreatedAt: now.Add(-time.Hour),
		Identity: session.Identity{
			Provider: "local", UserID: "user-7", Email: "ana@example.com", EmailVerified: g.IntN(4) > 0, Roles: g.texts(), Groups: g.texts(),
			Claims: map[string]any{}, AMR: []string{"pwd"}, AuthenticatedAt: now.Add(-time.Hour).Truncate(time.Second),
		},
	}
	s.Key[0] = byte(g.IntN(4))
	return s
}

// value is any that claims and settings may hold.
func (g *generator) value(now time.Time, depth int) any {
	second := now.Add(time.Duration(g.Int64N(int64(4*time.Hour)) - int64(2*time.Hour))).Truncate(time.Second)
	switch g.IntN(14) {
	case 0, 1, 2:
		return g.text()
	case 3, 4:
		return g.IntN(3) > 0
	case 5:
		return second.In(time.FixedZone("", 3600*g.IntN(3))).Format(time.RFC3339)
	case 6:
		return float64(second.Unix())
	case 7:
		return float64(g.IntN(200)) - 100
	case 8:
		return []any{-1.5, 0.1, 1e21, json.Number("1.50"), json.Number("12345678901234567890"), 7}[g.IntN(6)]
	case 9:
		return nil
	case 10:
		return second.Format(time.RFC3339Nano)
	case 11, 12:
		list := []any{}
		for range g.IntN(4) {
			if depth > 3 || g.IntN(4) > 0 {
				list = append(list, g.text())
			} else {
				list = append(list, g.value(now, depth+1))
			}
		}
		return list
	default:
		m := map[string]any{}
		if depth < 3 {
			for range g.IntN(3) {
				m[g.text()] = g.value(now, depth+1)
			}
		}
		return m
	}
}
