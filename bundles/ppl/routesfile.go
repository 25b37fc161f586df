package ppl

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The types here are the routes file, key by key, in the order that people read.

type routesYAML struct {
	Gate            string                  `yaml:"gate"`
	Listen          string                  `yaml:"listen"`
	SetHeaders      []string                `yaml:"set_headers"`
	ResponseHeaders []string                `yaml:"response_headers,omitempty"`
	Upstreams       map[string]upstreamYAML `yaml:"upstreams"`
	Hosts           []hostYAML              `yaml:"hosts"`
}

type upstreamYAML struct {
	Address []string `yaml:"address,flow"`
	TLS     *tlsYAML `yaml:"tls,omitempty"`
}

type tlsYAML struct {
	CA         string `yaml:"ca"`
	ServerName string `yaml:"server_name,omitempty"`
	Cert       string `yaml:"cert,omitempty"`
	Key        string `yaml:"key,omitempty"`
}

type hostYAML struct {
	Origin string      `yaml:"origin"`
	Routes []routeYAML `yaml:"routes"`
}

type routeYAML struct {
	Name      string            `yaml:"name"`
	Path      string            `yaml:"path,omitempty"`
	Prefix    string            `yaml:"prefix,omitempty"`
	Regex     string            `yaml:"regex,omitempty"`
	Priority  int               `yaml:"priority,omitempty"`
	Upstream  string            `yaml:"upstream,omitempty"`
	Upstreams map[string]int    `yaml:"upstreams,omitempty"`
	Redirect  map[string]any    `yaml:"redirect,omitempty"`
	Respond   map[string]any    `yaml:"respond,omitempty"`
	Rewrite   map[string]string `yaml:"rewrite,omitempty"`
	Timeout   string            `yaml:"timeout,omitempty"`
	Idle      string            `yaml:"idle_timeout,omitempty"`
	Upgrades  []string          `yaml:"upgrades,omitempty,flow"`
	Pass      bool              `yaml:"pass_identity_headers,omitempty"`
	PassAuth  bool              `yaml:"pass_authorization,omitempty"`
}

// routesFile writes the routes, and the gate's own.
func (im *importer) routesFile() ([]byte, error) {
	y := routesYAML{Gate: im.gate, Listen: "0.0.0.0:443", SetHeaders: []string{"x-pomerium-*"}, Upstreams: map[string]upstreamYAML{}}
	for _, r := range im.routes {
		route := im.routeYAML(r, y.Upstreams)
		i := slices.IndexFunc(y.Hosts, func(h hostYAML) bool { return h.Origin == r.origin })
		if i < 0 {
			i = len(y.Hosts)
			y.Hosts = append(y.Hosts, hostYAML{Origin: r.origin})
		}
		y.Hosts[i].Routes = append(y.Hosts[i].Routes, route)
		for _, h := range r.set {
			y.SetHeaders = append(y.SetHeaders, h.name)
		}
		for _, n := range r.remove {
			if n != "cookie" && n != "authorization" {
				y.SetHeaders = append(y.SetHeaders, n)
			}
		}
		for _, h := range r.respond {
			y.ResponseHeaders = append(y.ResponseHeaders, h.name)
		}
	}
	y.SetHeaders = slices.DeleteFunc(unique(y.SetHeaders), func(n string) bool {
		return strings.HasPrefix(n, "x-pomerium-") && n != "x-pomerium-*"
	})
	y.ResponseHeaders = unique(y.ResponseHeaders)
	y.Hosts = append(y.Hosts, hostYAML{Origin: im.gate, Routes: []routeYAML{{Name: "gate", Prefix: "/", Upstream: "gate", PassAuth: true}}})
	var doc yaml.Node
	if err := doc.Encode(y); err != nil {
		return nil, err
	}
	doc.HeadComment = "Routes of " + comment(im.name) + "; docs/routes.md says what else there is."
	return encode(&doc)
}

// unique sorts, and leaves out what is there twice.
func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func (im *importer) routeYAML(r *routeModel, upstreams map[string]upstreamYAML) routeYAML {
	y := routeYAML{
		Name: r.name, Path: r.match.path, Prefix: r.match.trimmed(), Regex: r.match.regex,
		Redirect: r.target.redirect, Respond: r.target.respond, Rewrite: r.rewrite, Pass: *r.passIdentity, Priority: r.priority,
	}
	if len(r.target.endpoints) == 0 {
		y.Rewrite, y.Pass = nil, false // there is nobody to pass them to
		return y
	}
	if p := strings.TrimSuffix(r.target.path, "/"); p != "" {
		if r.match.prefix != "" && y.Rewrite["prefix"] == "" {
			y.Rewrite["prefix"] = p + strings.TrimSuffix(r.match.trimmed(), "/")
		} else {
			im.note(r.line, Look, r.name, "to", "its path %s is not put before the request's; see rewrite in docs/routes.md", clip(p))
		}
	}
	y.Timeout, y.Upgrades = span(r.timeout), r.upgrades
	if r.idle != nil {
		y.Idle = span(*r.idle)
	}
	y.Upstream, y.Upstreams = upstream(r, upstreams)
	return y
}

func span(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%ds", int64(d/time.Second))
	}
	return d.String()
}

// upstream gives a route's endpoints a name, or with weights one each.
func upstream(r *routeModel, all map[string]upstreamYAML) (name string, weights map[string]int) {
	var t *tlsYAML
	if m := r.target.tls; m != nil {
		t = &tlsYAML{CA: m.ca, ServerName: m.serverName, Cert: m.cert, Key: m.key}
	}
	if !slices.ContainsFunc(r.target.endpoints, func(e endpoint) bool { return e.weight >= 0 }) {
		var list []string
		for _, e := range r.target.endpoints {
			if !slices.Contains(list, e.address) {
				list = append(list, e.address)
			}
		}
		return upstreamName(all, upstreamYAML{list, t}), nil
	}
	weights = map[string]int{}
	for _, e := range r.target.endpoints {
		weights[upstreamName(all, upstreamYAML{[]string{e.address}, t})] += max(1, e.weight)
	}
	return "", weights
}

// upstreamName is that of an upstream that is there, or a new one by its host.
func upstreamName(all map[string]upstreamYAML, u upstreamYAML) string {
	host := u.Address[0][:strings.LastIndexByte(u.Address[0], ':')]
	base := strings.Trim(notName.ReplaceAllString(strings.ToLower(host), "-"), "-")
	base = base[:min(len(base), 40)]
	if base == "" || base[0] >= '0' && base[0] <= '9' || base == "gate" {
		base = strings.TrimSuffix("upstream-"+base, "-")
	}
	name := base
	for i := 2; ; i++ {
		old, taken := all[name]
		if !taken {
			all[name] = u
			return name
		}
		if slices.Equal(old.Address, u.Address) && (old.TLS == nil && u.TLS == nil || old.TLS != nil && u.TLS != nil && *old.TLS == *u.TLS) {
			return name
		}
		name = fmt.Sprintf("%s-%d", base, i)
	}
}
