package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// MaxRecordSize bounds an encoded record. A session with a few hundred claims
// takes some KiB; what a provider sends beyond that is refused at sign-in.
const MaxRecordSize = 64 << 10

// EncodeRecord writes a session as stores keep it: JSON, without the key.
//
// Gates of two releases may share a store. A field that one does not know it
// ignores, and leaves out when it updates the record; so a field's absence must
// be right for sessions from before there was one, and never allow more than
// its presence.
func EncodeRecord(s *Session) ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("session record: %w", err)
	}
	if len(b) > MaxRecordSize {
		return nil, fmt.Errorf("session record has %d bytes, at most %d are kept", len(b), MaxRecordSize)
	}
	return b, nil
}

// DecodeRecord reads what EncodeRecord wrote. Claims come back as nil, bool,
// string, json.Number, []any and map[string]any: json.Number and not float64,
// because a claim may be an integer above 2^53 (an instant in nanoseconds, a
// numeric id) and policy must see the digits that the provider sent.
func DecodeRecord(k Key, b []byte) (*Session, error) {
	if len(b) > MaxRecordSize {
		return nil, fmt.Errorf("session record %s has %d bytes, at most %d are read", k.Short(), len(b), MaxRecordSize)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	s := new(Session)
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("session record %s: %w", k.Short(), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("session record %s: data after its end", k.Short())
	}
	s.Key = k
	return s, nil
}

// Canonical returns a copy of s as a store would give it back, sharing nothing
// with s: every store, the one in memory included, hands out the same types
// and the same instants, whatever was put in.
func Canonical(s *Session) (*Session, error) {
	b, err := EncodeRecord(s)
	if err != nil {
		return nil, err
	}
	return DecodeRecord(s.Key, b)
}

// Rows returns how many rows q asks for, or an error if that is not 0 to 1000.
func (q Query) Rows() (int, error) {
	switch {
	case q.Limit == 0:
		return 100, nil
	case q.Limit < 0 || q.Limit > 1000:
		return 0, fmt.Errorf("session list: limit %d is not 1 to 1000", q.Limit)
	}
	return q.Limit, nil
}
