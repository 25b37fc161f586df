package audit

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/session"
)

// Who reads the trail elsewhere computes hashes of what encoding/json writes.
func TestAnEventIsEncodedLikeEncodingJSON(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`), rapid.SampledFrom([]string{"", "ana", "<b>&", `"`, `\`, "\x7f", "é", "\u2028", "\xff", "a\x00b"}))
	person := rapid.Custom(func(t *rapid.T) session.Person {
		return session.Person{ID: text.Draw(t, "id"), Email: text.Draw(t, "email")}
	})
	rapid.Check(t, func(t *rapid.T) {
		e := session.Event{
			Time:   time.UnixMicro(rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 1<<52)).Draw(t, "at")).UTC(),
			Action: session.Action(text.Draw(t, "action")), Outcome: session.Outcome(text.Draw(t, "outcome")),
			Actor: person.Draw(t, "actor"), User: person.Draw(t, "user"), Organization: text.Draw(t, "organization"), Session: text.Draw(t, "session"),
			Origin:  session.Origin{ClientIP: text.Draw(t, "ip"), UserAgent: text.Draw(t, "agent"), RequestID: text.Draw(t, "request"), Actor: person.Draw(t, "asks")},
			Details: rapid.MapOf(text, text).Draw(t, "details"), Once: text.Draw(t, "once"),
		}
		want, wrong := json.Marshal(e)
		got, err := encode(e)
		if string(got) != string(want) || (err != nil) != (wrong != nil) {
			t.Fatalf("%s, %v, want %s, %v", got, err, want, wrong)
		}
	})
}
