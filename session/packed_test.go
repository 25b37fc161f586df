package session

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var packBase = time.Date(2026, 3, 5, 10, 15, 30, 0, time.UTC)

// numbered is a store of records that are made up from their keys.
type numbered struct{ Store }

func (numbered) Get(_ context.Context, k Key) (*Session, error) { return Canonical(numberedSession(k)) }

func numberedSession(k Key) *Session {
	n := binary.LittleEndian.Uint16(k[:])
	return &Session{
		Key: k, Kind: Browser, CreatedAt: packBase, ExpiresAt: packBase.Add(8 * time.Hour), IdleExpiresAt: packBase.Add(time.Hour), Version: 3,
		Identity: Identity{UserID: fmt.Sprint(n), Email: fmt.Sprintf("u%d@example.com", n), Roles: []string{"neosc", "user"},
			Claims: map[string]any{"n": json.Number(fmt.Sprint(n)), "list": []any{"a", nil, true}}},
	}
}

// plain seals by writing down, which is enough to find a record again.
type plain struct{}

func (plain) Seal(p CookiePayload) (string, error) { return fmt.Sprintf("%x", p.ID[:]), nil }
func (plain) Generation() uint64                   { return 1 }
func (plain) Open(v string) (p CookiePayload, err error) {
	var id []byte
	if _, err := fmt.Sscanf(v, "%x", &id); err != nil || len(id) != len(p.ID) {
		return p, ErrInvalid
	}
	return CookiePayload{ID: ID(id), ExpiresAt: packBase.Add(8 * time.Hour)}, nil
}

func packingManager(t testing.TB, limit int) *Manager {
	t.Helper()
	m, err := NewManager(Options{Store: numbered{}, Sealer: plain{}, Clock: func() time.Time { return packBase }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	m.unpacked.limit = limit
	return m
}

func packedValue(n int) string {
	id := sha256.Sum256(fmt.Append(nil, n))
	return fmt.Sprintf("%x", id[:16])
}

func TestPackedCopiesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	m := packingManager(t, 8)
	for range 3 {
		for n := range 100 {
			v := packedValue(n)
			s, err := m.ByCookies(t.Context(), []string{v}, packBase)
			if err != nil {
				t.Fatal(err)
			}
			p, _ := plain{}.Open(v)
			if want, _ := Canonical(numberedSession(p.ID.Key())); !reflect.DeepEqual(s, want) {
				t.Fatalf("got  %+v\nwant %+v", s, want)
			}
		}
	}
	ready := 0
	for i := range m.live.shards {
		for _, slot := range m.live.shards[i].slots {
			if slot.value.s.Load() != nil {
				ready++
			}
		}
	}
	if ready != 8 || len(m.unpacked.ring) != 8 {
		t.Errorf("%d copies are ready and %d in the ring, want 8", ready, len(m.unpacked.ring))
	}
}

func TestPackedCopiesOfManyReaders(t *testing.T) {
	t.Parallel()
	m := packingManager(t, 4)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				n := (i*7 + g*13) % 20
				v := packedValue(n)
				s, err := m.ByCookies(context.Background(), []string{v}, packBase)
				p, _ := plain{}.Open(v)
				if err != nil || s.Key != p.ID.Key() || s.Identity.UserID != numberedSession(s.Key).Identity.UserID {
					t.Errorf("%+v, %v", s, err)
					return
				}
				if i%50 == 0 {
					m.live.forget(s.Key)
				}
			}
		})
	}
	wg.Wait()
	if n := len(m.unpacked.ring); n != 4 {
		t.Errorf("%d copies are ready, want 4", n)
	}
}

func TestPackingLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := numberedSession(Key{1})
		s.Identity.Name = rapid.String().Draw(t, "name")
		s.Identity.Claims = map[string]any{}
		for k, v := range rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "claims") {
			s.Identity.Claims[k] = v
		}
		want, err := Canonical(s)
		if err != nil {
			t.Fatal(err)
		}
		b, err := pack(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := unpack(s.Key, b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
	})
}

func TestDamagedCopyIsNoSession(t *testing.T) {
	t.Parallel()
	m := packingManager(t, 1)
	v := packedValue(1)
	s, err := m.ByCookies(t.Context(), []string{v}, packBase)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.ByCookies(t.Context(), []string{packedValue(2)}, packBase); err != nil {
		t.Fatal(err)
	}
	c, _ := m.live.get(s.Key)
	junk := []byte("junk")
	c.packed.Store(&junk)
	if _, err := m.ByCookies(t.Context(), []string{v}, packBase); err == nil {
		t.Error("a damaged copy was served")
	}
	if _, err := m.ByCookies(t.Context(), []string{v}, packBase); err != nil {
		t.Errorf("it was not read again: %v", err)
	}
}

func BenchmarkPack(b *testing.B) {
	s, err := Canonical(numberedSession(Key{1}))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := pack(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	packed, err := pack(numberedSession(Key{1}))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := unpack(Key{1}, packed); err != nil {
			b.Fatal(err)
		}
	}
}
