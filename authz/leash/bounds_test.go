package leash_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neosc/gate/authz/leash"
	"github.com/neosc/gate/session"
)

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), func(o *leash.Options) { o.MaxStreams, o.PerSession = 3, 2 })
		one, two := s.signIn(1), s.signIn(2)
		a := s.stream("a", one, 0)
		s.stream("b", one, 0)
		s.want(s.open("c", s.ticket("c", one, 0)), "leash_full")
		s.stream("d", two, 0)
		s.want(s.open("e", s.ticket("e", two, 0)), "leash_full")
		a.hang()
		synctest.Wait()
		s.stream("f", two, 0)
	})
}

// TestStrangersLeaveRoomForPeople: a flood of streams by nobody takes its share.
func TestStrangersLeaveRoomForPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), func(o *leash.Options) { o.MaxStreams = 8 })
		for i := range 4 {
			s.stream(fmt.Sprint("nobody", i), nil, 0)
		}
		for i := range 20 {
			id := fmt.Sprint("more", i)
			s.want(s.open(id, s.ticket(id, nil, 0)), "leash_full")
		}
		who := s.signIn(1)
		for i := range 4 {
			s.stream(fmt.Sprint("somebody", i), who, 0)
		}
	})
}

// TestWhatIsKeptOfStreamsIsBounded: large requests cannot fill the memory.
func TestWhatIsKeptOfStreamsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), func(o *leash.Options) { o.MaxBytes = 1000 })
		who := s.signIn(1)
		var held []*wire
		for i := 0; ; i++ {
			id := fmt.Sprint("s", i)
			x := s.open(id, s.ticket(id, who, 0))
			if synctest.Wait(); !x.opened() {
				s.want(x, "leash_full")
				break
			}
			held = append(held, x)
		}
		if len(held) < 2 || len(held) > 10 {
			t.Fatalf("%d streams in 1000 bytes", len(held))
		}
		held[0].hang()
		synctest.Wait()
		s.stream("another", who, 0)
	})
}

// TestARevokedCertificateEndsItsStreams, those of sessions and of access tokens,
// and no other; a stream that opens meanwhile is looked at as well.
func TestARevokedCertificateEndsItsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		who := s.signIn(1)
		token := &session.Session{Key: session.Key{9}, Unstored: true, Identity: session.Identity{UserID: "u9"}}
		x, y, plain := s.stream("certified", who, 0), s.stream("certified token", token, time.Hour), s.stream("plain", who, 0)
		if s.judged != 1 || s.looked != 1 {
			t.Errorf("when they opened %d were judged and %d certificates looked at, want 1 and 1", s.judged, s.looked)
		}
		late := s.ticket("certified late", who, 0)
		s.mu.Lock()
		s.lists++ // of somebody else
		s.mu.Unlock()
		time.Sleep(time.Second)
		s.want(x, "")
		s.want(y, "")
		s.mu.Lock()
		s.lists++
		s.revoked = true
		s.mu.Unlock()
		s.want(s.open("certified late", late), "leash_denied")
		time.Sleep(time.Second)
		s.want(x, "leash_denied")
		s.want(y, "leash_denied")
		s.want(plain, "")
	})
}

// TestAStreamOfACertificateIsJudgedWithIt when roles or policy change.
func TestAStreamOfACertificateIsJudgedWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		who := s.signIn(1)
		x, plain := s.stream("certified", who, 0), s.stream("plain", who, 0)
		newer := *who
		newer.Version = 2
		s.set(session.Change{Key: who.Key}, func() { s.sessions[who.Key] = &newer; s.revoked = true }) // denies those who bring one
		s.want(x, "leash_denied")
		s.want(plain, "")
	})
}
