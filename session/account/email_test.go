package account

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/neosc/gate/session"
)

func TestEmailsHaveOneSpelling(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ana@example.com":           "ana@example.com",
		"\t Ana.B+tag@EXAMPLE.Com ": "ana.b+tag@example.com",
		"admin@localhost":           "admin@localhost",
		"o'brien@sub.example.com":   "o'brien@sub.example.com",
	} {
		if got, err := NormalizeEmail(in); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestOddEmailsAreRefused(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "ana", "@", "@example.com", "ana@", "a@evil.com@company.com", `"a@evil.com"@company.com`, `"a b"@company.com`,
		"ana @example.com", "ana@exa mple.com", "ana@example.com\nbcc: x@y.z", "ana\x00@example.com", ".ana@example.com",
		"ana.@example.com", "a..b@example.com", "ana@.example.com", "ana@example..com", "ana@example.com.", "ana@-x.com",
		"ana@[127.0.0.1]", "anä@example.com", "ana@exämple.com", "ana@example.com,eva@example.com", "<ana@example.com>",
		"\u212aim@example.com", // the Kelvin sign, which some fold to k
		strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("b", 64) + ".com", "a@" + strings.Repeat("b.", 126) + "com",
	} {
		if got, err := NormalizeEmail(in); !errors.Is(err, session.ErrBadUser) || got != "" {
			t.Errorf("%q: %q, %v; want ErrBadUser", in, got, err)
		}
	}
}

func TestNormalizingTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringMatching(`[ ]?[A-Za-z0-9.'+]{1,10}@[A-Za-z0-9.-]{1,12}`).Draw(t, "email")
		once, err := NormalizeEmail(in)
		if err != nil {
			return
		}
		twice, err := NormalizeEmail(once)
		if err != nil || twice != once {
			t.Fatalf("%q → %q → %q (%v)", in, once, twice, err)
		}
		if upper, err := NormalizeEmail(strings.ToUpper(in)); err != nil || upper != once {
			t.Fatalf("%q and its upper case are two accounts", in)
		}
	})
}

func FuzzNormalizeEmail(f *testing.F) {
	for _, seed := range []string{"ana@example.com", "a@b@c", " A@B ", "", "\"x\"@y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := NormalizeEmail(in)
		if err != nil {
			return
		}
		if len(got) > maxEmail || strings.Count(got, "@") != 1 || strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ',' || r == '"' }) {
			t.Fatalf("%q was taken as %q", in, got)
		}
	})
}

func FuzzParseHash(f *testing.F) {
	h := newHasher(cheap(), 1, 1)
	f.Add(h.create("password"))
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$")
	f.Add("$argon2id$v=19$m=99999999,t=1,p=1$AAAAAAAAAAA$AAAA")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := parseHash(in)
		if err != nil {
			return
		}
		if got.params.validate() != nil || got.String() != in {
			t.Fatalf("%q was read as %q", in, got)
		}
	})
}

func TestHashesReadBackAndVerify(t *testing.T) {
	t.Parallel()
	h := newHasher(cheap(), 1, 1)
	s := h.create("a password")
	parsed, err := parseHash(s)
	if err != nil {
		t.Fatal(err)
	}
	if !h.verify("a password", parsed) || h.verify("another", parsed) {
		t.Error("the hash does not tell passwords apart")
	}
	if h.create("a password") == s {
		t.Error("two hashes have one salt")
	}
	for _, bad := range []string{
		"", "plain", strings.Replace(s, "argon2id", "argon2i", 1), strings.Replace(s, "v=19", "v=16", 1),
		strings.Replace(s, "m=8,", "m=4000000000,", 1), strings.Replace(s, "t=1", "t=0", 1), strings.Replace(s, "p=1", "p=1 ", 1),
		s + "A", s + "$", s[:len(s)-8], strings.Repeat("$", 300),
	} {
		if _, err := parseHash(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func BenchmarkHashWithDefaultCosts(b *testing.B) {
	h := newHasher(DefaultParams(), 1, 1)
	b.ReportAllocs()
	for b.Loop() {
		h.create("correct horse battery")
	}
}
