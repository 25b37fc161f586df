package engine

import (
	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine/machine"
)

// maxShared is of how many values what is kept of one session or route may
// consist: with 4,096 sessions that is some 40 MB at the very most.
const maxShared = 64

// fillShared fills in what depends on route and session alone. Values of those
// that were seen before are there already: most requests come with a session
// that others came with.
func (t *slots) fillShared(b *builder, f *machine.Frame, r *authz.Request) error {
	route, noted := t.routes.get(r.Route)
	if !noted {
		route = sharedValues(t.route, b, r)
		t.routes.put(r.Route, route)
	}
	of, noted := t.sessions.get(r.Session)
	switch {
	case !noted: // the first time it is noted only: many a session comes just once
		t.sessions.put(r.Session, nil)
	case of == nil:
		of = sharedValues(t.session, b, r)
		t.sessions.put(r.Session, of)
	}
	if len(route) < len(t.route) || len(of) < len(t.session) {
		return t.fillRest(b, f, r, nil)
	}
	for i, v := range route {
		f.Set(t.route[i].index, v)
	}
	for i, v := range of {
		f.Set(t.session[i].index, v)
	}
	return nil
}

// sharedValues makes values of slots, nil for those that are absent; an empty
// list if they are too large to keep, or not in order.
func sharedValues(list []slot, b *builder, r *authz.Request) []*machine.Value {
	values, c := make([]*machine.Value, len(list)), converter{left: maxShared}
	for i := range list {
		x, there := list[i].json(b, r)
		if !there {
			continue
		}
		if _, object := x.(map[string]any); object && !list[i].whole {
			values[i] = machine.Present()
			continue
		}
		if c.check(x, 0) != nil {
			return []*machine.Value{}
		}
		v, err := machine.Of(x)
		if err != nil {
			return []*machine.Value{}
		}
		values[i] = v
	}
	return values
}

// json returns the value of a slot of route or session as JSON; an object that
// is only looked into may be an empty one.
func (s *slot) json(b *builder, r *authz.Request) (x any, there bool) {
	switch k := s.kind; {
	case k <= slotIdentityHeaders:
		return map[string]any(nil), s.there(r)
	case k <= slotKindOfSession:
		return s.text(b, r)
	case k <= slotAMR:
		return s.list(r, nil)
	case k == slotEmailVerified:
		if r.Session == nil {
			return nil, false
		}
		return r.Session.Identity.EmailVerified, true
	default:
		return s.value(r)
	}
}
