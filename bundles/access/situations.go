package access

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// person is who asks.
type person struct {
	name  string // "nobody", "no role", "role admin", "all roles"
	roles []string
	none  bool
}

func (u *Universe) people() []person {
	out := []person{{name: "nobody", none: true}, {name: "no role"}}
	for _, r := range u.Roles {
		out = append(out, person{name: "role " + r, roles: []string{r}})
	}
	return append(out, person{name: "a role of no meaning", roles: []string{"x-unheard-of"}}, person{name: "all roles together", roles: u.Roles})
}

// situation is everything about a request but who asks for what.
type situation struct {
	name     string
	at       time.Time
	settings map[string]any // besides the route's own
	claims   map[string]any
	amr      []string
	since    time.Duration // of the sign-in
	kind     session.Kind
	provider string
	unproven bool // the email is not verified
	person   session.Identity
	host     string
	source   netip.Addr
}

// named is a change of one thing.
type named struct {
	name   string
	change func(*situation)
}

// situations are the usual one, first, and those that differ from it in one
// thing, or in a setting of the route and one thing.
func (u *Universe) situations() []situation {
	h := u.Hours[0]
	usual := situation{at: h.clock(time.Wednesday, (h.Opens+h.Closes)/2), amr: []string{"pwd"}, since: time.Minute, kind: session.Browser, provider: "local",
		person: session.Identity{UserID: "somebody", Email: "somebody@example.com", Name: "Somebody", Organization: "1", Groups: []string{"a-group"}},
		host:   "host.example", source: netip.MustParseAddr("203.0.113.9")}
	out, known := []situation{usual}, map[string]bool{}
	one := func(n named, also ...named) {
		s, names := usual, []string{n.name}
		s.claims, s.settings = map[string]any{}, map[string]any{}
		n.change(&s)
		for _, x := range also {
			names = append(names, x.name)
			x.change(&s)
		}
		if s.name = strings.Join(names, ", "); !known[s.name] { // rules may name what is tried anyway
			known[s.name] = true
			out = append(out, s)
		}
	}
	times, factors := u.times(usual.at), factors()
	for _, list := range [][]named{times, factors, demos(usual.at), kinds()} {
		for _, n := range list {
			one(n)
		}
	}
	for _, c := range u.claims() {
		one(c)
		one(c, factors[0])
		one(c, kinds()[0])
	}
	for _, n := range u.others {
		one(n)
	}
	for _, s := range u.Settings {
		for i, set := range u.settings(s) {
			if one(set); i > 0 { // what rules compare it with is tried alone
				continue
			}
			for _, list := range [][]named{times, factors, kinds()[:1]} {
				for _, n := range list {
					one(set, n)
				}
			}
		}
	}
	return out
}

// clock is an instant in the week of Wednesday the 4th of March 2026.
func (h *Hours) clock(day time.Weekday, of time.Duration) time.Time {
	return time.Date(2026, 3, 1+int(day), 0, 0, 0, 0, h.Zone).Add(of)
}

// times are the edges of all hours that are known, each day of the week, and the
// instants that rules name.
func (u *Universe) times(usual time.Time) (out []named) {
	at := func(name string, t time.Time) {
		out = append(out, named{name, func(s *situation) { s.at = t }})
	}
	for i, h := range u.Hours {
		of := ""
		if i > 0 {
			of = fmt.Sprintf(" of the hours from %v until %v in %s", h.Opens, h.Closes, h.Zone)
		}
		at("a second before opening"+of, h.clock(time.Wednesday, h.Opens-time.Second))
		at("at opening"+of, h.clock(time.Wednesday, h.Opens))
		at("in the last second"+of, h.clock(time.Wednesday, h.Closes-time.Second))
		at("at closing"+of, h.clock(time.Wednesday, h.Closes))
	}
	for _, day := range []time.Weekday{time.Saturday, time.Sunday, time.Monday, time.Tuesday, time.Thursday, time.Friday} {
		at("on "+day.String(), usual.AddDate(0, 0, int(day-time.Wednesday)))
	}
	for _, t := range u.instants {
		at("at "+t.Format(time.RFC3339), t)
	}
	return out
}

func factors() []named {
	return []named{
		{"with a second factor", func(s *situation) { s.amr = []string{"mfa", "otp", "pwd"} }},
		{"with a second factor two hours ago", func(s *situation) { s.amr, s.since = []string{"mfa", "otp", "pwd"}, 2*time.Hour }},
	}
}

func demos(now time.Time) []named {
	claims := func(name string, kv ...any) named {
		m := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return named{name, func(s *situation) { maps.Copy(s.claims, m) }}
	}
	later, earlier := now.Add(time.Hour).UTC().Format(time.RFC3339), now.Add(-time.Hour).UTC().Format(time.RFC3339)
	return []named{
		claims("with a demo", demoID, "d-1", demoEnd, later, demoType, "linux"),
		claims("with a demo until a second from the epoch", demoID, "d-1", demoEnd, json.Number(jsonSeconds(now.Add(time.Hour)))),
		claims("with a demo until such a second as text", demoID, "d-1", demoEnd, jsonSeconds(now.Add(time.Hour))),
		claims("with a demo that has ended", demoID, "d-1", demoEnd, earlier), claims("with a demo that ends now", demoID, "d-1", demoEnd, now.UTC().Format(time.RFC3339)),
		claims("with a demo of unreadable end", demoID, "d-1", demoEnd, "tomorrow"), claims("with a demo without end", demoID, "d-1", demoType, "linux"),
		claims("with the end of a demo alone", demoEnd, later), claims("with a demo of blank id", demoID, " ", demoEnd, later),
	}
}

func kinds() []named {
	return []named{
		{"by a service token", func(s *situation) { s.kind = session.Service }},
		{"from another provider", func(s *situation) { s.provider = "zitadel_onprem" }},
		{"with an unverified email", func(s *situation) { s.unproven = true }},
	}
}

// claims give each claim that policy reads a few values.
func (u *Universe) claims() (out []named) {
	for _, c := range u.Claims {
		for _, v := range append([]any{"required", "admins", true, false}, u.values["session.claims."+c]...) {
			text, _ := json.Marshal(v) // a text, number or boolean, or a list of one
			out = append(out, named{"with the claim " + c + " " + string(text), func(s *situation) { s.claims[c] = v }})
		}
	}
	return out
}

// settings turn one setting of a route on; one that says how long has a number.
// What rules compare it with comes besides.
func (u *Universe) settings(name string) (out []named) {
	v := any(true)
	if strings.HasSuffix(name, "_within") || strings.HasSuffix(name, "_seconds") {
		v = json.Number("900")
	}
	out = append(out, named{"where the route has " + name, func(s *situation) { s.settings[name] = v }})
	for _, v := range u.values["route.policy."+name] {
		text, _ := json.Marshal(v) // as above
		out = append(out, named{"where the route has " + name + " " + string(text), func(s *situation) { s.settings[name] = v }})
	}
	return out
}

// request is what somebody asks for in a situation.
func (s *situation) request(route *authz.Route, p *session.Session, method, path string) *authz.Request {
	return &authz.Request{
		Time: s.at, ID: "access", Method: method, Scheme: "https", Host: s.host, Path: path, Protocol: "HTTP/2",
		Headers: authz.Headers{{Name: "accept", Value: "text/html"}}, Route: route, RouteName: route.Name,
		Extensions: map[string]string{"route": route.Name}, Source: authz.Peer{Addr: netip.AddrPortFrom(s.source, 40000)},
		Destination: authz.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:443")}, Session: p,
	}
}

// session is that of a person in a situation; nil for nobody.
func (s *situation) session(p person) *session.Session {
	if p.none {
		return nil
	}
	id := s.person
	id.Provider, id.EmailVerified, id.Roles, id.Claims, id.AMR, id.AuthenticatedAt = s.provider, !s.unproven, p.roles, s.claims, s.amr, s.at.Add(-s.since)
	return &session.Session{
		Kind: s.kind, CreatedAt: s.at.Add(-s.since), ExpiresAt: s.at.Add(8 * time.Hour), IdleExpiresAt: s.at.Add(8 * time.Hour),
		Identity: id,
	}
}

// route is a route with the situation's settings.
func (s *situation) route(name string, r *authz.Route) *authz.Route {
	out := authz.Route{Name: name, PassIdentityHeaders: true}
	if r != nil {
		out = *r
	}
	if len(s.settings) > 0 || out.Policy == nil {
		policy := map[string]any{}
		maps.Copy(policy, out.Policy)
		maps.Copy(policy, s.settings)
		out.Policy = policy
	}
	return &out
}
