package audit

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/neosc/gate/session"
)

// encode returns an event of which the time is in UTC as encoding/json writes it, letter
// by letter, in half the time: what is hashed and what columns are compared with.
func encode(e session.Event) ([]byte, error) {
	if y := e.Time.Year(); y < 0 || y > 9999 {
		return json.Marshal(e) // which says what is wrong with it
	}
	b := append(make([]byte, 0, 768), `{"time":"`...)
	b = e.Time.AppendFormat(b, time.RFC3339Nano)
	b = appendText(append(b, `","action":`...), string(e.Action))
	b = appendPerson(b, `,"actor":`, e.Actor.ID, e.Actor.Email)
	b = appendPerson(b, `,"user":`, e.User.ID, e.User.Email)
	for _, f := range [...]struct{ name, value string }{
		{`,"organization":`, e.Organization}, {`,"session":`, e.Session},
		{`,"client_ip":`, e.ClientIP}, {`,"user_agent":`, e.UserAgent}, {`,"request_id":`, e.RequestID},
	} {
		if f.value != "" {
			b = appendText(append(b, f.name...), f.value)
		}
	}
	b = appendText(append(b, `,"outcome":`...), string(e.Outcome))
	if len(e.Details) > 0 {
		b = append(b, `,"details":`...)
		next := byte('{')
		for _, name := range slices.Sorted(maps.Keys(e.Details)) {
			b = appendText(append(b, next), name)
			b = appendText(append(b, ':'), e.Details[name])
			next = ','
		}
		b = append(b, '}')
	}
	return append(b, '}'), nil
}

func appendPerson(b []byte, name, id, email string) []byte {
	if id == "" && email == "" {
		return b
	}
	b = append(append(b, name...), '{')
	if id != "" {
		b = appendText(append(b, `"id":`...), id)
		if email != "" {
			b = append(b, ',')
		}
	}
	if email != "" {
		b = appendText(append(b, `"email":`...), email)
	}
	return append(b, '}')
}

// appendText appends a text as a string of JSON. Letters that encoding/json escapes are
// few, and left to it.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			quoted, err := json.Marshal(s)
			if err != nil { // it is a string
				quoted = []byte(`""`)
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
