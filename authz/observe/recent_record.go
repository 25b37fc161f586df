package observe

import (
	"net/netip"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// Bounds of the lists of one record.
const (
	maxRecordedHeaders = 32
	maxRecordedReasons = 16
)

// span is a text in a slot.
type span struct{ from, to uint32 }

// recordedFields are what a slot holds besides its text. Only values that are
// immutable or owned by nobody are kept as they are.
type recordedFields struct {
	used        bool
	time        time.Time
	took        time.Duration
	id, method  span
	scheme      span
	host, path  span
	protocol    span
	routeName   span
	revision    span
	principal   span
	nHeaders    int
	nReasons    int
	route       *authz.Route
	session     *session.Session
	source      netip.AddrPort
	destination netip.AddrPort
	verdict     authz.Verdict
	status      int
	judged      bool
	generation  uint64
	limited     bool
	limitName   span
	limitKey    span
	limit       authz.Charge // without its texts
	spent       authz.Spent
	left        leftOut
}

// recordedLists are the lists of a record, as far as nHeaders and nReasons go.
// They stand apart so that a slot is not cleared of them for every decision: it
// is as much memory as all the rest, and none of it in any cache.
type recordedLists struct {
	headers [maxRecordedHeaders][2]span
	reasons [maxRecordedReasons]span
}

// leftOut are marks of what a record lacks.
type leftOut uint8

const (
	leftCredentials leftOut = 1 << iota
	leftParameters
	leftClaims
	leftShortened
)

var leftOutNames = []struct {
	mark leftOut
	name string
}{
	{leftCredentials, "headers that may hold credentials (cookie, authorization, …)"},
	{leftParameters, "values of parameters that may be secrets, and where they stand elsewhere"},
	{leftClaims, "the session's claims, which are larger than is remembered"},
	{leftShortened, "parts of the request that are longer than is remembered"},
}

// record fills a slot anew, but for the session. The slot's lock is held.
func (s *recentSlot) record(r *authz.Request, o *authz.Outcome, took time.Duration) {
	text := s.text[:0]
	if cap(text) > maxRecorded {
		text = nil
	}
	s.text, s.recordedFields = text, recordedFields{
		used: true, time: r.Time, took: took, route: r.Route, source: r.Source.Addr, destination: r.Destination.Addr,
		verdict: o.Verdict, status: o.Status, spent: o.Spent,
	}
	s.id = s.put(r.ID, maxID)
	s.method = s.put(r.Method, maxMethod)
	s.scheme = s.put(r.Scheme, maxMethod)
	var secrets authz.Secrets
	secret := secrets.Request(r)
	s.host = s.put(s.hidden(r.Host, &secrets), maxHost)
	s.protocol = s.put(r.Protocol, maxMethod)
	s.routeName = s.put(r.RouteName, maxID)
	s.principal = s.put(r.Source.Principal, maxRecordedText)
	s.recordPath(r.Path, &secrets)
	s.recordHeaders(r.Headers, &secrets, secret)
	for i := range min(len(o.Reasons), maxRecordedReasons) {
		s.reasons[i] = s.put(s.hidden(o.Reasons[i], &secrets), 64)
		s.nReasons++
	}
	if o.Decision != nil {
		s.judged, s.generation = true, o.Decision.Generation
		s.revision = s.put(o.Decision.Revision, maxID)
	}
	if c := o.Charge; c != nil {
		s.limited, s.limit = true, authz.Charge{Rate: c.Rate, Burst: c.Burst, Cost: c.Cost}
		s.limitName, s.limitKey = s.put(s.hidden(c.Name, &secrets), 256), s.put(s.hidden(c.Key, &secrets), 256)
	}
}

// put appends a text, at most limit bytes of it and no more than fit a record.
func (s *recentSlot) put(text string, limit int) span {
	if limit = min(limit, maxRecorded-len(s.text)); len(text) > limit {
		text = text[:limit]
		s.left |= leftShortened
	}
	from := uint32(len(s.text))
	s.text = append(s.text, text...)
	return span{from, uint32(len(s.text))}
}

// recordPath keeps the query, since policy may have read it, but masks what may
// be secret: links to sign in or to share carry codes and signatures.
func (s *recentSlot) recordPath(path string, secrets *authz.Secrets) {
	shown := secrets.ShownPath()
	if shown != path {
		s.left |= leftParameters
	}
	s.path = s.put(shown, maxRecordedPath)
}

// recordHeaders leaves out those that secret has a bit for.
func (s *recentSlot) recordHeaders(hs authz.Headers, secrets *authz.Secrets, secret uint64) {
	for i := range hs {
		name, value := hs[i].Name, hs[i].Value
		if strings.HasPrefix(name, ":") {
			continue // the path and the host again, unmasked
		}
		if secret>>i&1 != 0 || i >= 64 && authz.SecretHeader(name) {
			s.left |= leftCredentials
			continue
		}
		if authz.AddressHeader(name) {
			value = authz.MaskForeign(value)
		}
		if s.nHeaders == maxRecordedHeaders {
			s.left |= leftShortened
			return
		}
		s.headers[s.nHeaders] = [2]span{s.put(name, maxID), s.put(s.hidden(value, secrets), maxRecordedText)}
		s.nHeaders++
	}
}

// hidden is a text without the request's secrets.
func (s *recentSlot) hidden(text string, secrets *authz.Secrets) string {
	shown := secrets.Hide(text)
	if shown != text {
		s.left |= leftParameters
	}
	return shown
}

func (s *recentSlot) get(x span) string { return string(s.text[x.from:x.to]) }

func (s *recentSlot) isID(id string) bool { return string(s.text[s.id.from:s.id.to]) == id }

// read copies a slot out. The slot's lock is held.
func (s *recentSlot) read() Recorded {
	r := &authz.Request{
		Time: s.time, ID: s.get(s.id), Method: s.get(s.method), Scheme: s.get(s.scheme), Host: s.get(s.host), Path: s.get(s.path),
		Protocol: s.get(s.protocol), Route: s.route, RouteName: s.get(s.routeName),
		Source: authz.Peer{Addr: s.source, Principal: s.get(s.principal)}, Destination: authz.Peer{Addr: s.destination},
	}
	if r.RouteName != "" {
		r.Extensions = map[string]string{"route": r.RouteName}
	}
	for _, h := range s.headers[:s.nHeaders] {
		r.Headers = append(r.Headers, authz.Header{Name: s.get(h[0]), Value: s.get(h[1])})
	}
	out := Recorded{
		Request: r, Verdict: s.verdict, Status: s.status, JudgedByPolicy: s.judged, Revision: s.get(s.revision),
		Generation: s.generation, Took: s.took, Spent: s.spent,
	}
	for _, x := range s.reasons[:s.nReasons] {
		out.Reasons = append(out.Reasons, s.get(x))
	}
	if s.limited {
		c := s.limit
		c.Name, c.Key = s.get(s.limitName), s.get(s.limitKey)
		out.Limit = &c
	}
	masked := false
	if r.Session, masked = authz.MaskSession(s.session); masked {
		out.LeftOut = append(out.LeftOut, "claims that may be secrets")
	}
	for _, x := range leftOutNames {
		if s.left&x.mark != 0 {
			out.LeftOut = append(out.LeftOut, x.name)
		}
	}
	return out
}
