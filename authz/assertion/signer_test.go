package assertion_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/verify"
)

func TestWhatAnUpstreamIsTold(t *testing.T) {
	t.Parallel()
	token := sign(t, newSigner(t, newKeys(t, noon)), newSession(), "portal.example.com", noon)
	want := map[string]any{
		"iss": issuer, "sub": "u-1", "aud": "portal.example.com", "email": "ana@example.com", "name": "Ana", "organization": "Acme",
		"groups": []any{"neosc", "user", "staff"}, "roles": []any{"neosc", "user"}, "sid": session.ID{1}.Key().Short(),
		"iat": float64(noon.Unix() - 5), "exp": float64(noon.Unix() + 300),
	}
	if got := part(t, token, 1); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if h := part(t, token, 0); h["alg"] != "ES256" || h["typ"] != "JWT" || h["kid"] == "" || len(h) != 3 {
		t.Errorf("header %v", h)
	}
}

func TestAnEmailThatNobodyVerifiedIsNotSaid(t *testing.T) {
	t.Parallel()
	x := newSession(func(x *session.Session) { x.Identity.EmailVerified = false; x.Identity.Email = "ceo@example.com" })
	token := sign(t, newSigner(t, newKeys(t, noon)), x, "portal.example.com", noon)
	if got, there := part(t, token, 1)["email"]; there {
		t.Errorf("email is %v", got)
	}
}

func TestGroupsAreAListAlsoWhenEmpty(t *testing.T) {
	t.Parallel()
	x := newSession(func(x *session.Session) { x.Identity.Roles, x.Identity.Groups = nil, nil })
	token := sign(t, newSigner(t, newKeys(t, noon)), x, "portal.example.com", noon)
	if got := part(t, token, 1)["groups"]; !reflect.DeepEqual(got, []any{}) {
		t.Errorf("groups are %v", got)
	}
}

// A copy of a record keeps the idle end that it was read with, while use moves
// the true one on: who is in the midst of work must not be refused by it.
func TestAnOldIdleEndEndsNothing(t *testing.T) {
	t.Parallel()
	s, x := newSigner(t, newKeys(t, noon)), newSession(func(x *session.Session) { x.IdleExpiresAt = noon.Add(-time.Minute) })
	if _, err := s.Assertion(x, "portal.example.com", noon); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeSignedIsAnError(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*session.Session){
		"Over":    func(x *session.Session) { x.ExpiresAt = noon },
		"NoUser":  func(x *session.Session) { x.Identity.UserID = "" },
		"TooMuch": func(x *session.Session) { x.Identity.Groups = []string{strings.Repeat("g", assertion.MaxToken)} },
	} {
		if token, err := newSigner(t, newKeys(t, noon)).Assertion(newSession(change), "portal.example.com", noon); err == nil {
			t.Errorf("%s: signed %.20s", name, token)
		}
	}
	if _, err := newSigner(t, newKeys(t, noon)).Assertion(newSession(), "", noon); err == nil {
		t.Error("signed for no host")
	}
	if _, err := assertion.New(assertion.Options{Issuer: issuer}); err == nil {
		t.Error("a signer without a key")
	}
	if _, err := assertion.New(assertion.Options{Keys: newKeys(t, noon)}); err == nil {
		t.Error("a signer without an issuer")
	}
}

// TestATokenNeverOutlivesItsSession: whatever is left of the session, the token
// ends with it at the latest, and after five minutes.
func TestATokenNeverOutlivesItsSession(t *testing.T) {
	t.Parallel()
	s := newSigner(t, newKeys(t, noon))
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		left := rapid.Int64Range(1, int64(20*time.Minute)).Draw(r, "left")
		idle := rapid.Int64Range(1, int64(20*time.Minute)).Draw(r, "idle")
		later := rapid.Int64Range(0, min(left, idle)-1).Draw(r, "later")
		x := newSession(func(x *session.Session) {
			x.Key = session.ID{byte(n), byte(n >> 8), byte(n >> 16)}.Key()
			x.ExpiresAt, x.IdleExpiresAt = noon.Add(time.Duration(left)), noon.Add(time.Duration(idle))
		})
		for _, at := range []time.Time{noon, noon.Add(time.Duration(later))} {
			claims := part(r, sign(r, s, x, "portal.example.com", at), 1)
			exp := time.Unix(int64(claims["exp"].(float64)), 0)
			if exp.After(x.ExpiresAt) || exp.After(at.Add(assertion.Life)) {
				r.Fatalf("at %s the token lasts to %s, the session to %s", at, exp, x.ExpiresAt)
			}
		}
	})
}

func TestATokenIsMadeOnceAndAgainAtHalfItsLife(t *testing.T) {
	t.Parallel()
	s, x := newSigner(t, newKeys(t, noon)), newSession()
	first := sign(t, s, x, "portal.example.com", noon)
	half := noon.Add(assertion.Life / 2)
	if got := sign(t, s, x, "portal.example.com", half.Add(-time.Nanosecond)); got != first {
		t.Error("made again before half its life")
	}
	second := sign(t, s, x, "portal.example.com", half)
	if second == first {
		t.Error("not made again at half its life")
	}
	if got := sign(t, s, x, "admin.example.com", noon); got == first || part(t, got, 1)["aud"] != "admin.example.com" {
		t.Error("one host got the token of another")
	}
	x = newSession(func(x *session.Session) { x.Version, x.Identity.Roles = 2, []string{"user"} })
	if got := sign(t, s, x, "portal.example.com", half); got == second {
		t.Error("a changed identity got the old token")
	}
	x = newSession(func(x *session.Session) { x.Key = session.ID{2}.Key() })
	if got := sign(t, s, x, "portal.example.com", half); got == second {
		t.Error("another session got the token")
	}
}

func TestManyAtOnceGetOneToken(t *testing.T) {
	t.Parallel()
	s, x := newSigner(t, newKeys(t, noon)), newSession()
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			token := sign(t, s, x, "portal.example.com", noon)
			mu.Lock()
			defer mu.Unlock()
			seen[token] = true
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Errorf("%d tokens, want 1", len(seen))
	}
}

func TestANewKeyIsPublishedBeforeItSigns(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, noon.Add(-24*time.Hour))
	s, x := newSigner(t, keys), newSession()
	before := sign(t, s, x, "portal.example.com", noon)
	rotated, err := keys.With(noon, noon.Add(assertion.Lead))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetKeys(rotated); err != nil {
		t.Fatal(err)
	}
	next := rotated[1].ID
	if ids := publishedIDs(t, s); len(ids) != 2 || ids[1] != next {
		t.Fatalf("published %v, want the new key %s as well", ids, next)
	}
	if got := sign(t, s, x, "portal.example.com", noon); got != before {
		t.Error("a key that only waits changed the token")
	}
	for _, c := range []struct {
		at   time.Duration
		want string
	}{{0, keys[0].ID}, {assertion.Lead - time.Nanosecond, keys[0].ID}, {assertion.Lead, next}, {24 * time.Hour, next}} {
		y := newSession(func(x *session.Session) { x.ExpiresAt = noon.Add(48 * time.Hour); x.IdleExpiresAt = x.ExpiresAt })
		if got := kid(t, sign(t, s, y, "portal.example.com", noon.Add(c.at))); got != c.want {
			t.Errorf("after %s signs %s, want %s", c.at, got, c.want)
		}
	}
	// A key that is taken away signs nothing more, remembered or not.
	if err := s.SetKeys(rotated[1:]); err != nil {
		t.Fatal(err)
	}
	if got := kid(t, sign(t, s, x, "portal.example.com", noon)); got != next {
		t.Errorf("signed with %s, which is gone", got)
	}
}

func TestABadReplacementLeavesTheKeysInUse(t *testing.T) {
	t.Parallel()
	s := newSigner(t, newKeys(t, noon))
	before := string(s.JWKS())
	if err := s.SetKeys(nil); err == nil || string(s.JWKS()) != before {
		t.Errorf("error %v", err)
	}
}

// TestKeysAreSwappedUnderRequests: while the set changes all the time, every
// token is made with a key that is there, and can be verified.
func TestKeysAreSwappedUnderRequests(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, noon.Add(-time.Hour))
	for len(keys) < 5 {
		var err error
		if keys, err = keys.With(noon, noon.Add(assertion.Lead)); err != nil {
			t.Fatal(err)
		}
	}
	s := newSigner(t, keys)
	jwks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.JWKS()) }))
	defer jwks.Close()
	v, err := verify.New(verify.Options{Issuer: issuer, Audience: "portal.example.com", JWKSURL: jwks.URL, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for i := range 100 {
				x := newSession(func(x *session.Session) { x.Version = uint64(g*1000 + i) })
				if _, err := v.Verify(t.Context(), sign(t, s, x, "portal.example.com", noon)); err != nil {
					t.Error(err)
				}
				if err := s.SetKeys(keys[:1+i%len(keys)]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	const size = 64
	s, err := assertion.New(assertion.Options{Keys: newKeys(t, noon), Issuer: issuer, MaxCached: size})
	if err != nil {
		t.Fatal(err)
	}
	x := newSession()
	for i := range 10 * size {
		sign(t, s, x, fmt.Sprintf("h%d.example.com", i), noon)
		if n := assertion.Remembered(s); n > size {
			t.Fatalf("%d are remembered after %d, at most %d may be", n, i+1, size)
		}
	}
	last := fmt.Sprintf("h%d.example.com", 10*size-1)
	if a, b := sign(t, s, x, last, noon), sign(t, s, x, last, noon); a != b {
		t.Error("the last one is not remembered")
	}
	// What is over goes with time as well, without anything being full.
	for i := range 3 {
		sign(t, s, x, "only.example.com", noon.Add(time.Duration(i)*assertion.Life/2))
	}
	if n := assertion.Remembered(s); n > 2 {
		t.Errorf("%d are remembered long after, want the two youngest at most", n)
	}
}

func TestTheLargestIdentityThatIsSignedIsVerified(t *testing.T) {
	t.Parallel()
	s := newSigner(t, newKeys(t, noon))
	jwks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.JWKS()) }))
	defer jwks.Close()
	v, err := verify.New(verify.Options{Issuer: issuer, Audience: "a.example.com", JWKSURL: jwks.URL, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	largest := ""
	for n := 8000; ; n += 16 {
		x := newSession(func(x *session.Session) { x.Identity.Groups = []string{strings.Repeat("g", n)}; x.Version = uint64(n) })
		token, err := s.Assertion(x, "a.example.com", noon)
		if err != nil {
			break
		}
		largest = token
	}
	if _, err := v.Verify(t.Context(), largest); err != nil || len(largest) < assertion.MaxToken-100 {
		t.Errorf("%d bytes: %v", len(largest), err)
	}
}

func TestThePublishedSetIsStable(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, noon, noon.Add(time.Hour))
	a, b := newSigner(t, keys), newSigner(t, keys)
	if !json.Valid(a.JWKS()) || string(a.JWKS()) != string(b.JWKS()) {
		t.Error("replicas publish different sets of the same keys")
	}
}

func BenchmarkAssertion(b *testing.B) {
	s, x := newSigner(b, newKeys(b, noon)), newSession()
	b.Run("Remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sign(b, s, x, "portal.example.com", noon)
		}
	})
	b.Run("Signed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x.Version++
			sign(b, s, x, "portal.example.com", noon)
		}
	})
}
