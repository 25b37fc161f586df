package wire

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"

	"github.com/neosc/gate/authz"
)

// ErrMalformed is what Scan returns for bytes that are no CheckRequest.
var ErrMalformed = errors.New("the check is no well-formed CheckRequest")

// Scanner reads CheckRequests, one at a time. The zero value is ready; keeping
// it keeps its room. Not safe for concurrent use.
type Scanner struct {
	r                   *authz.Request
	source, destination peer
	mapped              []authz.Header // entries of the headers map, as they came
}

// keptFields is how much room a Scanner keeps from one message to the next.
const keptFields = 256

// Scan reads a CheckRequest's bytes into r, which must be fresh or reset: the
// method, path, host, scheme and protocol as Envoy sent them, headers, context
// extensions and both ends of the connection. Header names are put in lower
// case. Raw headers (encode_raw_headers keeps duplicates apart and bytes as
// they came) are taken where there are any, else the map form, by name.
//
// All strings in r are parts of m. The result is how many fields the map form
// had, which r does not tell where there were raw headers. On ErrMalformed,
// r holds what was read up to the fault and must not be used.
func (s *Scanner) Scan(m string, r *authz.Request) (mapped int, err error) {
	s.r = r
	ok := s.check(m)
	if ok {
		r.Source, r.Destination = s.source.domain(), s.destination.domain()
		mapped = s.foldMapped()
	}
	s.reset()
	if !ok {
		return 0, ErrMalformed
	}
	return mapped, nil
}

// reset lets go of the message.
func (s *Scanner) reset() {
	s.r, s.source, s.destination = nil, peer{}, peer{}
	clear(s.mapped)
	if s.mapped = s.mapped[:0]; cap(s.mapped) > keptFields {
		s.mapped = nil
	}
}

// check reads CheckRequest.
func (s *Scanner) check(m string) bool {
	f := fields{m: m}
	for f.next() {
		if f.tag == 1<<3|bytesType && !s.attributes(f.value) {
			return false
		}
	}
	return f.whole()
}

// attributes reads AttributeContext.
func (s *Scanner) attributes(m string) bool {
	f := fields{m: m}
	for f.next() {
		ok := true
		switch f.tag {
		case 1<<3 | bytesType:
			ok = s.source.read(f.value)
		case 2<<3 | bytesType:
			ok = s.destination.read(f.value)
		case 4<<3 | bytesType:
			ok = s.request(f.value)
		case 10<<3 | bytesType:
			ok = s.extension(f.value)
		case 11<<3 | bytesType, 13<<3 | bytesType: // metadata of the request and of the route
			ok = generated(f.value, &corev3.Metadata{}, 2)
		case 12<<3 | bytesType:
			ok = s.tlsSession(f.value)
		}
		if !ok {
			return false
		}
	}
	return f.whole()
}

// request reads AttributeContext.Request.
func (s *Scanner) request(m string) bool {
	f := fields{m: m}
	for f.next() {
		ok := true
		switch f.tag {
		case 1<<3 | bytesType:
			ok = timestamp(f.value)
		case 2<<3 | bytesType:
			ok = s.http(f.value)
		}
		if !ok {
			return false
		}
	}
	return f.whole()
}

// http reads AttributeContext.HttpRequest.
func (s *Scanner) http(m string) bool {
	r := s.r
	f := fields{m: m}
	for f.next() {
		ok := true
		switch f.tag {
		case 2<<3 | bytesType:
			r.Method, ok = f.value, utf8.ValidString(f.value)
		case 3<<3 | bytesType:
			var h authz.Header
			h.Name, h.Value, ok = mapEntry(f.value)
			s.mapped = append(s.mapped, h)
		case 4<<3 | bytesType:
			r.Path, ok = f.value, utf8.ValidString(f.value)
		case 5<<3 | bytesType:
			r.Host, ok = f.value, utf8.ValidString(f.value)
		case 6<<3 | bytesType:
			r.Scheme, ok = f.value, utf8.ValidString(f.value)
		case 10<<3 | bytesType:
			r.Protocol, ok = f.value, utf8.ValidString(f.value)
		case 1<<3 | bytesType, 7<<3 | bytesType, 8<<3 | bytesType, 11<<3 | bytesType: // id, query, fragment, body
			ok = utf8.ValidString(f.value)
		case 13<<3 | bytesType:
			ok = s.headerMap(f.value)
		}
		if !ok {
			return false
		}
	}
	return f.whole()
}

// extension reads an entry of context_extensions.
func (s *Scanner) extension(m string) bool {
	key, value, ok := mapEntry(m)
	if !ok {
		return false
	}
	if s.r.Extensions == nil {
		s.r.Extensions = make(map[string]string, 2)
	}
	s.r.Extensions[key] = value
	return true
}

// foldMapped puts the map's last entry for each key in the order of the names
// and, where no raw headers came, into the request.
func (s *Scanner) foldMapped() (distinct int) {
	if len(s.mapped) == 0 {
		return 0
	}
	sortByName(s.mapped)
	fields := s.mapped[:0]
	for i, h := range s.mapped {
		if i+1 == len(s.mapped) || s.mapped[i+1].Name != h.Name {
			fields = append(fields, h)
		}
	}
	distinct = len(fields)
	if len(s.r.Headers) > 0 {
		return distinct
	}
	lowered := false
	for _, h := range fields {
		name := strings.ToLower(h.Name)
		lowered = lowered || name != h.Name
		s.r.Headers = append(s.r.Headers, authz.Header{Name: name, Value: h.Value})
	}
	if lowered {
		sortByName(s.r.Headers)
	}
	return distinct
}

// fewFields is up to how many fields are put in order one by one. A request has
// a dozen, and this takes half of the time there; more would take its square.
const fewFields = 32

// sortByName puts fields in the order of their names; equal ones keep theirs.
func sortByName(hs []authz.Header) {
	if len(hs) > fewFields {
		slices.SortStableFunc(hs, func(a, b authz.Header) int { return cmp.Compare(a.Name, b.Name) })
		return
	}
	for i := 1; i < len(hs); i++ {
		h, at := hs[i], i
		for ; at > 0 && h.Name < hs[at-1].Name; at-- {
			hs[at] = hs[at-1]
		}
		hs[at] = h
	}
}

// mapEntry reads an entry of a map<string, string>; a key or value that is
// absent is "".
func mapEntry(m string) (key, value string, ok bool) {
	f := fields{m: m}
	for f.next() {
		ok := true
		switch f.tag {
		case 1<<3 | bytesType:
			key, ok = f.value, utf8.ValidString(f.value)
		case 2<<3 | bytesType:
			value, ok = f.value, utf8.ValidString(f.value)
		}
		if !ok {
			return "", "", false
		}
	}
	return key, value, f.whole()
}

// tlsSession reads TLSSession, which is one text: the server name.
func (s *Scanner) tlsSession(m string) bool {
	f := fields{m: m}
	for f.next() {
		if f.tag != 1<<3|bytesType {
			continue
		}
		if s.r.SNI = f.value; !utf8.ValidString(f.value) {
			return false
		}
	}
	return f.whole()
}

// timestamp reads google.protobuf.Timestamp: two varints, so that only its form
// can be wrong. Every request has one; it is not the decision's clock.
func timestamp(m string) bool {
	f := fields{m: m}
	for f.next() { // only for its form
	}
	return f.whole()
}

// generated has the generated code look at a message that is rarely there, at
// its depth below CheckRequest. Pieces of one message that come apart are looked
// at apart, which gives the same verdict: the whole is taken when each piece is.
func generated(m string, into proto.Message, depth int) bool {
	if m == "" {
		return true
	}
	return proto.UnmarshalOptions{RecursionLimit: maxDepth - depth}.Unmarshal([]byte(m), into) == nil
}
