package leash_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"

	"github.com/neosc/gate/authz/leash"
	"github.com/neosc/gate/session"
)

func TestARevokedSessionLosesItsStreamsAndNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		one, two := s.signIn(1), s.signIn(2)
		a, b, c := s.stream("a", one, 0), s.stream("b", one, time.Hour), s.stream("c", two, 0)
		if n := s.value("pomerium_leash_streams", ""); n != 3 {
			t.Errorf("%v streams are held", n)
		}
		s.revoke(one)
		s.want(a, "leash_revoked")
		s.want(b, "leash_revoked")
		s.want(c, "")
		if n := s.value("pomerium_leash_cut_total", "revoked"); n != 2 || s.value("pomerium_leash_streams", "") != 1 {
			t.Errorf("%v cuts, %v held", n, s.value("pomerium_leash_streams", ""))
		}
	})
}

func TestAStreamEndsAtItsInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		who, began := s.signIn(1), time.Now()
		lives := map[time.Duration]*wire{}
		for _, d := range []time.Duration{time.Minute, 1500 * time.Millisecond, time.Millisecond, 30 * time.Minute} {
			lives[d] = s.stream(d.String(), who, d)
		}
		endless := s.stream("endless", who, 0)
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		for d, x := range lives {
			s.want(x, "leash_expired")
			if late := x.cut.Sub(began.Add(d)); late < 0 || late > time.Millisecond {
				t.Errorf("the stream of %v was cut %v late", d, late)
			}
		}
		s.want(endless, "")
		time.Sleep(30 * time.Minute) // the session's own end
		s.want(endless, "leash_revoked")
	})
}

func TestAnIdleEndThatMovedOnKeepsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		who := s.signIn(1)
		used := *who
		used.IdleExpiresAt = time.Now().Add(time.Minute)
		s.set(session.Change{}, func() { s.sessions[who.Key] = &used })
		x := s.stream("x", &used, 0)
		time.Sleep(50 * time.Second)
		later := used
		later.IdleExpiresAt = used.IdleExpiresAt.Add(time.Minute) // by another gate: no change is told
		s.mu.Lock()
		s.sessions[who.Key] = &later
		s.mu.Unlock()
		time.Sleep(30 * time.Second)
		s.want(x, "")
		time.Sleep(time.Minute)
		s.want(x, "leash_revoked")
	})
}

func TestChangedRolesAreJudgedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		who := s.signIn(1)
		x, y := s.stream("x", who, 0), s.stream("y", who, 0)
		newer := *who
		newer.Version = 2
		s.set(session.Change{Key: who.Key}, func() { s.sessions[who.Key] = &newer; s.until = time.Now().Add(time.Minute) })
		s.want(x, "")
		s.set(session.Change{Key: who.Key}, func() {})
		synctest.Wait()
		if s.judged != 2 {
			t.Errorf("judged %d times, want once for each stream", s.judged)
		}
		newest := newer
		newest.Version = 3
		s.set(session.Change{Key: who.Key}, func() { s.sessions[who.Key] = &newest; s.deny = true })
		s.want(x, "leash_denied")
		s.want(y, "leash_denied")
	})
}

func TestANewEndIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		who := s.signIn(1)
		x := s.stream("x", who, time.Hour)
		newer := *who
		newer.Version = 2
		s.set(session.Change{Key: who.Key}, func() { s.sessions[who.Key] = &newer; s.until = time.Now().Add(time.Minute) })
		time.Sleep(time.Minute + time.Millisecond)
		s.want(x, "leash_expired")
	})
}

func TestAnotherPolicyJudgesEverybodyAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		x, nobody := s.stream("x", s.signIn(1), 0), s.stream("nobody", nil, 0)
		s.mu.Lock()
		s.revision = "r2"
		s.mu.Unlock()
		time.Sleep(time.Second)
		s.want(x, "")
		s.want(nobody, "")
		s.mu.Lock()
		s.revision, s.deny = "r3", true
		s.mu.Unlock()
		time.Sleep(time.Second)
		s.want(x, "leash_denied")
		s.want(nobody, "leash_denied")
	})
}

func TestARoleChangedBetweenCheckAndStreamIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		who := s.signIn(1)
		ticket := s.ticket("x", who, 0)
		newer := *who
		newer.Version = 2
		s.set(session.Change{Key: who.Key}, func() { s.sessions[who.Key] = &newer; s.deny = true })
		x := s.open("x", ticket)
		s.want(x, "leash_denied")
		gone := s.ticket("y", &newer, 0)
		s.revoke(who)
		y := s.open("y", gone)
		s.want(y, "leash_over")
		if x.opened() || y.opened() {
			t.Error("a stream was let begin")
		}
	})
}

// TestNoTicketNoStream shows what a client, or another filter, could try.
func TestNoTicketNoStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		who := s.signIn(1)
		good := s.ticket("x", who, 0)
		other, err := leash.NewTickets("_pomerium", keys(2))
		if err != nil {
			t.Fatal(err)
		}
		s.tickets = other
		foreign := s.ticket("x", who, 0)
		flipped := []byte(good)
		flipped[len(flipped)/2] ^= 1
		for name, c := range map[string]struct{ id, ticket string }{
			"None": {"x", ""}, "Junk": {"x", "AAAA"}, "OfAnotherKey": {"x", foreign}, "Changed": {"x", string(flipped)}, "Cut": {"x", good[:len(good)-4]},
			"OfAnotherRequest": {"y", good}, "WithoutRequestID": {"", good}, "Huge": {"x", strings.Repeat("A", 1<<20)},
		} {
			x := s.open(c.id, c.ticket)
			s.want(x, "leash_ticket")
			if code, _ := x.status(); x.opened() || code != 403 {
				t.Errorf("%s: answered %d, opened: %v", name, code, x.opened())
			}
		}
		time.Sleep(time.Minute)
		s.want(s.open("x", good), "leash_ticket") // too old by now
		if n := s.value("pomerium_leash_refused_total", "ticket"); n != 9 {
			t.Errorf("%v were refused", n)
		}
	})
}

func TestATicketTellsNothing(t *testing.T) {
	s := &stage{world: newWorld(), t: t}
	for _, ks := range []func() ([][]byte, error){nil, keys(1)} {
		var err error
		if s.tickets, err = leash.NewTickets("_pomerium", ks); (err == nil) != (ks != nil) {
			t.Fatal(err)
		}
	}
	a, b := s.ticket("x", s.signIn(1), 0), s.ticket("x", s.signIn(1), 0)
	if a == b || strings.Contains(a, "workspace") || len(a) > 2000 {
		t.Errorf("%d %q", len(a), a)
	}
	failing, _ := leash.NewTickets("c", func() ([][]byte, error) { return nil, errors.New("no keys") })
	if _, err := failing.Ticket(request("x", nil), nil); err == nil {
		t.Error("a ticket without a key")
	}
}

func TestASilentFeedIsMadeUpForByTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.shared, w.fresh = true, time.Now().Add(session.FeedPromise)
		s := start(t, w, nil)
		one, two := s.signIn(1), s.signIn(2)
		x, y := s.stream("x", one, 0), s.stream("y", two, 0)
		time.Sleep(5 * time.Second) // nothing is heard, and the store answers
		s.want(x, "")
		s.mu.Lock()
		delete(s.sessions, one.Key) // by another gate: nobody tells
		s.mu.Unlock()
		time.Sleep(session.FeedPromise)
		s.want(x, "leash_revoked")
		s.want(y, "")
	})
}

func TestWithoutFeedAndStoreStreamsLiveASecondAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, grace := range []time.Duration{0, 10 * time.Second} {
			w := newWorld()
			w.shared, w.fresh = true, time.Now().Add(session.FeedPromise)
			s := start(t, w, func(o *leash.Options) { o.Grace = grace })
			x := s.stream("x", s.signIn(1), 0)
			s.mu.Lock()
			s.away, s.fresh = true, time.Now().Add(session.FeedPromise)
			s.mu.Unlock()
			time.Sleep(grace + session.FeedPromise - 50*time.Millisecond)
			s.want(x, "")
			time.Sleep(50*time.Millisecond + 260*time.Millisecond)
			s.want(x, "leash_store")
			s.want(s.open("z", s.ticket("z", s.signIn(3), 0)), "leash_store")
		}
	})
}

func TestAChangeThatCannotBeLookedUpEndsTheStreamInASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		who := s.signIn(1)
		x, y := s.stream("x", who, 0), s.stream("y", s.signIn(2), 0)
		s.set(session.Change{Key: who.Key}, func() { s.away = true })
		time.Sleep(500 * time.Millisecond)
		s.want(x, "")
		time.Sleep(700 * time.Millisecond)
		s.want(x, "leash_store")
		s.want(y, "") // nothing was heard of it, and changes are heard
		s.mu.Lock()
		s.away = false
		s.mu.Unlock()
		time.Sleep(time.Second)
		s.want(y, "")
	})
}

func TestATakenBackAccessTokenEndsItsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		token := &session.Session{Key: session.Key{9}, Unstored: true, Version: 77, Identity: session.Identity{UserID: "u9"}}
		early := s.ticket("early", token, time.Hour)
		x := s.stream("x", token, time.Hour)
		s.set(session.Change{}, func() {})
		s.set(session.Change{UserID: "somebody"}, func() {})
		s.want(x, "")
		time.Sleep(time.Second)
		s.set(session.Change{UserID: "u9"}, func() {})
		s.want(x, "leash_revoked")
		s.want(s.open("early", early), "leash_over")
		time.Sleep(time.Second)
		s.stream("later", token, time.Hour)
	})
}

func TestEnvoysOtherMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		x := s.stream("x", s.signIn(1), 0)
		x.in <- &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{}}
		synctest.Wait()
		if len(x.got) != 2 || x.got[1].GetResponseTrailers() == nil {
			t.Errorf("%v", x.got)
		}
		x.in <- &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestBody{}}
		<-x.done
		if x.err == nil {
			t.Error("a body did not end the stream with an error")
		}
		y := s.stream("y", s.signIn(2), 0)
		y.hang()
		<-y.done
		if y.err != nil {
			t.Errorf("a stream that Envoy closed ended with %v", y.err)
		}
	})
}

func TestStopCutsWhatDoesNotEndByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, newWorld(), nil)
		who := s.signIn(1)
		x := s.stream("x", who, 0)
		stopped := make(chan error, 1)
		g := grpc.NewServer()
		go func() { stopped <- s.Stop(t.Context(), g, 5*time.Second) }()
		if err := <-stopped; err != nil { // no connection holds it here
			t.Error(err)
		}
		// A successor may share the store from now on: what is not told is asked.
		s.mu.Lock()
		delete(s.sessions, who.Key)
		s.mu.Unlock()
		time.Sleep(session.FeedPromise)
		s.want(x, "leash_revoked")
	})
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := leash.New(leash.Options{}); err == nil || !strings.Contains(err.Error(), "Sessions") {
		t.Errorf("%v", err)
	}
}
