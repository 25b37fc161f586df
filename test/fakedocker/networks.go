package fakedocker

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
)

// Network is one that the fake keeps.
type Network struct {
	ID, Name, Driver string
	Internal         bool
	Labels, Options  map[string]string
	// Joined are the containers that were put on it, by their names, besides those
	// that were made for it.
	Joined []string
}

// AddNetwork puts one there that was made by somebody else.
func (e *Engine) AddNetwork(n Network) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n.ID = "net-" + n.Name
	e.networks = append(e.networks, &n)
}

// Networks returns what there is.
func (e *Engine) Networks() []Network {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := []Network{}
	for _, n := range e.networks {
		c := *n
		c.Joined = slices.Clone(n.Joined)
		all = append(all, c)
	}
	return all
}

// named returns the network of a name or id, nil if there is none; it is called
// with the lock.
func (e *Engine) named(name string) *Network {
	for _, n := range e.networks {
		if n.Name == name || n.ID == name {
			return n
		}
	}
	return nil
}

var oneNetwork = regexp.MustCompile(`^/networks/([^/]+)(/connect|/disconnect)?$`)

// network answers what is about networks; do is nil for what there is not.
func (e *Engine) network(r *http.Request, at string) (kind, about string, do func() answer) {
	switch r.Method + " " + at {
	case "GET /networks":
		return "networks", "", func() answer { return e.listNetworks(r) }
	case "POST /networks/create":
		var body struct {
			Name, Driver             string
			CheckDuplicate, Internal bool
			Labels                   map[string]string
			Options                  map[string]string
		}
		wrong := strict(r, &body)
		return "network create", body.Name, func() answer {
			switch {
			case wrong != nil:
				return problem(http.StatusBadRequest, "%v", wrong)
			case e.named(body.Name) != nil:
				return problem(http.StatusConflict, "network with name %s already exists", body.Name)
			}
			n := &Network{ID: "net-" + body.Name, Name: body.Name, Driver: body.Driver, Internal: body.Internal, Labels: body.Labels, Options: body.Options}
			e.networks = append(e.networks, n)
			return answer{http.StatusCreated, map[string]any{"Id": n.ID, "Warning": ""}}
		}
	}
	m := oneNetwork.FindStringSubmatch(at)
	if m == nil {
		return "", "", nil
	}
	n := e.named(m[1])
	none := func() answer { return problem(http.StatusNotFound, "network %s not found", m[1]) }
	is := func(do func() answer) func() answer {
		if n == nil {
			return none
		}
		return do
	}
	switch r.Method + " " + m[2] {
	case "GET ":
		return "network", m[1], is(func() answer { return answer{http.StatusOK, e.shown(n, true)} })
	case "DELETE ":
		return "network remove", m[1], is(func() answer { return e.removeNetwork(n) })
	case "POST /connect", "POST /disconnect":
		return "network " + m[2][1:], m[1], is(func() answer { return e.join(n, m[2] == "/connect", r) })
	}
	return "", "", nil
}

// strict reads a body that has nothing but what is known.
func strict(r *http.Request, to any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	return d.Decode(to)
}

// shown is a network as the API shows it; who is on it is told of one alone.
func (e *Engine) shown(n *Network, one bool) map[string]any {
	out := map[string]any{"Id": n.ID, "Name": n.Name, "Driver": n.Driver, "Scope": "local", "Internal": n.Internal, "Labels": n.Labels, "Options": n.Options, "Containers": map[string]any{}}
	if one {
		on := map[string]any{}
		for _, name := range n.Joined {
			on["id-"+name] = map[string]string{"Name": name}
		}
		for _, c := range e.containers {
			if c.State == "running" && c.Body.HostConfig.NetworkMode == n.Name {
				on[c.ID] = map[string]string{"Name": c.Name}
			}
		}
		out["Containers"] = on
	}
	return out
}

func (e *Engine) listNetworks(r *http.Request) answer {
	var filters struct {
		Label []string `json:"label"`
	}
	if f := r.URL.Query().Get("filters"); f != "" {
		if err := json.Unmarshal([]byte(f), &filters); err != nil {
			return problem(http.StatusBadRequest, "invalid filter")
		}
	}
	out := []map[string]any{}
	for _, n := range e.networks {
		if labelled(n.Labels, filters.Label) {
			out = append(out, e.shown(n, false))
		}
	}
	return answer{http.StatusOK, out}
}

func (e *Engine) removeNetwork(n *Network) answer {
	if on := e.shown(n, true)["Containers"].(map[string]any); len(on) > 0 {
		return problem(http.StatusForbidden, "error while removing network: network %s has active endpoints (%q)", n.Name, slices.Sorted(maps.Keys(on)))
	}
	e.networks = slices.DeleteFunc(e.networks, func(x *Network) bool { return x == n })
	return answer{status: http.StatusNoContent}
}

func (e *Engine) join(n *Network, on bool, r *http.Request) answer {
	var body struct {
		Container string
		Force     bool
	}
	if err := strict(r, &body); err != nil {
		return problem(http.StatusBadRequest, "%v", err)
	}
	i := slices.IndexFunc(n.Joined, func(name string) bool { return name == body.Container || "id-"+name == body.Container })
	known := slices.ContainsFunc(e.containers, func(c *Container) bool { return c.Name == body.Container || c.ID == body.Container })
	switch {
	case !on && i >= 0:
		n.Joined = slices.Delete(n.Joined, i, i+1)
	case !on:
		return problem(http.StatusInternalServerError, "container %s is not connected to network %s", body.Container, n.Name)
	case i >= 0:
		return problem(http.StatusForbidden, "endpoint with name %s already exists in network %s", body.Container, n.Name)
	case !known:
		return problem(http.StatusNotFound, "No such container: %s", body.Container)
	default:
		n.Joined = append(n.Joined, body.Container)
	}
	return answer{status: http.StatusOK}
}
