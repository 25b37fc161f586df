package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/neosc/gate/session"
)

// Bounds on what one entry keeps. Longer text is cut, since a client that
// sends a long user agent must not keep itself out of the trail.
const (
	maxText    = 256
	maxDetails = 16
	maxName    = 64
	maxOnce    = 200
)

// Hash is that of an entry and, by the one before it, of all before it.
type Hash [sha256.Size]byte

// row is an entry as the tables have it.
type row struct {
	number                                         uint64
	at                                             int64 // µs
	action, userID, userEmail, actorID, actorEmail string
	event                                          []byte
	hash                                           Hash
	once                                           string
}

// chain returns the hash of the entry with a number that follows one with the
// hash before. The leading text keeps it apart from hashes of anything else.
func chain(before Hash, number uint64, event []byte) Hash {
	h := sha256.New()
	h.Write([]byte("neosc audit entry 1\x00"))
	h.Write(before[:])
	h.Write(binary.BigEndian.AppendUint64(nil, number))
	h.Write(event)
	return Hash(h.Sum(nil))
}

// newRow makes a row, but for number and hash, of an event.
func newRow(e session.Event, now time.Time) (row, error) {
	if e.Action == "" || e.Outcome == "" {
		return row{}, fmt.Errorf("audit event %q with outcome %q: both are needed", e.Action, e.Outcome)
	}
	if len(e.Once) > maxOnce {
		return row{}, fmt.Errorf("audit event %s: Once has %d bytes, more than %d", e.Action, len(e.Once), maxOnce)
	}
	if e.Time.IsZero() {
		e.Time = now
	}
	e.Time = e.Time.UTC().Truncate(time.Microsecond)
	for _, s := range []*string{&e.Actor.ID, &e.Actor.Email, &e.User.ID, &e.User.Email, &e.Organization, &e.Session, &e.ClientIP, &e.UserAgent, &e.RequestID} {
		*s = clip(*s, maxText)
	}
	e.Details = clipDetails(e.Details)
	body, err := encode(e)
	if err != nil {
		return row{}, fmt.Errorf("audit event %s: %w", e.Action, err)
	}
	r := columnsOf(e)
	r.event, r.once = body, e.Once
	return r, nil
}

// columnsOf are the parts of an event that entries are searched by.
func columnsOf(e session.Event) row {
	return row{
		at: e.Time.UnixMicro(), action: string(e.Action),
		userID: e.User.ID, userEmail: strings.ToLower(e.User.Email), actorID: e.Actor.ID, actorEmail: strings.ToLower(e.Actor.Email),
	}
}

// agrees reports whether the event begins as encoding/json writes one with these
// columns: a twentieth of what it takes to read it, and so for most of them. Where
// there are letters that are escaped, or capitals in an email, it has to be read.
func (r row) agrees() bool {
	if !plain(r.action) || !plain(r.actorID) || !plain(r.actorEmail) || !plain(r.userID) || !plain(r.userEmail) {
		return false
	}
	var room [512]byte // on the stack
	b := append(room[:0], `{"time":"`...)
	b = time.UnixMicro(r.at).UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(append(append(b, `","action":"`...), r.action...), '"')
	b = appendPerson(b, `,"actor":`, r.actorID, r.actorEmail)
	b = appendPerson(b, `,"user":`, r.userID, r.userEmail)
	rest, ok := bytes.CutPrefix(r.event, b)
	return ok && bytes.HasPrefix(rest, []byte(`,"`)) && !bytes.HasPrefix(rest, []byte(`,"actor":`)) && !bytes.HasPrefix(rest, []byte(`,"user":`))
}

// plain reports whether a text is of letters that JSON writes as they are. With a
// quote in it, it could pass for two.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func clipDetails(all map[string]string) map[string]string {
	if len(all) == 0 {
		return nil
	}
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	slices.Sort(names)
	out := make(map[string]string, min(len(all), maxDetails))
	for _, n := range names[:min(len(names), maxDetails)] {
		out[clip(n, maxName)] = clip(all[n], maxText)
	}
	return out
}

// printable reports whether a text is of ASCII's printable letters only, as most are.
func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// clip makes text that every database keeps and that moves no terminal, of at
// most so many bytes and the sign that says it was longer.
func clip(s string, most int) string {
	if len(s) <= most && printable(s) {
		return s
	}
	cut := len(s) > most
	if cut {
		s = strings.ToValidUTF8(s[:most], "")
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	if cut {
		s += "…"
	}
	return s
}
