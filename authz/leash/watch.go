package leash

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/neosc/gate/session"
)

const (
	// workers look at sessions at once; each waits for the store.
	workers = 8
	// longestSleep is how long the loop sleeps at most: then it looks at the
	// feed, at policy and at whether the wall clock was set.
	longestSleep = 250 * time.Millisecond
	// doubtful is how long before its promise is over a feed that has fallen
	// silent makes the leash ask the store itself.
	doubtful = 500 * time.Millisecond
	// askAgain is the pause after a store that did not answer.
	askAgain = 100 * time.Millisecond
)

// Run watches over the streams until ctx is done. Only one may run.
func (s *Server) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				g, heard := s.table.next()
				if g == nil {
					return
				}
				s.look(ctx, g, heard)
			}
		})
	}
	revision, lists := s.o.Revision(), s.o.Lists()
	timer := time.NewTimer(longestSleep)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		s.ring(now)
		s.listen(now)
		if r, l := s.o.Revision(), s.o.Lists(); r != revision || l != lists {
			revision, lists = r, l
			s.changed(session.Change{})
		}
		timer.Reset(s.table.sleep(time.Now()))
		select {
		case <-ctx.Done():
		case <-s.table.wake:
		case <-timer.C:
		}
	}
	s.table.close()
	wg.Wait()
}

// sleep is how long nothing is due.
func (t *table) sleep(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.alarms) == 0 {
		return longestSleep
	}
	return min(longestSleep, max(0, time.Duration(t.alarms[0].at-now.UnixNano())))
}

// ring ends the streams whose time has come and asks about groups whose has.
func (s *Server) ring(now time.Time) {
	t := s.table
	for {
		t.mu.Lock()
		if len(t.alarms) == 0 || t.alarms[0].at > now.UnixNano() {
			t.mu.Unlock()
			return
		}
		a := t.alarms[0]
		t.clear(a)
		if a.group != nil {
			t.ask(a.group, now)
			t.mu.Unlock()
			continue
		}
		t.drop(a.stream)
		t.mu.Unlock()
		s.let(a.stream, causeExpired, time.Unix(0, a.at))
	}
}

// heard reports whether changes of sessions come to be heard, and until when
// that is sure; zero where this process makes them all. It does not once it is
// leaving, with a successor that may share the store.
func (s *Server) heard(now time.Time) (fresh time.Time, sound bool) {
	fresh, shared := s.o.Sessions.FreshUntil()
	if !shared {
		return time.Time{}, !s.leaving.Load()
	}
	return fresh, now.Before(fresh.Add(-doubtful))
}

// listen looks at the store's feed. While it is silent the store itself is
// asked; a session that it did not vouch for in time loses its streams.
func (s *Server) listen(now time.Time) {
	fresh, sound := s.heard(now)
	if sound {
		return
	}
	t := s.table
	var lost []*stream
	t.mu.Lock()
	for _, g := range t.groups {
		if !g.watched() {
			continue
		}
		held := g.verified.Add(session.FeedPromise)
		if fresh.After(held) {
			held = fresh
		}
		switch {
		case !now.Before(held.Add(s.o.Grace)):
			lost = append(lost, g.streams...)
		case now.Sub(g.verified) >= doubtful/2 && now.Sub(g.asked) >= askAgain:
			t.ask(g, now)
		}
	}
	t.mu.Unlock()
	if n := s.cut(lost, causeStore, now); n > 0 {
		s.o.Logger.Error("streams were cut: changes of sessions are not heard and the store does not answer", "streams", n)
	}
}

// changed is told of changes of sessions; it does not wait.
func (s *Server) changed(c session.Change) {
	now := time.Now()
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.UserID == "" && c.Key != (session.Key{}) {
		if g := t.groups[c.Key]; g != nil {
			t.ask(g, now)
		}
		return
	}
	if c.UserID != "" {
		t.deny(c.UserID, now)
	}
	for _, g := range t.groups {
		if c.UserID != "" && g.unstored && g.user == c.UserID {
			g.user = "" // the user's tokens were taken back: look cuts them
		}
		if c.UserID == "" || g.unstored {
			t.ask(g, now)
		}
	}
}

// look asks who a group's session is by now and cuts or judges its streams.
func (s *Server) look(ctx context.Context, g *group, heard time.Time) {
	if !g.watched() {
		s.judgeAll(g, nil, heard)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	now := time.Now()
	who, a, err := s.ask(ctx, g.key, now)
	switch {
	case err == nil:
		s.table.vouched(g, a)
		s.judgeAll(g, who, heard)
	case errors.Is(err, session.ErrInvalid) || errors.Is(err, session.ErrNotFound):
		n := s.cut(s.table.of(g), causeRevoked, heard)
		s.o.Logger.Info("streams ended with their session", "session", g.key.Short(), "streams", n)
	default:
		s.unsure(g, heard, err)
	}
}

// word is what the store, or a local copy, gave for a session: that it was live
// at since, and is until until if it is not used before.
type word struct{ since, until time.Time }

// ask goes by local copies only while the feed is sound. What a copy says is as
// old as the feed's last proof.
func (s *Server) ask(ctx context.Context, k session.Key, now time.Time) (*session.Session, word, error) {
	if fresh, sound := s.heard(now); sound {
		who, until, err := s.o.Sessions.Live(ctx, k, now)
		w := word{since: now, until: until}
		if !fresh.IsZero() {
			w.since = fresh.Add(-session.FeedPromise)
		}
		return who, w, err
	}
	who, err := s.o.Sessions.Current(ctx, k)
	if err != nil {
		return nil, word{}, err
	}
	return who, word{since: now, until: who.IdleExpiresAt}, nil
}

// unsure keeps a group whose store did not answer for as long as the promise
// allows, and asks again.
func (s *Server) unsure(g *group, heard time.Time, err error) {
	t := s.table
	now := time.Now()
	t.mu.Lock()
	if g.doubt.IsZero() {
		g.doubt = heard
	}
	if now.Sub(g.doubt) < session.FeedPromise+s.o.Grace {
		if len(g.streams) > 0 {
			t.set(&g.again, now.Add(askAgain))
		}
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	n := s.cut(t.of(g), causeStore, heard)
	s.o.Logger.Error("streams were cut: their session may have changed and the store does not answer", "session", g.key.Short(), "streams", n, "error", err)
}
