package route

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Change is one difference between two routes files.
type Change struct {
	// Kind is added, removed or changed.
	Kind string `json:"kind"`
	// What is the thing: "route", "host", "upstream" or "setting", and Name which.
	What string `json:"what"`
	Name string `json:"name"`
	// Field is what of it changed, Old and New its values as people write them.
	Field string `json:"field,omitempty"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
	// Opens: the change lets somebody in unasked who was asked before.
	Opens bool `json:"opens,omitempty"`
}

// Diff lists what next does to f, settings first, then upstreams, hosts and
// routes by name. Two files that mean the same give nothing, however they are
// written.
func (f *File) Diff(next *File) []Change {
	out := compare("setting", f.settings(), next.settings())
	out = append(out, compare("upstream", upstreamFields(f), upstreamFields(next))...)
	out = append(out, compare("host", hostFields(f), hostFields(next))...)
	return append(out, compare("route", routeFields(f), routeFields(next))...)
}

// fields are a thing's, by name; things without one are all there is.
type fields map[string]string

func compare(what string, old, next map[string]fields) []Change {
	var out []Change
	for _, n := range union(old, next) {
		was, isOld := old[n]
		is, isNew := next[n]
		switch {
		case !isOld:
			out = append(out, Change{Kind: "added", What: what, Name: n, New: is.brief(), Opens: is["public"] != ""})
		case !isNew:
			out = append(out, Change{Kind: "removed", What: what, Name: n, Old: was.brief()})
		default:
			for _, key := range union(was, is) {
				if was[key] != is[key] {
					out = append(out, Change{
						Kind: "changed", What: what, Name: n, Field: key, Old: was[key], New: is[key],
						Opens: is["public"] != "" && slices.Contains([]string{"public", "match", "origin"}, key),
					})
				}
			}
		}
	}
	return out
}

func union[V any](a, b map[string]V) []string {
	var keys []string
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// brief names a new or a removed thing.
func (f fields) brief() string {
	var parts []string
	for _, key := range []string{"public", "origin", "match", "to", "address"} {
		if f[key] != "" {
			parts = append(parts, f[key])
		}
	}
	return strings.Join(parts, ", ")
}

func (f *File) settings() map[string]fields {
	return map[string]fields{
		"gate": {"": f.gate}, "listen": {"": f.listen.String()}, "trusted_hops": {"": fmt.Sprint(f.trustedHops)},
		"check_headers": {"": strings.Join(f.forwarded, ", ")}, "set_headers": {"": strings.Join(f.settable.patterns, ", ")},
		"response_headers": {"": strings.Join(f.response.patterns, ", ")}, "strip_headers": {"": strings.Join(f.strip, " ")},
		"shields": {"": f.shields.String()},
	}
}

func upstreamFields(f *File) map[string]fields {
	out := map[string]fields{}
	for _, u := range f.upstreams {
		var addresses []string
		for _, e := range u.Endpoints {
			if e.Socket != "" {
				addresses = append(addresses, "unix:"+e.Socket)
			} else {
				addresses = append(addresses, fmt.Sprintf("%s:%d", e.Host, e.Port))
			}
		}
		x := fields{"address": strings.Join(addresses, ", "), "connect_timeout": u.ConnectTimeout.String(), "health_check": show(u.HealthCheck), "tls": show(u.TLS)}
		if u.HTTP2 {
			x["protocol"] = "http2"
		}
		out[u.Name] = x
	}
	return out
}

func hostFields(f *File) map[string]fields {
	out := map[string]fields{}
	for _, h := range f.hosts {
		out[h.Name] = fields{"origin": h.Origin, "cors": show(h.CORS)}
	}
	return out
}

// routeFields puts a route's entries together again.
func routeFields(f *File) map[string]fields {
	out := map[string]fields{}
	for _, h := range f.hosts {
		for _, e := range h.Entries {
			if x := out[e.Route.Name]; x != nil {
				x["match"] += ", " + e.Match.String()
				continue
			}
			out[e.Route.Name] = entryFields(e)
		}
	}
	return out
}

func entryFields(e Entry) fields {
	r := e.Route
	x := fields{
		"origin": r.Origin, "match": e.Match.String(), "priority": fmt.Sprint(e.Priority), "timeout": e.Timeout.String(),
		"idle_timeout": e.IdleTimeout.String(), "retries": show(e.Retries), "upgrades": strings.Join(e.Upgrades, ", "),
		"pass_identity_headers": fmt.Sprint(r.PassIdentityHeaders), "pass_authorization": fmt.Sprint(r.PassAuthorization),
		"allowed_origins": strings.Join(r.AllowedOrigins, ", "), "policy": show(r.Policy),
		"to": "upstream " + e.Upstream,
	}
	if e.Public {
		x["public"] = "public: nobody is asked"
	}
	switch {
	case e.Weighted != nil:
		x["to"] = "upstreams " + show(e.Weighted)
	case e.Redirect != nil:
		x["to"] = "redirect " + show(e.Redirect)
	case e.Respond != nil:
		x["to"] = fmt.Sprintf("answer %d %q", e.Respond.Status, clip(e.Respond.Body))
	}
	if e.Rewrite != (Rewrite{}) {
		x["rewrite"] = show(e.Rewrite)
	}
	return x
}

// show writes a value with its fields' names, "" for none.
func show(v any) string {
	x := reflect.ValueOf(v)
	if x.Kind() == reflect.Pointer {
		if x.IsNil() {
			return ""
		}
		x = x.Elem()
	}
	if (x.Kind() == reflect.Map || x.Kind() == reflect.Slice) && x.Len() == 0 {
		return ""
	}
	return strings.Trim(fmt.Sprintf("%+v", x.Interface()), "{}")
}
