package decisionlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/observe"
)

// Bounds of one record, in bytes of a value before escaping. What is longer is
// cut and named among what is masked: a replay takes it for unknown.
const (
	maxPath    = 8 << 10
	maxValue   = 4 << 10 // of a header, or of one text of the decision
	maxShort   = 512     // of a name, a host, an identifier
	maxHeaders = 100
	maxClaims  = 32 << 10
)

// encoder writes one record. It is used again.
type encoder struct {
	b        []byte
	masked   []byte // pointers, as the inside of a JSON array
	erased   []byte
	seen     []string // names of headers that are written
	from, to int      // where the request's time is in b
	pathAt   int      // where its path is as a header, if it is
	pathEnd  int
	looks    []byte   // at the headers, by their names
	values   []string // of one parameter
	hidden   int      // parameters, so far
	second   int64    // of which spelt is the text
	spelt    []byte
	named    [16]nameSeen
	// secrets are what the request has under the names of secrets: a policy may
	// have copied them into what it decided, such as the key of a limit.
	secrets authz.Secrets
}

// constant is what is the same in all records of a process.
type constant struct {
	labels []byte // "labels":{…},
	path   []byte // "path":"…",
	boot   []byte // "decision_id":" and the half of it that is a process's own
}

// encode makes the record of one decision, and a newline.
func (e *encoder) encode(c *constant, parts *shared, n uint64, r *authz.Request, o *authz.Outcome, took time.Duration) {
	e.b, e.masked, e.erased, e.seen = append(e.b[:0], '{'), e.masked[:0], e.erased[:0], e.seen[:0]
	e.secrets.Reset()
	e.pathAt, e.pathEnd, e.hidden = 0, 0, 0
	e.b = append(e.b, c.labels...)
	e.id(c, n)
	if d := o.Decision; d != nil {
		e.b = append(e.b, `"bundles":{"policy":{"revision":`...)
		e.text(d.Revision, maxShort, "")
		e.b = append(e.b, `}},`...)
	}
	e.b = append(e.b, c.path...)
	e.b = append(e.b, `"input":`...)
	e.input(parts, r, o)
	if o.Decision != nil {
		e.b = append(e.b, `,"result":`...)
		e.result(o.Decision)
	}
	e.pointers(`,"erased":[`, e.erased)
	e.pointers(`,"masked":[`, e.masked)
	if o.Verdict == authz.Failed && len(o.Reasons) > 0 {
		e.b = append(e.b, `,"error":{"code":`...)
		e.text(o.Reasons[0], maxShort, "")
		e.b = append(e.b, '}')
	}
	if r.Source.Addr.IsValid() {
		e.b = append(e.b, `,"requested_by":"`...)
		e.b = r.Source.Addr.Addr().Unmap().WithZone("").AppendTo(e.b)
		e.b = append(e.b, '"')
	}
	e.b = append(e.b, `,"timestamp":`...)
	e.b = append(e.b, e.b[e.from:e.to]...)
	e.b = append(e.b, `,"metrics":{"timer_server_handler_ns":`...)
	e.b = strconv.AppendInt(e.b, max(0, took.Nanoseconds()), 10)
	e.b = append(e.b, `},"req_id":`...)
	e.b = strconv.AppendUint(e.b, n, 10)
	e.b = append(e.b, `,"custom":{`...)
	e.custom(parts, r, o, took)
	e.b = append(e.b, "}}\n"...)
}

// bootID is the half of a decision's id that is a process's own number.
func bootID(number [8]byte) []byte {
	return fmt.Appendf(nil, `"decision_id":"%x-%x-%x-`, number[:4], number[4:6], number[6:])
}

// id is a process's own number and the record's, spelt as a UUID.
func (e *encoder) id(c *constant, n uint64) {
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], n)
	e.b = append(e.b, c.boot...)
	e.b = hex.AppendEncode(e.b, number[:2])
	e.b = append(e.b, '-')
	e.b = hex.AppendEncode(e.b, number[2:])
	e.b = append(e.b, `",`...)
}

func (e *encoder) pointers(name string, list []byte) {
	if len(list) > 0 {
		e.b = append(append(append(e.b, name...), list...), ']')
	}
}

// text writes a string. One that is cut, or is no UTF-8, is named by pointer
// among what is masked, unless pointer is "".
func (e *encoder) text(s string, limit int, pointer string) {
	if len(s) <= limit {
		if plain, _ := plainText(s); plain {
			e.asItIs(s)
			return
		}
	}
	if pointer != "" && (len(s) > limit || !utf8.ValidString(s)) {
		e.masked = addPointer(e.masked, pointer, "")
	}
	e.b = append(e.b, '"')
	e.b = observe.AppendText(e.b, s, limit)
	e.b = append(e.b, '"')
}

// direct writes a text that came with the request, if it can be without a second
// look: no secret is in it.
func (e *encoder) direct(s string, limit int) bool {
	if len(s) > limit || !e.secrets.None() {
		return false
	}
	plain, token := plainText(s)
	if plain = plain && !token; plain {
		e.asItIs(s)
	}
	return plain
}

func (e *encoder) asItIs(s string) {
	at := len(e.b)
	end := at + len(s) + 2
	if end > cap(e.b) {
		e.b = slices.Grow(e.b, len(s)+2)
	}
	e.b = e.b[:end]
	e.b[at], e.b[end-1] = '"', '"'
	copy(e.b[at+1:], s)
}

// plainText reports whether s is in JSON as it is, eight bytes at a time: printable
// ASCII without quotes and backslashes; and whether a plain one may have the form of
// a token: it is long enough and has the rarest letter of what these begin with.
func plainText(s string) (plain, token bool) {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	js := uint64(0)
	for len(s) >= 8 {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		quote, slash, del, j := w^ones*'"', w^ones*'\\', w^ones*0x7f, w^ones*'J'
		// A byte below n borrows from its high bit; one of 0 is below 1.
		if (w|(w-ones*0x20)|(quote-ones)|(slash-ones)|(del-ones))&high != 0 {
			return false, false
		}
		js |= j - ones
		if len(s) > 8 && len(s) < 16 { // the last eight, of which some are looked at twice
			s = s[len(s)-8:]
			continue
		}
		s = s[8:]
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false, false
		}
	}
	return true, js&high != 0
}

// forget lets go of the requests that it had texts of.
func (e *encoder) forget() {
	clear(e.seen[:cap(e.seen)])
	e.secrets.Reset()
	clear(e.values[:cap(e.values)])
	clear(e.named[:])
}

// sent writes a text that came with the request, or was made of what came with
// it: tokens and the request's secrets are masked in it, which is named.
func (e *encoder) sent(s string, limit int, pointer string) {
	if e.direct(s, limit) {
		return
	}
	if shown := e.secrets.Hide(s); shown != s {
		e.masked = addPointer(e.masked, pointer, "")
		s, pointer = shown, ""
	}
	e.text(s, limit, pointer)
}

// addPointer adds a JSON pointer (RFC 6901) to the inside of an array: a prefix,
// and a name below it that is escaped. What lies under a name that is not written
// whole is not known by it: all that lies beside it is named.
func addPointer(list []byte, prefix, name string) []byte {
	before := len(list)
	if before > 0 {
		list = append(list, ',')
	}
	list = append(list, '"')
	list = append(list, prefix...)
	if name != "" && whole(name) {
		list = append(list, '/')
		list = observe.AppendText(list, escapePointer(name), 2*maxShort) // twice as long when escaped
	}
	return append(list, '"')
}

// whole reports whether a name is in records as it is.
func whole(name string) bool { return len(name) <= maxShort && utf8.ValidString(name) }

func escapePointer(name string) string {
	for i := range len(name) {
		if name[i] == '~' || name[i] == '/' {
			return pointerEscapes.Replace(name)
		}
	}
	return name
}

func (e *encoder) instant(t time.Time) {
	e.b = append(e.b, '"')
	e.b = t.UTC().AppendFormat(e.b, time.RFC3339Nano)
	e.b = append(e.b, '"')
}

// now writes the instant of a request. That of another in the same second is known
// but for its fraction.
func (e *encoder) now(t time.Time) {
	if second := t.Unix(); second != e.second || len(e.spelt) == 0 {
		e.second, e.spelt = second, t.UTC().AppendFormat(e.spelt[:0], "2006-01-02T15:04:05")
	}
	e.b = append(append(e.b, '"'), e.spelt...)
	if left := t.Nanosecond(); left != 0 {
		fraction := [...]byte{'.', 0, 0, 0, 0, 0, 0, 0, 0, 0}
		for i := len(fraction) - 1; i > 0; i-- {
			fraction[i] = byte('0' + left%10)
			left /= 10
		}
		e.b = append(e.b, bytes.TrimRight(fraction[:], "0")...)
	}
	e.b = append(e.b, 'Z', '"')
}

func (e *encoder) field(name, value string, limit int) {
	e.b = append(e.b, ',', '"')
	e.b = append(e.b, name...)
	e.b = append(e.b, `":`...)
	e.text(value, limit, "")
}

// texts writes a list, by pointer among what is masked if it is not whole.
func (e *encoder) texts(list []string, pointer string) {
	e.b = append(e.b, '[')
	for i, s := range list {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.sent(s, maxValue, pointer)
	}
	e.b = append(e.b, ']')
}

// custom is what OPA's form has no place for.
func (e *encoder) custom(parts *shared, r *authz.Request, o *authz.Outcome, took time.Duration) {
	e.b = append(e.b, `"verdict":"`...)
	e.b = append(e.b, o.Verdict.String()...)
	e.b = append(e.b, `","status":`...)
	e.b = strconv.AppendInt(e.b, int64(o.Status), 10)
	e.b = append(e.b, `,"reasons":`...)
	e.texts(o.Reasons[:min(len(o.Reasons), 32)], "")
	e.field("request_id", e.secrets.Hide(r.ID), maxShort)
	e.field("route", r.RouteName, maxShort)
	if s := o.Session; s != nil {
		e.field("user", s.Identity.UserID, maxShort)
		e.field("email", s.Identity.Email, maxShort)
	}
	e.b = append(e.b, `,"took_us":`...)
	e.micros(took)
	if c := o.Charge; c != nil {
		e.b = append(e.b, `,"limit":{"name":`...)
		e.text(e.secrets.Hide(c.Name), 256, "")
		e.field("key", e.secrets.Hide(c.Key), 256)
		e.b = append(e.b, `,"remaining":`...)
		e.b = strconv.AppendInt(e.b, int64(o.Spent.Remaining), 10)
		e.b = append(e.b, `,"retry_after_ms":`...)
		e.b = strconv.AppendInt(e.b, o.Spent.RetryAfter.Milliseconds(), 10)
		e.b = append(e.b, '}')
	}
	if d := o.Decision; d != nil {
		e.b = append(e.b, `,"generation":`...)
		e.b = strconv.AppendUint(e.b, d.Generation, 10)
		e.trace(parts, r, &d.Trace)
	}
}

// micros writes microseconds to two decimals, without those that are 0.
func (e *encoder) micros(d time.Duration) {
	n := (max(0, d.Nanoseconds()) + 5) / 10
	e.b = strconv.AppendInt(e.b, n/100, 10)
	switch cents := n % 100; {
	case cents == 0:
	case cents%10 == 0:
		e.b = append(e.b, '.', byte('0'+cents/10))
	default:
		e.b = append(e.b, '.', byte('0'+cents/10), byte('0'+cents%10))
	}
}

// trace says until when the decision holds and which rules held.
func (e *encoder) trace(parts *shared, r *authz.Request, t *authz.Trace) {
	switch {
	case t.Until == math.MaxInt64:
		e.b = append(e.b, `,"horizon":"forever"`...)
	case t.Until > r.Time.UnixNano():
		e.b = append(e.b, `,"horizon":`...)
		e.instant(time.Unix(0, t.Until))
	case t.Until != 0:
		e.b = append(e.b, `,"horizon":`...)
		e.instant(r.Time)
	}
	if t.Rules == nil {
		return
	}
	e.b = append(e.b, `,"rules":[`...)
	names, start := parts.ruleNames(t.Rules), len(e.b)
	e.held(names, t.Held[:], 0, start)
	e.held(names, t.More, len(t.Held), start)
	e.b = append(e.b, ']')
}

// held writes the names whose bits are set; the first word's is that of number
// 64 times word.
func (e *encoder) held(names [][]byte, bitmap []uint64, word, start int) {
	for _, left := range bitmap {
		for ; left != 0; left &= left - 1 {
			i := 64*word + bits.TrailingZeros64(left)
			if i >= len(names) {
				return
			}
			if len(e.b) > start {
				e.b = append(e.b, ',')
			}
			e.b = append(e.b, names[i]...)
		}
		word++
	}
}
