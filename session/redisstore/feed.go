package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/session"
)

const (
	// promise is how long after the last proof that the feed is alive copies
	// may be served: no revoked session lives longer than this.
	promise = time.Second
	// pingEvery is how often that proof is asked for.
	pingEvery = 200 * time.Millisecond
	// Pauses before connecting again.
	firstPause, longestPause = 20 * time.Millisecond, 500 * time.Millisecond
	// unanswered is how many pings may be under way: more than fit in promise.
	unanswered = 8
)

// feed hears of every change of a record on a connection of its own (CLIENT
// TRACKING in broadcasting mode) and knows how long it would have.
//
// The server sends what changed in one round of its loop after the replies of
// that round. So the answer to a ping proves only that everything up to the
// ping before it was delivered, and it is that one's sending from which the
// promise runs. A connection that stops without a word costs at most promise.
type feed struct {
	clock  func() time.Time
	log    *slog.Logger
	target *target
	prefix string // of the names of records
	up     prometheus.Gauge
	breaks prometheus.Counter

	cancel context.CancelFunc
	ctx    context.Context
	over   chan struct{} // closed when run has returned

	fresh atomic.Pointer[time.Time]

	mu       sync.Mutex
	watchers map[int]func(session.Key)
	next     int
}

func newFeed(o Options, t *target, prefix string) (*feed, error) {
	f := &feed{
		clock: o.Clock, log: o.Logger, target: t, prefix: prefix, over: make(chan struct{}), watchers: make(map[int]func(session.Key)),
		up:     prometheus.NewGauge(prometheus.GaugeOpts{Name: o.MetricPrefix + "session_feed_up", Help: "1 while changes of sessions by other gates are heard, else 0."}),
		breaks: prometheus.NewCounter(prometheus.CounterOpts{Name: o.MetricPrefix + "session_feed_breaks_total", Help: "Times that hearing of changes of sessions broke off or could not begin."}),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	if o.Registerer == nil {
		return f, nil
	}
	for _, c := range []prometheus.Collector{f.up, f.breaks} {
		if err := o.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return f, nil
}

// Watch implements session.Feed. stop must not be called from f.
func (st *Store) Watch(f func(session.Key)) (stop func()) {
	fd := st.feed
	fd.mu.Lock()
	defer fd.mu.Unlock()
	id := fd.next
	fd.next++
	fd.watchers[id] = f
	return func() {
		fd.mu.Lock()
		defer fd.mu.Unlock()
		delete(fd.watchers, id)
	}
}

// FreshUntil implements session.Feed. It is zero before the feed was first up
// and after Close; when the feed breaks it stands still.
func (st *Store) FreshUntil() time.Time {
	if t := st.feed.fresh.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

func (f *feed) tell(k session.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watchers {
		w(k)
	}
}

func (f *feed) close() {
	f.cancel()
	<-f.over
	f.fresh.Store(nil)
}

// run listens until close is called.
func (f *feed) run() {
	defer close(f.over)
	pause := firstPause
	for {
		began := time.Now()
		err := f.listen(f.ctx)
		f.up.Set(0)
		if f.ctx.Err() != nil {
			return
		}
		f.breaks.Inc()
		if time.Since(began) > 2*promise {
			pause = firstPause
		}
		if pause == firstPause {
			f.log.Warn("changes of sessions by other gates are not heard; after a second local copies are not served", "error", err)
		}
		t := time.NewTimer(pause)
		select {
		case <-f.ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		pause = min(2*pause, longestPause)
	}
}

// listen connects and tells of changes until the connection fails.
func (f *feed) listen(ctx context.Context) error {
	conn, err := f.target.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(promise)); err != nil {
		return err
	}
	w := newWire(conn)
	if err := f.hello(conn, w); err != nil {
		return err
	}
	last := f.clock()
	if _, err := conn.Write(command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", f.prefix)); err != nil {
		return err
	}
	if r, err := w.next(); err != nil || r.failure() != nil {
		return errors.Join(err, r.failure())
	}
	// From here on changes are heard; whatever went before may not have been.
	f.tell(session.Key{})
	f.log.Info("changes of sessions by other gates are heard")
	if err := conn.SetDeadline(time.Now().Add(promise)); err != nil {
		return err
	}
	sent := make(chan time.Time, unanswered)
	stop := make(chan struct{})
	var pinger sync.WaitGroup
	pinger.Go(func() { f.ping(conn, sent, stop) })
	err = f.read(conn, w, sent, last)
	close(stop)
	_ = conn.Close() // ends a write that hangs
	pinger.Wait()
	return err
}

func (f *feed) hello(conn net.Conn, w *wire) error {
	args := []string{"HELLO", "3"}
	if o := f.target.server; o.Password != "" || o.Username != "" {
		user := o.Username
		if user == "" {
			user = "default"
		}
		args = append(args, "AUTH", user, o.Password)
	}
	if _, err := conn.Write(command(args...)); err != nil {
		return err
	}
	r, err := w.next()
	if err != nil {
		return err
	}
	return f.isMaster(w, r)
}

// ping asks until stop is closed or the connection fails. HELLO without
// arguments changes nothing and says whether the server still is the one that
// all write to, which PING does not.
func (f *feed) ping(conn net.Conn, sent chan<- time.Time, stop <-chan struct{}) {
	t := time.NewTicker(pingEvery)
	defer t.Stop()
	hello := command("HELLO")
	for {
		select {
		case sent <- f.clock():
			_ = conn.SetWriteDeadline(time.Now().Add(promise))
			if _, err := conn.Write(hello); err != nil {
				_ = conn.Close()
				return
			}
		default: // too many are not answered
		}
		select {
		case <-stop:
			return
		case <-t.C:
		}
	}
}

// read takes what the server sends. last is when the ping before was sent.
func (f *feed) read(conn net.Conn, w *wire, sent <-chan time.Time, last time.Time) error {
	for {
		r, err := w.next()
		if err != nil {
			return err
		}
		if r.kind == '>' {
			if err := f.push(w, r); err != nil {
				return err
			}
			continue
		}
		if err := f.isMaster(w, r); err != nil {
			return err
		}
		select {
		case at := <-sent:
			until := last.Add(promise)
			f.fresh.Store(&until)
			f.up.Set(1)
			last = at
		default:
			return errors.New("an answer that nobody asked for")
		}
		if err := conn.SetReadDeadline(time.Now().Add(promise)); err != nil {
			return err
		}
	}
}

// push passes on which records changed.
func (f *feed) push(w *wire, r reply) error {
	if r.n != 2 {
		return w.skip(r, 0)
	}
	name, err := w.next()
	if err != nil {
		return err
	}
	about := string(name.text) == "invalidate" && !name.aggregate()
	if err := w.skip(name, 0); err != nil {
		return err
	}
	keys, err := w.next()
	if err != nil {
		return err
	}
	switch {
	case !about:
		return w.skip(keys, 0)
	case keys.kind == '_' || (keys.kind == '*' && keys.n < 0):
		f.tell(session.Key{}) // everything was flushed
		return nil
	case keys.kind != '*':
		return fmt.Errorf("not RESP: changes as %q", keys.kind)
	}
	for range keys.n {
		k, err := w.next()
		if err != nil {
			return err
		}
		if k.aggregate() || len(k.text) <= len(f.prefix) {
			return errors.New("not RESP: a change without its key")
		}
		// What is not named like a record is none, and no copy is kept of it.
		if key, err := session.ParseKey(string(k.text[len(f.prefix):])); err == nil {
			f.tell(key)
		}
	}
	return nil
}

// isMaster reads the rest of a reply to HELLO and refuses one by a replica: its
// master, to which others write now, may be far ahead.
func (f *feed) isMaster(w *wire, r reply) error {
	if err := r.failure(); err != nil {
		return err
	}
	if r.kind != '%' {
		return fmt.Errorf("not RESP3: HELLO answered with %q", r.kind)
	}
	role := ""
	for range r.n / 2 {
		k, err := w.next()
		if err != nil {
			return err
		}
		isRole := string(k.text) == "role"
		if err := w.skip(k, 0); err != nil {
			return err
		}
		v, err := w.next()
		if err != nil {
			return err
		}
		if isRole {
			role = string(v.text)
		}
		if err := w.skip(v, 0); err != nil {
			return err
		}
	}
	if role != "master" {
		return fmt.Errorf("the server's role is %q, want master", role)
	}
	return nil
}

// dial connects to the server that all write to.
func (t *target) dial(ctx context.Context) (net.Conn, error) {
	o := *t.server
	o.DialTimeout = promise
	ctx, cancel := context.WithTimeout(ctx, promise)
	defer cancel()
	addr := o.Addr
	if t.sentinels != nil {
		var err error
		if addr, err = t.master(ctx); err != nil {
			return nil, err
		}
	}
	return redis.NewDialer(&o)(ctx, o.Network, addr)
}

// master asks the Sentinels, one after another.
func (t *target) master(ctx context.Context) (string, error) {
	var errs []error
	for _, addr := range t.sentinels.SentinelAddrs {
		s := redis.NewSentinelClient(&redis.Options{
			Addr: addr, Username: t.sentinels.SentinelUsername, Password: t.sentinels.SentinelPassword, TLSConfig: t.sentinels.TLSConfig,
			MaxRetries: -1, DialerRetries: 1, DialTimeout: promise / 4, ReadTimeout: promise / 4, WriteTimeout: promise / 4, ContextTimeoutEnabled: true, DisableIdentity: true,
		})
		at, err := s.GetMasterAddrByName(ctx, t.sentinels.MasterName).Result()
		_ = s.Close()
		if err == nil && len(at) == 2 {
			return net.JoinHostPort(at[0], at[1]), nil
		}
		errs = append(errs, fmt.Errorf("sentinel %s: %w", addr, err))
	}
	return "", errors.Join(errs...)
}
