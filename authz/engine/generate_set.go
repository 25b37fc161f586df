package engine

import (
	"net/url"
	"slices"

	"github.com/neosc/gate/authz"
)

// set gives the request's value for a slot anew; sometimes there is none.
func (g *generator) set(r *authz.Request, s *slot) {
	absent := g.IntN(6) == 0
	switch s.kind {
	case slotSession:
		if absent {
			r.Session = nil
		} else if r.Session == nil {
			r.Session = g.session(r.Time)
		}
	case slotSource, slotSourceAddress, slotSourcePort, slotSourcePrincipal:
		r.Source = g.peer()
	case slotDestination, slotDestinationAddress, slotDestinationPort, slotDestinationPrincipal:
		r.Destination = g.peer()
	case slotIdentityHeaders, slotPrefix:
		r.Route.PassIdentityHeaders = !absent
	case slotID:
		r.ID = g.text()
	case slotMethod:
		r.Method = g.usual("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS")
	case slotPath, slotParsedPath:
		r.Path = g.path()
	case slotHost:
		r.Host = g.text()
	case slotScheme:
		r.Scheme = g.usual("https", "http")
	case slotProtocol:
		r.Protocol = g.usual("HTTP/1.1", "HTTP/2")
	case slotTime:
		r.Time = g.instant()
	case slotHeader:
		g.setHeader(r, s.name, absent)
	case slotExtension:
		delete(r.Extensions, s.name)
		if !absent {
			r.Extensions[s.name] = g.text()
		}
	case slotRouteName:
		r.Route.Name = g.text()
	case slotQuery:
		path, _ := r.SplitPath()
		if r.Path = path; !absent {
			r.Path += "?" + url.QueryEscape(s.name) + "=" + url.QueryEscape(g.text())
		}
	case slotSetting:
		r.Route.Policy = g.putAt(r.Route.Policy, s.path, r, absent)
	case slotDocument, slotAlways:
	default:
		if r.Session == nil {
			r.Session = g.session(r.Time)
		}
		g.setSession(r, s, absent)
	}
}

func (g *generator) setHeader(r *authz.Request, name string, absent bool) {
	r.Headers = slices.DeleteFunc(r.Headers, func(h authz.Header) bool { return h.Name == name })
	if absent {
		return
	}
	for range 1 + g.IntN(2) {
		r.Headers = append(r.Headers, authz.Header{Name: name, Value: g.text()})
	}
}

func (g *generator) setSession(r *authz.Request, s *slot, absent bool) {
	id := &r.Session.Identity
	switch s.kind {
	case slotKindOfSession:
		r.Session.Kind = anyKind[g.IntN(len(anyKind))]
	case slotSessionID:
		r.Session.Key[0] = byte(g.IntN(4))
	case slotUserID:
		id.UserID = g.text()
	case slotEmail:
		id.Email = g.text()
	case slotUserName:
		id.Name = g.text()
	case slotOrganization:
		id.Organization = g.text()
	case slotProvider:
		id.Provider = g.text()
	case slotRoles:
		id.Roles = g.texts()
	case slotGroups:
		id.Groups = g.texts()
	case slotAMR:
		id.AMR = g.texts()
	case slotEmailVerified:
		id.EmailVerified = !absent
	case slotAuthenticatedAt:
		id.AuthenticatedAt = g.instant()
	case slotExpiresAt:
		r.Session.ExpiresAt = g.instant()
	case slotClaim:
		id.Claims = g.putAt(id.Claims, s.path, r, absent)
	}
}

// putAt returns m with another value at a path, or none.
func (g *generator) putAt(m map[string]any, path []string, r *authz.Request, absent bool) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	switch {
	case len(path) == 0:
		if m, ok := g.value(r.Time, 0).(map[string]any); ok {
			return m
		}
	case len(path) == 1 && absent:
		delete(out, path[0])
	case len(path) == 1 || g.IntN(8) == 0:
		out[path[0]] = g.value(r.Time, 0)
	default:
		inner, _ := out[path[0]].(map[string]any)
		out[path[0]] = g.putAt(inner, path[1:], r, absent)
	}
	return out
}
