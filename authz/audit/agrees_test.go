package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/session"
)

// What is taken without reading an event is what reading it would take.
func TestAnEventThatAgreesAtAGlanceAgrees(t *testing.T) {
	t.Parallel()
	words := rapid.SampledFrom([]string{"", "ana", "bob", `a","email":"b`, "é", "<b>", "x@y.example", "A@y.example", `\`, "a\"", `x"},"user":{"id":"y`})
	person := rapid.Custom(func(t *rapid.T) session.Person {
		return session.Person{ID: words.Draw(t, "id"), Email: words.Draw(t, "email")}
	})
	rapid.Check(t, func(t *rapid.T) {
		e := session.Event{
			Time: time.UnixMicro(rapid.Int64Range(0, 1<<50).Draw(t, "at")).UTC(), Action: session.Action(rapid.SampledFrom([]string{"login", `l"`}).Draw(t, "action")),
			Outcome: session.OutcomeSuccess, Actor: person.Draw(t, "actor"), User: person.Draw(t, "user"), Organization: words.Draw(t, "organization"),
		}
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		r := columnsOf(e)
		r.event = body
		simple := plain(string(e.Action) + e.Actor.ID + e.Actor.Email + e.User.ID + e.User.Email)
		if simple && !strings.ContainsAny(string(body), "A<\\") && !r.agrees() {
			t.Fatalf("%s has to be read", body)
		}
		other := columnsOf(session.Event{Time: e.Time, Action: e.Action, Actor: person.Draw(t, "other actor"), User: person.Draw(t, "other user")})
		other.event = body
		if other.agrees() && !other.equal(r) {
			t.Fatalf("%s passes for %+v", body, other)
		}
	})
}
