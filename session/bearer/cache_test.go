package bearer

import (
	"hash/maphash"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func TestTheCacheIsBoundedAndFindsOnlyItsOwn(t *testing.T) {
	c := newCache(640, 64*10_000)
	for i := range 10_000 {
		hash := uint64(i) << 32
		c.put(hash, &entry{token: strconv.Itoa(i), weight: int64(100 + i%1000)})
		if e := c.get(hash, strconv.Itoa(i)); e == nil || e.token != strconv.Itoa(i) {
			t.Fatalf("%d is not there", i)
		}
		if c.get(hash, "other") != nil {
			t.Fatal("a token was found by another's hash")
		}
	}
	if n, w := c.size(); n > 640 || w > 64*10_000 || n < 320 {
		t.Errorf("%d entries of weight %d", n, w)
	}
	c.put(1, &entry{token: "heavy", weight: 10_001})
	if c.get(1, "heavy") != nil {
		t.Error("an entry was kept that is too heavy")
	}
}

func TestAnEntryThatIsReadOutlivesOthers(t *testing.T) {
	c := newCache(cacheShards*4, 1<<30)
	c.put(0, &entry{token: "kept", weight: 1})
	for i := range 100 {
		if c.get(0, "kept") == nil {
			t.Fatalf("gone after %d others", i)
		}
		c.put(uint64(i+1), &entry{token: "x", weight: 1})
	}
}

func TestOneHashHoldsOneToken(t *testing.T) {
	c := newCache(64, 1<<20)
	a, b := &entry{token: "a", weight: 10}, &entry{token: "b", weight: 20}
	c.put(7, a)
	c.put(7, b)
	if c.get(7, "a") != nil || c.get(7, "b") != b {
		t.Error("the later one is to be there alone")
	}
	c.drop(7, a) // no longer there
	if n, w := c.size(); n != 1 || w != 20 {
		t.Errorf("%d entries of weight %d", n, w)
	}
	c.drop(7, b)
	if n, w := c.size(); n != 0 || w != 0 {
		t.Errorf("%d entries of weight %d after the last", n, w)
	}
}

// TestTokensOfOneTailDoNotMeet gives two tokens the hash of the other.
func TestTokensOfOneTailDoNotMeet(t *testing.T) {
	v := &Verifier{}
	v.seed = maphash.MakeSeed()
	end := strings.Repeat("e", tail)
	if v.hash("a"+end) != v.hash("b"+end) {
		t.Fatal("the hashes differ")
	}
	c := newCache(64, 1<<20)
	c.put(v.hash("a"+end), &entry{token: "a" + end, weight: 1})
	if c.get(v.hash("b"+end), "b"+end) != nil {
		t.Error("one token opened the other's session")
	}
}

func TestTooManyDenialsFailClosed(t *testing.T) {
	now := time.Unix(1_772_705_730, 0)
	d := newDenials(4)
	for i := range 4 {
		if err := deny(d, d.tokens, session.Key{byte(i)}, now.Add(time.Minute), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := deny(d, d.tokens, session.Key{9}, now.Add(time.Minute), now); err == nil {
		t.Error("a fifth was taken")
	}
	if err := deny(d, d.tokens, session.Key{9}, now.Add(2*time.Minute), now.Add(time.Minute)); err != nil {
		t.Errorf("what is over makes no room: %v", err)
	}
	v := &Verifier{denied: d}
	for i := range 50 {
		v.DenyUser(strconv.Itoa(i), now.Add(time.Duration(i)*time.Second))
	}
	if len(d.users) > 4 {
		t.Errorf("%d users", len(d.users))
	}
	for i := range 50 {
		at := now.Add(time.Duration(i)*time.Second - 1).UnixNano()
		s := &session.Session{Identity: session.Identity{UserID: strconv.Itoa(i)}}
		if e := (&entry{session: s, issued: at}); !d.covers(e, at) {
			t.Errorf("user %d is forgotten", i)
		}
	}
}
