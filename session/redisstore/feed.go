package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/session"
)

// promise is how long after the last proof that the feed is alive copies may
// be served, and so how long a silent connection is waited for.
const promise = session.FeedPromise

// unanswered is how many pings may be under way: more than fit in promise.
const unanswered = 8

// feed hears of every change of a record or a mark on a connection of its own (CLIENT
// TRACKING in broadcasting mode) and knows how long it would have.
//
// The server sends what changed in one round of its loop after the replies of
// that round. So the answer to a ping proves only that everything up to the
// ping before it was delivered, and it is that one's sending from which the
// promise runs. A connection that stops without a word costs at most promise.
type feed struct {
	*session.Hub
	clock  func() time.Time
	target *target
	// of the names of records and of marks, equally long
	prefix, marks string

	ctx    context.Context // of run
	cancel context.CancelFunc
	over   chan struct{} // closed when run has returned
}

func newFeed(o Options, t *target, n names) (*feed, error) {
	hub, err := session.NewHub(o.Logger, o.Registerer, o.MetricPrefix)
	if err != nil {
		return nil, err
	}
	f := &feed{Hub: hub, clock: o.Clock, target: t, prefix: n.records, marks: n.marks, over: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f, nil
}

// run listens until close is called.
func (f *feed) run() {
	defer close(f.over)
	f.Run(f.ctx, f.listen)
}

func (f *feed) close() {
	f.cancel()
	<-f.over
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
	if _, err := conn.Write(command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", f.prefix, "PREFIX", f.marks)); err != nil {
		return err
	}
	if r, err := w.next(); err != nil || r.failure() != nil {
		return errors.Join(err, r.failure())
	}
	// From here on changes are heard; whatever went before may not have been.
	f.Begin()
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
	t := time.NewTicker(session.FeedPing)
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
			f.Heard(last)
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
		f.Tell(session.Key{}) // everything was flushed
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
			f.Tell(key)
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
