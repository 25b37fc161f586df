package decisionlog

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/session"
)

// A time is read again as a number of microseconds, whatever it is.
func TestTimesAreMicrosecondsToTwoDecimals(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		d := time.Duration(rng.Int64N(1 << rng.IntN(40)))
		e := encoder{}
		e.micros(d)
		if want := strconv.FormatFloat(math.Round(float64(d.Nanoseconds())/10)/100, 'f', -1, 64); string(e.b) != want {
			t.Fatalf("%d ns are %s µs, want %s", d, e.b, want)
		}
	}
}

// The rules of a record are those that held, wherever they are in the list.
func TestRulesOfARecordAreThoseThatHeld(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		trace := authz.Trace{Rules: make([]authz.Rule, 1+rng.IntN(500)), More: make([]uint64, rng.IntN(4))}
		for i := range trace.Rules {
			trace.Rules[i] = authz.Rule{Name: fmt.Sprint("r", i), At: "a.rego:1"}
		}
		for i := range trace.Held {
			trace.Held[i] = rng.Uint64() & rng.Uint64()
		}
		for i := range trace.More {
			trace.More[i] = rng.Uint64() & rng.Uint64()
		}
		var want []string
		for i, r := range trace.Rules {
			if trace.Has(i) {
				want = append(want, strconv.Quote(r.Name+" "+r.At))
			}
		}
		e := encoder{}
		e.trace(&shared{}, &authz.Request{Time: time.Unix(1, 0)}, &trace)
		if string(e.b) != `,"rules":[`+strings.Join(want, ",")+`]` {
			t.Fatalf("of %d rules: %s", len(trace.Rules), e.b)
		}
	}
}

// What is kept of a session is never taken for another's: not of one in the same
// places, nor of the same one as it was before.
func TestSessionsInOnePlaceKeepTheirOwnText(t *testing.T) {
	t.Parallel()
	x := &shared{}
	var list []*session.Session
	for i := range 40 {
		s := &session.Session{Key: session.Key{1, 2, byte(i % 3), 4, byte(i % 2)}, Identity: session.Identity{UserID: fmt.Sprint("u-", i)}}
		list = append(list, s)
	}
	kept := 0
	for range 3 {
		for _, s := range list {
			had := x.session(s)
			if had.of != s || !strings.Contains(string(had.text), `"user":{"id":"`+s.Identity.UserID+`"`) {
				t.Fatalf("of %s there is %s", s.Identity.UserID, had.text)
			}
			if x.session(s) == had {
				kept++
			}
		}
	}
	if kept != 3*len(list) {
		t.Errorf("%d of %d are there again at once", kept, 3*len(list))
	}
	a, b := list[0], list[1] // the other place is free for one of two
	x = &shared{}
	if first := x.session(a); x.session(b) == nil || x.session(a) != first {
		t.Error("two drive each other out")
	}
}

// plainText must not pass what would have been escaped: a line of the log is one
// line, and nothing in it ends a string.
func FuzzPlainText(f *testing.F) {
	for _, s := range []string{"", "plain text of more than eight", "quote\"", "eight by\\", "1234567\x7f", "1234567\x1f", "é", "\xff", "       \x80", "\x00"} {
		f.Add(s)
	}
	for c := range 256 { // each byte at each place of a word, and after one
		for at := range 9 {
			b := []byte("a ~z09[]Z")
			b[at] = byte(c)
			f.Add(string(b))
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		if same := string(observe.AppendText(nil, s, len(s))) == s; plainText(s) && !same {
			t.Errorf("%q is not in JSON as it is", s)
		}
		for i := range len(s) {
			if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
				return
			}
		}
		if !plainText(s) {
			t.Errorf("%q is plain", s)
		}
	})
}
