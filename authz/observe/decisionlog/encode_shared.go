package decisionlog

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/session"
)

// shared keeps what was written of sessions, routes and rules: most requests
// come with those that others came with. Each is immutable and known by its
// address; who is kept holds on to it, so that no other takes that address.
type shared struct {
	prefix   string // of identity headers
	sessions [4096]atomic.Pointer[sessionText]
	routes   [64]atomic.Pointer[routeText]
	rules    atomic.Pointer[rulesText]
}

type sessionText struct {
	of                   *session.Session
	text, masked, erased []byte
}

type routeText struct {
	of   *authz.Route
	text []byte
}

type rulesText struct {
	of    *authz.Rule // the first one's address is the list's
	texts [][]byte
}

// ruleNames returns the rules as JSON strings: name and place.
func (x *shared) ruleNames(rules []authz.Rule) [][]byte {
	if len(rules) == 0 {
		return nil
	}
	if have := x.rules.Load(); have != nil && have.of == &rules[0] {
		return have.texts
	}
	t := &rulesText{of: &rules[0], texts: make([][]byte, len(rules))}
	for i, r := range rules {
		b := observe.AppendText([]byte{'"'}, r.Name+" "+r.At, maxValue)
		t.texts[i] = append(b, '"')
	}
	x.rules.Store(t)
	return t.texts
}

// route returns "route":{…} of the input.
func (x *shared) route(r *authz.Route) []byte {
	if r == nil {
		return []byte(`"route":{"name":"","policy":{}}`)
	}
	place := 31 * len(r.Name)
	if r.Name != "" {
		place += int(r.Name[0])
	}
	at := &x.routes[place%len(x.routes)]
	if have := at.Load(); have != nil && have.of == r {
		return have.text
	}
	e := encoder{b: []byte(`"route":{"name":`)}
	e.text(r.Name, maxShort, "")
	e.b = append(e.b, `,"policy":`...)
	policy, err := json.Marshal(r.Policy)
	if err != nil || r.Policy == nil {
		policy = []byte("{}") // the routes file's loader lets nothing else than JSON through
	}
	e.b = append(e.b, policy...)
	if r.PassIdentityHeaders {
		e.b = append(e.b, `,"identity_headers":{"prefix":`...)
		e.text(x.prefix, maxShort, "")
		e.b = append(e.b, '}')
	}
	e.b = append(e.b, '}')
	at.Store(&routeText{r, e.b})
	return e.b
}

// session returns "session":{…} of the input, its claims without secrets. It has
// two places where it may be kept: with one alone, a fifth of a thousand sessions
// drove each other out.
func (x *shared) session(s *session.Session) *sessionText {
	first, second := x.place(s.Key[0], s.Key[1]), x.place(s.Key[2], s.Key[3])
	at := first.Load()
	if at != nil && at.of == s {
		return at
	}
	other := second.Load()
	if other != nil && other.of == s {
		return other
	}
	e := encoder{b: []byte(`"session":{"id":"`)}
	e.sessionFields(s)
	t := &sessionText{of: s, text: e.b, masked: e.masked, erased: e.erased}
	if at != nil && (other == nil || s.Key[4]&1 != 0) {
		first = second
	}
	first.Store(t)
	return t
}

func (x *shared) place(a, b byte) *atomic.Pointer[sessionText] {
	return &x.sessions[(int(a)<<8|int(b))%len(x.sessions)]
}

func (e *encoder) sessionFields(s *session.Session) {
	const user = "/input/session/user"
	id := &s.Identity
	e.b = append(e.b, s.Key.String()...)
	e.b = append(e.b, `","user":{"id":`...)
	e.text(id.UserID, maxShort, user+"/id")
	e.b = append(e.b, `,"email":`...)
	e.text(id.Email, maxShort, user+"/email")
	e.b = append(e.b, `,"email_verified":`...)
	e.b = strconv.AppendBool(e.b, id.EmailVerified)
	if id.Name != "" {
		e.b = append(e.b, `,"name":`...)
		e.text(id.Name, maxShort, user+"/name")
	}
	if id.Organization != "" {
		e.b = append(e.b, `,"organization":`...)
		e.text(id.Organization, maxShort, user+"/organization")
	}
	e.b = append(e.b, `},"roles":`...)
	e.texts(id.Roles, "/input/session/roles")
	e.b = append(e.b, `,"groups":`...)
	e.texts(id.Groups, "/input/session/groups")
	e.b = append(e.b, `,"claims":`...)
	e.claims(id.Claims)
	e.b = append(e.b, `,"provider":`...)
	e.text(id.Provider, maxShort, "/input/session/provider")
	e.b = append(e.b, `,"authenticated_at":`...)
	e.instant(id.AuthenticatedAt)
	e.b = append(e.b, `,"expires_at":`...)
	e.instant(s.ExpiresAt)
	e.b = append(e.b, `,"amr":`...)
	e.texts(id.AMR, "/input/session/amr")
	e.b = append(e.b, `,"kind":`...)
	e.text(string(s.Kind), maxShort, "")
	e.b = append(e.b, '}')
}

// claims writes claims whole but for secrets, or none at all.
func (e *encoder) claims(claims map[string]any) {
	before, masked := len(e.b), len(e.masked)
	if claims == nil {
		claims = map[string]any{}
	}
	e.value(claims, "/input/session/claims", 0)
	if len(e.b)-before > maxClaims {
		e.b, e.masked = append(e.b[:before], `{}`...), e.masked[:masked]
		e.masked = addPointer(e.masked, "/input/session/claims", "")
	}
}

// below is the pointer to what has a name in an object.
func below(pointer, name string) string {
	return string(observe.AppendText(append([]byte(pointer), '/'), escapePointer(name), 2*maxShort))
}

// value writes a JSON value; what lies under a secret name, has the form of a
// token, or lies too deep, is masked.
func (e *encoder) value(v any, pointer string, depth int) {
	if depth > 32 || len(e.b) > 4*maxClaims {
		e.masked = addPointer(e.masked, pointer, "")
		e.b = append(e.b, `"`+authz.Masked+`"`...)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		e.b = append(e.b, '{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				e.b = append(e.b, ',')
			}
			e.entry(k, v[k], pointer, depth)
		}
		e.b = append(e.b, '}')
	case []any:
		e.b = append(e.b, '[')
		for i, x := range v {
			if i > 0 {
				e.b = append(e.b, ',')
			}
			e.value(x, pointer+"/"+strconv.Itoa(i), depth+1)
		}
		e.b = append(e.b, ']')
	case string:
		e.sent(v, maxClaims, pointer)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			e.masked = addPointer(e.masked, pointer, "")
			text = []byte(`"` + authz.Masked + `"`)
		}
		e.b = append(e.b, text...)
	}
}

// entry writes one member of an object. Of one whose name is masked nothing is
// told by its name.
func (e *encoder) entry(k string, v any, pointer string, depth int) {
	e.sent(k, maxShort, pointer) // whatever lies under a name that is cut is not known by it
	e.b = append(e.b, ':')
	shown := e.secrets.Hide(k) == k
	switch {
	case authz.SecretName(k) && shown:
		e.masked = addPointer(e.masked, pointer, k)
		fallthrough
	case authz.SecretName(k):
		e.b = append(e.b, `"`+authz.Masked+`"`...)
	case shown:
		e.value(v, below(pointer, k), depth+1)
	default:
		e.value(v, pointer, depth+1)
	}
}
