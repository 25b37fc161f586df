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
	{leftParameters, "values of query parameters that may be secrets"},
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
	s.host = s.put(r.Host, maxHost)
	s.protocol = s.put(r.Protocol, maxMethod)
	s.routeName = s.put(r.RouteName, maxID)
	s.principal = s.put(r.Source.Principal, maxRecordedText)
	s.recordPath(r)
	s.recordHeaders(r.Headers)
	for i := range min(len(o.Reasons), maxRecordedReasons) {
		s.reasons[i] = s.put(o.Reasons[i], 64)
		s.nReasons++
	}
	if o.Decision != nil {
		s.judged, s.generation = true, o.Decision.Generation
		s.revision = s.put(o.Decision.Revision, maxID)
	}
	if c := o.Charge; c != nil {
		s.limited, s.limit = true, authz.Charge{Rate: c.Rate, Burst: c.Burst, Cost: c.Cost}
		s.limitName, s.limitKey = s.put(c.Name, 256), s.put(c.Key, 256)
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
func (s *recentSlot) recordPath(r *authz.Request) {
	path, query := r.SplitPath()
	if query == "" {
		s.path = s.put(r.Path, maxRecordedPath)
		return
	}
	start := s.put(path, maxRecordedPath)
	end := s.put("?", 1)
	for first := true; query != ""; first = false {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, has := strings.Cut(pair, "=")
		if !first {
			end = s.put("&", 1)
		}
		end = s.put(name, maxRecordedText)
		if !has {
			continue
		}
		if secretParameter(name) {
			value = maskedParameter
			s.left |= leftParameters
		}
		s.put("=", 1)
		end = s.put(value, maxRecordedText)
	}
	s.path = span{start.from, end.to}
}

// maskedParameter stands in queries, where authz.Masked would have to be escaped.
const maskedParameter = "masked"

// secretParameter takes an escaped name for a secret one: nobody writes
// "t%6Fken" by accident.
func secretParameter(name string) bool {
	return strings.Contains(name, "%") || authz.SecretParameter(name)
}

func (s *recentSlot) recordHeaders(hs authz.Headers) {
	for i := range hs {
		name := hs[i].Name
		if strings.HasPrefix(name, ":") {
			continue // the path and the host again, unmasked
		}
		if authz.SecretHeader(name) {
			s.left |= leftCredentials
			continue
		}
		value := hs[i].Value
		if name == "referer" { // another page's query, of which nothing is known
			value, _, _ = strings.Cut(value, "?")
		}
		if s.nHeaders == maxRecordedHeaders {
			s.left |= leftShortened
			return
		}
		s.headers[s.nHeaders] = [2]span{s.put(name, maxID), s.put(value, maxRecordedText)}
		s.nHeaders++
	}
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
