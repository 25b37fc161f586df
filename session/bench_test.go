package session_test

import (
	"context"
	"testing"

	"github.com/neosc/gate/session"
)

func TestALookupOfAKnownCookieAllocatesNothing(t *testing.T) {
	r := newRig(t, nil)
	_, v := r.create(t)
	ctx, values, now := context.Background(), []string{v}, r.clock.Now()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.ByCookies(ctx, values, now); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func benchLookup(b *testing.B, change func(*session.Options)) {
	r := newRig(b, change)
	values := make([][]string, 1024)
	for i := range values {
		_, v := r.create(b)
		values[i] = []string{v}
	}
	ctx, now := context.Background(), r.clock.Now()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := r.ByCookies(ctx, values[i&1023], now); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkLookup(b *testing.B) { benchLookup(b, nil) }

func BenchmarkLookupWithFeed(b *testing.B) {
	var feed *shared
	benchLookup(b, withFeed(&feed))
}

func BenchmarkCookieValues(b *testing.B) {
	header := "theme=dark; _pomerium=v1.abcdef01.AAAAAAAAAAAAAAAAAAAAAAAA; _ga=GA1.2.3.4; lang=es"
	var buf [session.MaxCookieValues + 1]string
	b.ReportAllocs()
	for b.Loop() {
		if len(session.AppendCookieValues(buf[:0], header, "_pomerium")) != 1 {
			b.Fatal("not found")
		}
	}
}
