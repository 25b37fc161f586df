package engine

import (
	"net/url"
	"slices"
	"strings"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine/machine"
	"github.com/neosc/gate/session"
)

// slotKind says where in a request a slot's value comes from.
type slotKind uint8

const (
	slotDocument slotKind = iota // anywhere else: from the whole input document

	// Objects that are there or not.
	slotAlways
	slotSession
	slotSource
	slotDestination
	slotIdentityHeaders

	// Texts.
	slotID
	slotMethod
	slotPath
	slotHost
	slotScheme
	slotProtocol
	slotTime
	slotHeader
	slotExtension
	slotSourceAddress
	slotSourcePrincipal
	slotDestinationAddress
	slotDestinationPrincipal
	slotRouteName
	slotPrefix
	slotSessionID
	slotUserID
	slotEmail
	slotUserName
	slotOrganization
	slotProvider
	slotAuthenticatedAt
	slotExpiresAt
	slotKindOfSession

	// Lists of texts.
	slotParsedPath
	slotQuery
	slotRoles
	slotGroups
	slotAMR

	// Others.
	slotEmailVerified
	slotSourcePort
	slotDestinationPort
	slotSetting // route.policy, or what lies in it
	slotClaim   // session.claims, or what lies in them
)

// slotKinds are the kinds by path. A path with a name of somebody's choice at its
// end is here without it.
var slotKinds = map[string]slotKind{
	"": slotAlways, "attributes": slotAlways, "attributes.request": slotAlways, "attributes.request.http": slotAlways,
	"attributes.request.http.headers": slotAlways, "attributes.contextExtensions": slotAlways, "parsed_query": slotAlways,
	"attributes.source": slotAlways, "attributes.destination": slotAlways, "route": slotAlways,
	"session": slotSession, "session.user": slotSession,
	"attributes.source.address": slotSource, "attributes.source.address.socketAddress": slotSource,
	"attributes.destination.address": slotDestination, "attributes.destination.address.socketAddress": slotDestination,
	"route.identity_headers": slotIdentityHeaders,

	"attributes.request.http.id": slotID, "attributes.request.http.method": slotMethod, "attributes.request.http.path": slotPath,
	"attributes.request.http.host": slotHost, "attributes.request.http.scheme": slotScheme,
	"attributes.request.http.protocol": slotProtocol, "attributes.request.time": slotTime,
	"attributes.request.http.headers.": slotHeader, "attributes.contextExtensions.": slotExtension, "parsed_query.": slotQuery,
	"attributes.source.address.socketAddress.address": slotSourceAddress, "attributes.source.principal": slotSourcePrincipal,
	"attributes.destination.address.socketAddress.address": slotDestinationAddress, "attributes.destination.principal": slotDestinationPrincipal,
	"attributes.source.address.socketAddress.portValue": slotSourcePort, "attributes.destination.address.socketAddress.portValue": slotDestinationPort,
	"route.name": slotRouteName, "route.identity_headers.prefix": slotPrefix,
	"session.id": slotSessionID, "session.user.id": slotUserID, "session.user.email": slotEmail, "session.user.name": slotUserName,
	"session.user.organization": slotOrganization, "session.user.email_verified": slotEmailVerified, "session.provider": slotProvider,
	"session.authenticated_at": slotAuthenticatedAt, "session.expires_at": slotExpiresAt, "session.kind": slotKindOfSession,
	"session.roles": slotRoles, "session.groups": slotGroups, "session.amr": slotAMR, "parsed_path": slotParsedPath,
}

// slot is one path that a program reads and where its value is to be found.
type slot struct {
	index int
	kind  slotKind
	whole bool
	name  string   // of a header, extension or query parameter
	path  []string // below route.policy or session.claims
	doc   []string // in the input document, for slotDocument
}

// slots are those of a program, by what they depend on: the request, its route
// or its session. Only those of the request differ from request to request, so
// the others' parts of a cache key are put together once.
type slots struct {
	all, request, route, session []slot
	always                       []int // those of objects that are always there
	routes                       *parts[authz.Route, []*machine.Value]
	sessions                     *parts[session.Session, []*machine.Value]
	// document: one at least is not filled from the request itself.
	document bool
}

func slotsOf(p *machine.Program) *slots {
	t := &slots{
		routes:   newParts[authz.Route, []*machine.Value](256),
		sessions: newParts[session.Session, []*machine.Value](4096),
	}
	for i, path := range p.Slots() {
		s := slotOf(path)
		s.index = i
		t.document = t.document || s.kind == slotDocument
		t.all = append(t.all, s)
		switch {
		case s.kind == slotAlways:
			t.always = append(t.always, i)
		case len(path.Segments) > 0 && path.Segments[0] == "session":
			t.session = append(t.session, s)
		case len(path.Segments) > 0 && path.Segments[0] == "route":
			t.route = append(t.route, s)
		default:
			t.request = append(t.request, s)
		}
	}
	return t
}

func slotOf(p machine.Path) slot {
	segments := p.Segments
	s := slot{whole: p.Whole, doc: segments}
	if under(segments, "route", "policy") {
		s.kind, s.path = slotSetting, segments[2:]
		return s
	}
	if under(segments, "session", "claims") {
		s.kind, s.path = slotClaim, segments[2:]
		return s
	}
	n := len(segments) - 1
	dotted := func(segment string) bool { return strings.Contains(segment, ".") }
	if n > 0 && slices.ContainsFunc(segments[:n], dotted) {
		return s // no field of ours has a dot in its name
	}
	kind := slotKinds[strings.Join(segments, ".")]
	if n >= 0 && (kind == slotDocument || dotted(segments[n])) {
		kind = slotKinds[strings.Join(segments[:n], ".")+"."]
		s.name = segments[n]
	}
	if p.Whole && kind <= slotIdentityHeaders { // an object with all that is in it
		kind = slotDocument
	}
	s.kind = kind
	return s
}

func under(segments []string, a, b string) bool {
	return len(segments) >= 2 && segments[0] == a && segments[1] == b
}

// there reports whether an object that is only looked into is there.
func (s *slot) there(r *authz.Request) bool {
	switch s.kind {
	case slotSession:
		return r.Session != nil
	case slotSource:
		return r.Source.Addr.IsValid()
	case slotDestination:
		return r.Destination.Addr.IsValid()
	case slotIdentityHeaders:
		return r.Route != nil && r.Route.PassIdentityHeaders
	}
	return true
}

// list returns the value of a slot that is a list of texts. Segments of the path
// are put into room.
func (s *slot) list(r *authz.Request, room []string) (list []string, there bool) {
	switch s.kind {
	case slotParsedPath:
		return splitPath(r, room), true
	case slotQuery:
		_, raw := r.SplitPath()
		if !strings.Contains(raw, s.name) && !strings.ContainsAny(raw, "%+") {
			return nil, false
		}
		values, _ := url.ParseQuery(raw) // judge has seen that it is sound
		list, there = values[s.name]
		return list, there
	}
	if r.Session == nil {
		return nil, false
	}
	switch s.kind {
	case slotRoles:
		return r.Session.Identity.Roles, true
	case slotGroups:
		return r.Session.Identity.Groups, true
	default:
		return r.Session.Identity.AMR, true
	}
}

// splitPath is r.ParsedPath without garbage where nothing is escaped.
func splitPath(r *authz.Request, room []string) []string {
	path, _ := r.SplitPath()
	if strings.Contains(path, "%") {
		segments, _ := r.ParsedPath() // judge has seen that it is sound
		return segments
	}
	path = strings.TrimLeft(path, "/")
	for {
		segment, rest, more := strings.Cut(path, "/")
		room = append(room, segment)
		if !more {
			return room
		}
		path = rest
	}
}

// found follows a path into JSON values.
func found(m map[string]any, path []string) (x any, there bool) {
	x, there = m, true
	for _, name := range path {
		inner, ok := x.(map[string]any)
		if !ok {
			return nil, false
		}
		if x, there = inner[name]; !there {
			return nil, false
		}
	}
	return x, true
}

// value returns the value of a setting or claim.
func (s *slot) value(r *authz.Request) (x any, there bool) {
	if s.kind == slotClaim {
		if r.Session == nil {
			return nil, false
		}
		return found(r.Session.Identity.Claims, s.path)
	}
	if r.Route == nil {
		return map[string]any(nil), len(s.path) == 0
	}
	return found(r.Route.Policy, s.path)
}

// judgeable refuses what the builder of the input document refuses, without
// building anything.
func judgeable(r *authz.Request) error {
	if len(r.Headers) > maxHeaderFields {
		return badRequest("the request has %d header fields, at most %d are judged", len(r.Headers), maxHeaderFields)
	}
	if len(r.Path) > maxPath {
		return badRequest("the path has %d bytes, at most %d are judged", len(r.Path), maxPath)
	}
	path, query := r.SplitPath()
	if strings.IndexByte(path, '%') >= 0 || len(path) >= maxPathSegments && strings.Count(path, "/") >= maxPathSegments {
		if _, err := parsedPath(r); err != nil {
			return err
		}
	}
	if query != "" && (len(query) >= maxQueryValues || strings.ContainsAny(query, "%;")) {
		if _, err := parsedQuery(r); err != nil {
			return err
		}
	}
	return nil
}
