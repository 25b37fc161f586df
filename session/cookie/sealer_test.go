package cookie_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
)

func sealer(t testing.TB, ring *cookie.Ring, name, purpose string) *cookie.Sealer {
	t.Helper()
	s, err := cookie.New(ring, name, purpose)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func memoryRing(t testing.TB) *cookie.Ring {
	t.Helper()
	ring, err := cookie.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func payload() session.CookiePayload {
	return session.CookiePayload{ID: session.NewID(), Secret: session.NewSecret(), ExpiresAt: time.Unix(1_772_705_730, 0).UTC()}
}

func seal(t testing.TB, s *cookie.Sealer, p session.CookiePayload) string {
	t.Helper()
	v, err := s.Seal(p)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSealedValuesOpenToWhatWasSealed(t *testing.T) {
	t.Parallel()
	s := sealer(t, memoryRing(t), "_pomerium", "session")
	rapid.Check(t, func(t *rapid.T) {
		p := payload()
		p.ExpiresAt = time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "end"), 0).UTC()
		v, err := s.Seal(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Open(v)
		if err != nil || got != p {
			t.Fatalf("opened to something else (error %v)", err)
		}
		if len(v) > cookie.MaxLength || strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
			t.Fatalf("%d bytes, or characters that a cookie may not have", len(v))
		}
	})
}

func TestEveryBitFlipFailsAlike(t *testing.T) {
	t.Parallel()
	s := sealer(t, memoryRing(t), "_pomerium", "session")
	v := seal(t, s, payload())
	for i := range len(v) * 8 {
		b := []byte(v)
		b[i/8] ^= 1 << (i % 8)
		wantInvalid(t, s, string(b))
	}
}

func wantInvalid(t *testing.T, s *cookie.Sealer, value string) {
	t.Helper()
	p, err := s.Open(value)
	if err != session.ErrInvalid || p != (session.CookiePayload{}) {
		t.Errorf("%.40q: error %v, want exactly session.ErrInvalid and nothing opened", value, err)
	}
}

func TestOtherSpellingsOfAValueFail(t *testing.T) {
	t.Parallel()
	s := sealer(t, memoryRing(t), "_pomerium", "session")
	v := seal(t, s, payload())
	for name, value := range map[string]string{
		"empty":            "",
		"cut":              v[:len(v)-1],
		"longer":           v + "A",
		"padded":           v + "=",
		"line break ahead": "\n" + v,
		"line break in it": v[:40] + "\n" + v[40:],
		"break for a byte": v[:40] + "\n" + v[41:],
		"quoted":           `"` + v + `"`,
		"other version":    "v2" + v[2:],
		"other alphabet":   strings.NewReplacer("-", "+", "_", "/").Replace(v[:12]) + "+" + v[13:],
		"no key id":        "v1.." + v[strings.LastIndexByte(v, '.')+1:],
		"unknown key id":   "v1.ffffffffffff." + v[strings.LastIndexByte(v, '.')+1:],
		"oversized":        "v1." + strings.Repeat("A", 1<<20),
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { wantInvalid(t, s, value) })
	}
}

func TestOtherPurposeAndNameDoNotOpen(t *testing.T) {
	t.Parallel()
	ring := memoryRing(t)
	v := seal(t, sealer(t, ring, "_pomerium", "session"), payload())
	wantInvalid(t, sealer(t, ring, "_pomerium", "login"), v)
	wantInvalid(t, sealer(t, ring, "_other", "session"), v)
	// The same letters, divided otherwise between the two.
	wantInvalid(t, sealer(t, ring, "n_pomerium", "sessio"), v)
	wantInvalid(t, sealer(t, memoryRing(t), "_pomerium", "session"), v)
}

func TestEachSealIsDifferent(t *testing.T) {
	t.Parallel()
	s := sealer(t, memoryRing(t), "_pomerium", "session")
	p := payload()
	first, second := seal(t, s, p), seal(t, s, p)
	if first == second {
		t.Error("one payload was sealed to the same value twice")
	}
}

func TestPayloadDoesNotPrintItself(t *testing.T) {
	t.Parallel()
	p := payload()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if out := fmt.Sprintf(verb, p); !strings.Contains(out, "hidden") {
			t.Errorf("%s prints %s", verb, out)
		}
	}
}

func TestNewRefusesWhatCannotBeBound(t *testing.T) {
	t.Parallel()
	ring := memoryRing(t)
	for _, c := range []struct{ name, purpose string }{{"", "session"}, {"_pomerium", ""}, {strings.Repeat("n", 256), "session"}} {
		if _, err := cookie.New(ring, c.name, c.purpose); err == nil {
			t.Errorf("name of %d and purpose of %d bytes were taken", len(c.name), len(c.purpose))
		}
	}
	if _, err := cookie.New(nil, "_pomerium", "session"); err == nil {
		t.Error("no ring was taken")
	}
}

func FuzzOpen(f *testing.F) {
	s := sealer(f, memoryRing(f), "_pomerium", "session")
	v := seal(f, s, payload())
	for _, seed := range []string{v, v[:20], "", "v1", "v1.", "v1..", "v1.a.b", "v1.." + v[12:], v + v} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		p, err := s.Open(value)
		if err == nil && value != v {
			t.Fatalf("a value that nobody sealed opened")
		}
		if err != nil && (!errors.Is(err, session.ErrInvalid) || p != (session.CookiePayload{})) {
			t.Fatalf("error %v", err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	s := sealer(b, memoryRing(b), "_pomerium", "session")
	v := seal(b, s, payload())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Open(v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	s := sealer(b, memoryRing(b), "_pomerium", "session")
	p := payload()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal(p); err != nil {
			b.Fatal(err)
		}
	}
}
