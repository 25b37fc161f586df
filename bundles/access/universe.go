package access

import (
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
	// Zone and the clock of its hours, in nanoseconds since midnight.
	Zone       *time.Location
	Opens      time.Duration
	Closes     time.Duration
	HasHours   bool
	Unexplored []string // inputs that the policy reads and the matrix leaves alone
}

// Bounds of a universe: a policy's data may name thousands of roles.
const (
	maxRoles  = 60
	maxRoutes = 200
	maxPaths  = 60
)

// Of makes the universe of policies: what any of them names.
func Of(routes map[string]*authz.Route, judges ...*engine.Judge) *Universe {
	u := &Universe{Routes: map[string]*authz.Route{}, Paths: map[string][]string{}, Zone: time.UTC, Opens: 8 * time.Hour, Closes: 20 * time.Hour,
		Methods: []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"}}
	roles, unexplored := map[string]bool{}, map[string]bool{}
	for _, j := range judges {
		p := j.Program()
		walk(p.Data(), "", func(key string, v any) { rolesIn(key, v, roles) })
		u.routesOf(p)
		u.hoursOf(p)
		u.inputsOf(j, unexplored)
	}
	for name, r := range routes {
		if len(u.Routes) < maxRoutes {
			u.Routes[name] = r
		}
	}
	for name := range u.Routes {
		u.Paths[name] = slices.Compact(slices.Sorted(slices.Values(append(u.Paths[name], "/", "/some/thing"))))
		u.Paths[name] = u.Paths[name][:min(len(u.Paths[name]), maxPaths)]
	}
	u.Roles = slices.Sorted(maps.Keys(roles))
	u.Roles = u.Roles[:min(len(u.Roles), maxRoles)]
	u.Unexplored = slices.Sorted(maps.Keys(unexplored))
	return u
}

// walk visits every member of JSON data with the key that it lies under.
func walk(v any, key string, f func(key string, v any)) {
	f(key, v)
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			walk(x, k, f)
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
		for name, x := range routes {
			if len(u.Routes) == maxRoutes {
				return
			}
			if _, known := u.Routes[name]; !known {
				u.Routes[name] = nil
			}
			walk(x, "", func(key string, v any) {
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

// hoursOf finds business hours: an object with a time zone.
func (u *Universe) hoursOf(p *engine.Program) {
	walk(p.Data(), "", func(_ string, v any) {
		m, ok := v.(map[string]any)
		if !ok || u.HasHours {
			return
		}
		name, _ := m["timezone"].(string)
		zone, err := time.LoadLocation(name)
		if name == "" || err != nil {
			return
		}
		u.Zone, u.HasHours = zone, true
		if d, ok := clockOf(m["from"]); ok {
			u.Opens = d
		}
		if d, ok := clockOf(m["until"]); ok {
			u.Closes = d
		}
	})
}

// inputsOf finds settings and claims that the policy reads, and what else it
// does that the matrix has no values for.
func (u *Universe) inputsOf(j *engine.Judge, unexplored map[string]bool) {
	for _, path := range j.Inputs() {
		name := strings.Join(path, ".")
		switch {
		case len(path) == 3 && path[0] == "route" && path[1] == "policy":
			if !slices.Contains(u.Settings, path[2]) {
				u.Settings = append(u.Settings, path[2])
			}
		case len(path) == 3 && path[0] == "session" && path[1] == "claims":
			if !demoClaim(path[2]) && !slices.Contains(u.Claims, path[2]) {
				u.Claims = append(u.Claims, path[2])
			}
		case len(path) > 2 && (strings.HasPrefix(name, "attributes.request.http.headers.") || strings.HasPrefix(name, "attributes.source.principal") ||
			strings.HasPrefix(name, "attributes.source.certificate")), len(path) == 2 && path[0] == "parsed_query":
			unexplored["input."+name] = true
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
