package engine

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// keyer writes cache keys: all that a program reads of a request, presence and
// type included, in the order of its slots, so that equal keys mean equal slots.
// What depends on route and session alone is written once for each.
type keyer struct {
	builder                 *builder
	request, route, session []slot
	routes                  *parts[authz.Route, []byte]
	sessions                *parts[session.Session, []byte]
}

// newKeyer returns nil for a program whose slots are hardly ever the same twice:
// one that reads the whole input, the request's id or its time.
func newKeyer(b *builder, t *slots) *keyer {
	if t.document {
		return nil
	}
	k := &keyer{builder: b, route: t.route, session: t.session, routes: newParts[authz.Route, []byte](256), sessions: newParts[session.Session, []byte](4096)}
	wholePath := slices.ContainsFunc(t.request, func(s slot) bool { return s.kind == slotPath })
	for _, s := range t.request {
		switch {
		case s.kind == slotID, s.kind == slotTime:
			return nil
		case wholePath && (s.kind == slotParsedPath || s.kind == slotQuery): // path says them too
		default:
			k.request = append(k.request, s)
		}
	}
	return k
}

// append writes r's key.
func (k *keyer) append(to []byte, r *authz.Request) []byte {
	for i := range k.request {
		to = k.request[i].appendKey(to, k.builder, r)
	}
	route, ok := k.routes.get(r.Route)
	if !ok {
		if route = k.part(k.route, r); len(route) <= maxPart {
			k.routes.put(r.Route, route)
		}
	}
	of, ok := k.sessions.get(r.Session)
	if !ok {
		if of = k.part(k.session, r); len(of) <= maxPart {
			k.sessions.put(r.Session, of)
		}
	}
	return append(append(to, route...), of...)
}

// appendBlank writes the key of all requests that differ from r in the texts of its
// open holes alone.
func (k *keyer) appendBlank(to []byte, r *authz.Request, h *holes, open []string) []byte {
	for _, list := range [][]slot{k.request, k.route, k.session} {
		for i := range list {
			if hole := h.at[list[i].index]; hole >= 0 && open[hole] != "" {
				to = append(to, keyHole)
			} else {
				to = list[i].appendKey(to, k.builder, r)
			}
		}
	}
	return to
}

func (k *keyer) part(list []slot, r *authz.Request) (to []byte) {
	for i := range list {
		to = list[i].appendKey(to, k.builder, r)
	}
	return to
}

// Beginnings of what is written for a slot, which say how long it is.
const (
	keyAbsent = iota
	keyPresent
	keyText
	keyList
	keyObject
	keyNumber
	keyTrue
	keyFalse
	keyNull
	keyAddressBytes
	keyHole // a text, whichever
)

func (s *slot) appendKey(to []byte, b *builder, r *authz.Request) []byte {
	switch k := s.kind; {
	case k <= slotIdentityHeaders:
		if !s.there(r) {
			return append(to, keyAbsent)
		}
		return append(to, keyPresent)
	case k == slotSourceAddress:
		return appendPeer(to, r.Source)
	case k == slotDestinationAddress:
		return appendPeer(to, r.Destination)
	case k <= slotKindOfSession:
		text, ok := s.text(b, r)
		if !ok {
			return append(to, keyAbsent)
		}
		return appendText(to, text)
	case k == slotParsedPath:
		path, _ := r.SplitPath()
		return appendText(to, path)
	case k <= slotAMR:
		list, ok := s.list(r, nil)
		if !ok {
			return append(to, keyAbsent)
		}
		return appendTexts(to, list)
	case k == slotEmailVerified:
		if r.Session == nil {
			return append(to, keyAbsent)
		}
		return appendJSON(to, r.Session.Identity.EmailVerified)
	case k == slotSourcePort:
		return appendPort(to, r.Source)
	case k == slotDestinationPort:
		return appendPort(to, r.Destination)
	}
	x, ok := s.value(r)
	if !ok {
		return append(to, keyAbsent)
	}
	if _, object := x.(map[string]any); object && !s.whole { // what is read of it has slots of its own
		return append(to, keyPresent)
	}
	return appendJSON(to, x)
}

// appendPeer writes an address without making a text of it.
func appendPeer(to []byte, p authz.Peer) []byte {
	if !p.Addr.IsValid() {
		return append(to, keyAbsent)
	}
	a := p.Addr.Addr().As16() // as that of the same address mapped into IPv6, which policies see unmapped
	return append(append(to, keyAddressBytes), a[:]...)
}

func appendPort(to []byte, p authz.Peer) []byte {
	if !p.Addr.IsValid() {
		return append(to, keyAbsent)
	}
	return binary.BigEndian.AppendUint16(append(to, keyNumber), p.Addr.Port())
}

func appendText(to []byte, s string) []byte {
	to = binary.AppendUvarint(append(to, keyText), uint64(len(s)))
	return append(to, s...)
}

func appendTexts(to []byte, list []string) []byte {
	to = binary.AppendUvarint(append(to, keyList), uint64(len(list)))
	for _, s := range list {
		to = appendText(to, s)
	}
	return to
}

// appendJSON writes a JSON value; those that a policy sees as one are written
// alike.
func appendJSON(to []byte, x any) []byte {
	switch x := x.(type) {
	case nil:
		return append(to, keyNull)
	case bool:
		if x {
			return append(to, keyTrue)
		}
		return append(to, keyFalse)
	case string:
		return appendText(to, x)
	case []string:
		return appendTexts(to, x)
	case []any:
		to = binary.AppendUvarint(append(to, keyList), uint64(len(x)))
		for _, e := range x {
			to = appendJSON(to, e)
		}
		return to
	case map[string]any:
		to = binary.AppendUvarint(append(to, keyObject), uint64(len(x)))
		for _, name := range slices.Sorted(maps.Keys(x)) {
			to = appendJSON(appendText(to, name), x[name])
		}
		return to
	}
	text, _ := numberText(x) // anything else no policy gets to see
	return append(appendText(append(to, keyNumber), text), keyNumber)
}

// maxPart is the most bytes of one part of a key that are kept.
const maxPart = 8 << 10
