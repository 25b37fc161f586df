package leash

import (
	"sync"
	"time"

	"github.com/neosc/gate/session"
)

// table are the streams that are held, by session, and the instants at which
// something is due: one heap and one timer for all of them.
type table struct {
	mu      sync.Mutex
	groups  map[session.Key]*group
	n       int
	bytes   int // of all tickets
	alarms  alarms
	closing bool
	// denied are users whose access tokens were taken back, and when; kept for
	// as long as a ticket of before may still come.
	denied map[string]time.Time
	// wake has the loop look at the alarms anew; queue has the groups that wait
	// for a worker.
	wake  chan struct{}
	queue []*group
	ready sync.Cond
}

func newTable() *table {
	t := &table{groups: map[session.Key]*group{}, denied: map[string]time.Time{}, wake: make(chan struct{}, 1)}
	t.ready.L = &t.mu
	return t
}

// poke has the loop look at the alarms anew.
func (t *table) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// add takes a stream in; false when there are too many, of all or of its session.
func (t *table) add(s *stream, of *ticket, o *Options) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, each := t.groups[of.key], o.PerSession
	if !of.signedIn {
		each = o.Strangers
	}
	if t.n >= o.MaxStreams || t.bytes+len(s.ticket) > o.MaxBytes || g != nil && len(g.streams) >= each {
		return false
	}
	if g == nil {
		g = &group{key: of.key, user: of.user, unstored: of.unstored, verified: time.Now()}
		g.again.group = g
		t.groups[of.key] = g
	}
	s.group, s.at = g, len(g.streams)
	g.streams = append(g.streams, s)
	t.n++
	t.bytes += len(s.ticket)
	s.end.stream = s
	if !of.until.IsZero() {
		t.set(&s.end, of.until)
	}
	return true
}

// remove takes a stream out; false if it was out already.
func (t *table) remove(s *stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.drop(s)
}

// drop is remove for those who hold the lock.
func (t *table) drop(s *stream) bool {
	if s.at < 0 {
		return false
	}
	g := s.group
	last := len(g.streams) - 1
	g.streams[s.at] = g.streams[last]
	g.streams[s.at].at = s.at
	g.streams[last] = nil
	g.streams = g.streams[:last]
	s.at = -1
	t.n--
	t.bytes -= len(s.ticket)
	t.clear(&s.end)
	if last == 0 {
		t.clear(&g.again)
		delete(t.groups, g.key)
	}
	return true
}

// ask queues a group for a worker. The lock is held.
func (t *table) ask(g *group, now time.Time) {
	if g.queued || len(g.streams) == 0 {
		return
	}
	g.queued, g.heard, g.asked = true, now, now
	t.queue = append(t.queue, g)
	t.ready.Signal()
}

// next returns the next group that waits and since when, or nil once the table
// is closed.
func (t *table) next() (*group, time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.queue) == 0 && !t.closing {
		t.ready.Wait()
	}
	if t.closing {
		return nil, time.Time{}
	}
	g := t.queue[0]
	t.queue[0] = nil
	t.queue = t.queue[1:]
	g.queued = false
	return g, g.heard
}

// deny remembers that a user's access tokens were taken back. The lock is held.
func (t *table) deny(user string, now time.Time) {
	for u, at := range t.denied {
		if now.Sub(at) > ticketLife {
			delete(t.denied, u)
		}
	}
	t.denied[user] = now
}

// deniedSince reports whether a user's access tokens were taken back after an
// instant.
func (t *table) deniedSince(user string, issued time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.denied[user]
	return ok && !at.Before(issued)
}

// close lets the workers go.
func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing = true
	t.ready.Broadcast()
}

// of lists a group's streams.
func (t *table) of(g *group) []*stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*stream(nil), g.streams...)
}

// all lists every stream.
func (t *table) all() []*stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*stream, 0, t.n)
	for _, g := range t.groups {
		list = append(list, g.streams...)
	}
	return list
}

func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// vouched notes that a session was live, and when to look again.
func (t *table) vouched(g *group, w word) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.since.After(g.verified) {
		g.verified = w.since
	}
	g.doubt = time.Time{}
	if len(g.streams) > 0 {
		t.set(&g.again, w.until)
	}
}
