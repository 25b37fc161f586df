package access

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
)

// Universe is what is combined.
type Universe struct {
	// Routes by name; a nil one is as a routes file would have it without settings.
	Routes map[string]*authz.Route
	Roles  []string
	// Methods are those that are tried, the last one such as no route takes.
	Methods []string
	// Paths to try by route.
	Paths map[string][]string
	// Settings of routes that the policy reads, such as business_hours.
	Settings []string
	// Claims that the policy reads besides those of demos.
	Claims []string
	// Hours of all policies, never none; the first are those of the usual day.
	Hours []Hours
	// Unexplored are inputs that a policy reads and that are not tried, or not with
	// all that could make a difference, and what a bound cut off: after ": " why.
	Unexplored []string
	// Relevant are those of them that rules read which are not the same in all
	// policies, or whose data is not.
	Relevant []string

	values   map[string][]any // of claims and settings, from rules and data, by the input's name
	others   []named
	instants []time.Time
}

// Hours are a zone and a clock in it, since midnight.
type Hours struct {
	Zone          *time.Location
	Opens, Closes time.Duration
}

// Bounds of a universe: a policy's data may name thousands of roles.
const (
	maxRoles  = 60
	maxRoutes = 200
	maxPaths  = 60
)

// Of is OfPolicies without the texts of their rules.
func Of(routes map[string]*authz.Route, judges ...*engine.Judge) *Universe {
	var policies []Policy
	for _, j := range judges {
		policies = append(policies, Policy{Judge: j})
	}
	return OfPolicies(routes, policies...)
}

// OfPolicies makes the universe of policies: what any of them names.
func OfPolicies(routes map[string]*authz.Route, policies ...Policy) *Universe {
	u := &Universe{Routes: map[string]*authz.Route{}, Paths: map[string][]string{}, values: map[string][]any{},
		Methods: []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"}}
	f := &finder{u: u, policies: policies, roles: map[string]bool{}, paths: map[string]bool{}, left: map[string]string{}}
	for name, r := range routes { // those that there are come before what data names
		u.Routes[name] = r
	}
	for _, x := range policies {
		p := x.Judge.Program()
		walk(p.Data(), "", func(key string, v any) { rolesIn(key, v, f.roles) })
		u.routesOf(p)
		u.hoursOf(p)
		u.inputsOf(x.Judge)
		f.rules = append(f.rules, rulesOf(x.Modules))
	}
	if u.Hours == nil {
		u.Hours = []Hours{{time.UTC, 8 * time.Hour, 20 * time.Hour}}
	}
	f.find()
	for name := range u.Routes {
		list := slices.AppendSeq(append(u.Paths[name], "/", "/some/thing"), maps.Keys(f.paths))
		slices.Sort(list)
		u.Paths[name] = cut(f, "paths of the route "+name, slices.Compact(list), maxPaths)
	}
	u.Roles = cut(f, "roles", slices.Sorted(maps.Keys(f.roles)), maxRoles)
	if len(u.Routes) >= maxRoutes {
		f.left["routes"] = fmt.Sprintf("at most %d are taken from data", maxRoutes)
	}
	f.say()
	return u
}

// walk visits every member of JSON data with the key that it lies under.
func walk(v any, key string, f func(key string, v any)) {
	f(key, v)
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			walk(v[k], k, f)
		}
	case []any:
		for _, x := range v {
			walk(x, key, f)
		}
	}
}

var roleName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.:-]{0,63}$`)

// rolesIn finds names of roles: keys and texts under "roles" or a name that ends
// so, and lists under a method or a path.
func rolesIn(key string, v any, roles map[string]bool) {
	named := strings.HasSuffix(key, "roles")
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			if named && roleName.MatchString(k) {
				roles[k] = true
			}
		}
	case []any:
		for _, x := range v {
			s, ok := x.(string)
			if ok && roleName.MatchString(s) && (named || strings.HasPrefix(key, "/") || key == strings.ToUpper(key)) {
				roles[s] = true
			}
		}
	}
}

// routesOf takes routes and their paths from the policy's data.
func (u *Universe) routesOf(p *engine.Program) {
	walk(p.Data(), "", func(key string, v any) {
		routes, ok := v.(map[string]any)
		if !ok || key != "routes" {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(routes)) {
			if _, known := u.Routes[name]; !known {
				if len(u.Routes) >= maxRoutes {
					continue
				}
				u.Routes[name] = nil
			}
			walk(routes[name], "", func(key string, v any) {
				if m, ok := v.(map[string]any); ok {
					for path := range m {
						if strings.HasPrefix(path, "/") {
							u.path(name, path, key)
						}
					}
				}
			})
		}
	})
}

// path adds a path of a route's data and what is near it: below it, and for what
// closes paths odd spellings as well.
func (u *Universe) path(route, path, under string) {
	path = strings.ReplaceAll(path, "{id}", "5f0c6f3e")
	list := append(u.Paths[route], path, path+"/x")
	if under == "reserved" || under == "only" {
		list = append(list, strings.ToUpper(path), path+";v=1/x", "/"+path, path+"/..%2fx")
	}
	u.Paths[route] = list
}

// hoursOf finds business hours: objects with a time zone.
func (u *Universe) hoursOf(p *engine.Program) {
	walk(p.Data(), "", func(_ string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		name, _ := m["timezone"].(string)
		zone, err := time.LoadLocation(name)
		if name == "" || err != nil {
			return
		}
		h := Hours{zone, 8 * time.Hour, 20 * time.Hour}
		if d, ok := clockOf(m["from"]); ok {
			h.Opens = d
		}
		if d, ok := clockOf(m["until"]); ok {
			h.Closes = d
		}
		known := func(x Hours) bool {
			return x.Zone.String() == h.Zone.String() && x.Opens == h.Opens && x.Closes == h.Closes
		}
		if !slices.ContainsFunc(u.Hours, known) {
			u.Hours = append(u.Hours, h)
		}
	})
}

// inputsOf finds settings and claims that the policy reads.
func (u *Universe) inputsOf(j *engine.Judge) {
	for _, path := range j.Inputs() {
		switch {
		case len(path) == 3 && path[0] == "route" && path[1] == "policy":
			if !slices.Contains(u.Settings, path[2]) {
				u.Settings = append(u.Settings, path[2])
			}
		case len(path) == 3 && path[0] == "session" && path[1] == "claims":
			if !demoClaim(path[2]) && !slices.Contains(u.Claims, path[2]) {
				u.Claims = append(u.Claims, path[2])
			}
		}
	}
	slices.Sort(u.Settings)
	slices.Sort(u.Claims)
}

func demoClaim(name string) bool {
	return name == demoID || name == demoEnd || name == demoType
}

// Claims of demos.
const (
	demoID   = "neosc:demo_session_id"
	demoEnd  = "neosc:demo_expires_at"
	demoType = "neosc:workspace_type"
)
