package decisionlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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

// An instant is spelt as time.RFC3339Nano has it, after whatever other.
func TestInstantsOfRequestsAreRFC3339(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	e := encoder{}
	second := int64(1_700_000_000)
	for i := range 50_000 {
		if rng.IntN(3) == 0 {
			second = rng.Int64N(1 << 33)
		}
		nano := rng.Int64N(1_000_000_000)
		for range rng.IntN(10) {
			nano = nano / 10 * 10 // to all numbers of digits
			nano -= nano % pow10(rng.IntN(10))
		}
		at := time.Unix(second, nano).In([]*time.Location{time.UTC, time.FixedZone("", -6*3600)}[i%2])
		e.b = e.b[:0]
		if e.now(at); string(e.b) != strconv.Quote(at.UTC().Format(time.RFC3339Nano)) {
			t.Fatalf("%s is spelt %s", at.UTC().Format(time.RFC3339Nano), e.b)
		}
	}
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 1)} {
		e = encoder{}
		if e.now(at); string(e.b) != strconv.Quote(at.UTC().Format(time.RFC3339Nano)) {
			t.Errorf("%s is spelt %s", at, e.b)
		}
	}
}

func pow10(n int) int64 { return int64(math.Pow10(n)) }

// Headers in the order of their names are written by another way than others: the
// record says the same of both.
func TestHeadersAreRecordedAlikeInAnyOrder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 8))
	names := []string{":path", "accept", "authorization", "cookie", "referer", "user-agent", "x-a", "x-api-token", "x-b"}
	for range 2000 {
		hs := authz.Headers{}
		for _, n := range names {
			if rng.IntN(2) == 0 {
				hs = append(hs, authz.Header{Name: n, Value: []string{"v", "/p?code=s3cr3t", "s3cr3t-value"}[rng.IntN(3)]})
			}
		}
		sorted := recordHeaders(t, hs)
		rng.Shuffle(len(hs), func(i, j int) { hs[i], hs[j] = hs[j], hs[i] })
		if shuffled := recordHeaders(t, hs); shuffled.headers != sorted.headers || shuffled.hidden != sorted.hidden {
			t.Fatalf("%v\n%s\n%s", hs, sorted, shuffled)
		}
	}
	if got := recordHeaders(t, authz.Headers{{Name: "x-a", Value: "1"}, {Name: "x-a", Value: "2"}, {Name: "x-b", Value: "3"}}); got.headers != `{"x-a":"1, 2","x-b":"3"}` {
		t.Error(got)
	}
	for n := maxHeaders - 1; n < maxHeaders+2; n++ { // what is beyond is named
		hs := authz.Headers{}
		for i := range n {
			hs = append(hs, authz.Header{Name: fmt.Sprintf("x-%03d", i), Value: "v"})
		}
		sorted := recordHeaders(t, hs)
		hs[0], hs[1] = hs[1], hs[0]
		if shuffled := recordHeaders(t, hs); shuffled != sorted || (sorted.hidden != "[]") != (n > maxHeaders) {
			t.Errorf("of %d headers: %s, %s", n, sorted.hidden, shuffled.hidden)
		}
	}
}

// recorded are the headers of a record, as JSON with sorted names, and the sorted
// pointers of those that are hidden.
type recorded struct{ headers, hidden string }

func recordHeaders(t *testing.T, hs authz.Headers) recorded {
	t.Helper()
	e := encoder{}
	r := &authz.Request{Headers: hs, Path: "/p?code=s3cr3t"}
	e.look(r)
	e.headers(r)
	var m map[string]string
	if err := json.Unmarshal([]byte("{"+string(e.b)+"}"), &m); err != nil {
		t.Fatalf("%v: %s", err, e.b)
	}
	var hidden, erased []string
	if err := errors.Join(json.Unmarshal([]byte("["+string(e.masked)+"]"), &hidden), json.Unmarshal([]byte("["+string(e.erased)+"]"), &erased)); err != nil {
		t.Fatal(err)
	}
	hidden = append(hidden, erased...)
	slices.Sort(hidden)
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return recorded{string(text), fmt.Sprint(hidden)}
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
	for n := 10; n < 34; n++ { // each place of texts of several words and a rest
		for at := range n {
			b := bytes.Repeat([]byte("z"), n)
			b[at] = '"'
			f.Add(string(b))
			b[at] = 'J'
			f.Add(string(b))
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		plain, token := plainText(s)
		if _, is := authz.MaskTokens(s); is && plain && !token {
			t.Errorf("%q has a token", s)
		}
		if plain && token != (len(s) >= 8 && strings.Contains(s, "J")) {
			t.Errorf("%q: %v", s, token)
		}
		if same := string(observe.AppendText(nil, s, len(s))) == s; plain && !same {
			t.Errorf("%q is not in JSON as it is", s)
		}
		for i := range len(s) {
			if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
				return
			}
		}
		if !plain {
			t.Errorf("%q is plain", s)
		}
	})
}
