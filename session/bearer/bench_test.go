package bearer_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/bearer"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/memstore"
)

func TestAKnownTokenAllocatesNothing(t *testing.T) {
	r := newRig(t, nil)
	token, ctx, now := r.token(t, nil), context.Background(), r.clock.Now()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.ByBearer(ctx, token, now); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// BenchmarkKnown is a token that was seen before.
func BenchmarkKnown(b *testing.B) {
	r := newRig(b, nil)
	tokens := make([]string, 1024)
	for i := range tokens {
		tokens[i] = r.token(b, map[string]any{"sub": strconv.Itoa(i)})
		r.accept(b, tokens[i])
	}
	ctx, now := context.Background(), r.clock.Now()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := r.ByBearer(ctx, tokens[i&1023], now); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// manager is a session.Manager that takes this rig's tokens.
func (r *rig) manager(t testing.TB) *session.Manager {
	t.Helper()
	ring, err := cookie.OpenRing(t.TempDir() + "/keys.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := cookie.New(ring, "_pomerium", "session")
	if err != nil {
		t.Fatal(err)
	}
	m, err := session.NewManager(session.Options{Store: memstore.New(), Sealer: sealer, Clock: r.clock.Now, Bearer: r.Verifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// BenchmarkManagerKnown compares a known token with a known cookie, by way of
// the manager that both come to.
func BenchmarkManagerKnown(b *testing.B) {
	r := newRig(b, nil)
	m := r.manager(b)
	ctx, now := context.Background(), r.clock.Now()
	tokens, cookies := make([]string, 1024), make([][]string, 1024)
	for i := range tokens {
		tokens[i] = r.token(b, map[string]any{"sub": strconv.Itoa(i)})
		s := r.accept(b, tokens[i])
		_, value, err := m.Create(ctx, s.Identity, session.Browser, 0)
		if err != nil {
			b.Fatal(err)
		}
		cookies[i] = []string{value}
	}
	i := 0
	b.Run("Bearer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := m.ByBearer(ctx, tokens[i&1023], now); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("Cookie", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := m.ByCookies(ctx, cookies[i&1023], now); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}

// BenchmarkFirstTime is a token that was not seen before; the difference to
// Signature is what all the rest takes.
func BenchmarkFirstTime(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		k := map[string]*key{"ES256": newECKey("x"), "RS256": {"x", "RS256", rsaKey()}, "EdDSA": newEdKey("x")}[alg]
		b.Run(alg, func(b *testing.B) {
			r := newRig(b, func(o *bearer.Options) { o.CacheBytes = 1 }) // nothing is kept
			r.idp.publish(k)
			token := k.sign(b, nil, r.claims(nil))
			r.accept(b, token)
			ctx, now := context.Background(), r.clock.Now()
			b.Run("All", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := r.ByBearer(ctx, token, now); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("Signature", func(b *testing.B) {
				check := bearer.SignatureCheck(b, k.jwk(), token)
				for b.Loop() {
					check()
				}
			})
		})
	}
}
