package leash_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/leash"
	"github.com/neosc/gate/session"
)

// world is who is signed in, what policy says and how the store is.
type world struct {
	mu       sync.Mutex
	sessions map[session.Key]*session.Session
	watch    []func(session.Change)
	shared   bool
	fresh    time.Time
	away     bool
	revision string
	deny     bool
	until    time.Time
	judged   int
	lists    uint64
	revoked  bool
	looked   int // at certificates alone
}

func newWorld() *world {
	return &world{sessions: map[session.Key]*session.Session{}, revision: "r1", lists: 1}
}

// signIn makes a session that lives an hour.
func (w *world) signIn(id byte) *session.Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := time.Now().Add(time.Hour)
	s := &session.Session{Key: session.Key{id}, Version: 1, ExpiresAt: end, IdleExpiresAt: end, Identity: session.Identity{UserID: "u", Roles: []string{"user"}}}
	w.sessions[s.Key] = s
	return s
}

// set changes the world and tells of c.
func (w *world) set(c session.Change, f func()) {
	w.mu.Lock()
	f()
	tell := w.watch
	w.mu.Unlock()
	for _, t := range tell {
		t(c)
	}
}

func (w *world) revoke(s *session.Session) {
	w.set(session.Change{Key: s.Key}, func() { delete(w.sessions, s.Key) })
}

func (w *world) Watch(f func(session.Change)) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watch = append(w.watch, f)
	return func() {}
}

func (w *world) Live(ctx context.Context, k session.Key, now time.Time) (*session.Session, time.Time, error) {
	s, err := w.Current(ctx, k)
	if errors.Is(err, session.ErrNotFound) {
		err = session.ErrInvalid
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	return s, s.IdleExpiresAt, nil
}

func (w *world) Current(_ context.Context, k session.Key) (*session.Session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sessions[k]
	switch {
	case w.away:
		return nil, session.ErrUnavailable
	case s == nil || !s.LiveAt(time.Now()):
		return nil, session.ErrNotFound
	}
	return s, nil
}

func (w *world) FreshUntil() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fresh, w.shared
}

func (w *world) Rejudge(_ context.Context, r *authz.Request) *authz.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judged++
	o := &authz.Outcome{Verdict: authz.Allowed, Decision: &authz.Decision{Revision: w.revision}}
	if w.deny || r.Route == nil || r.Method != "GET" || w.revoked && r.Source.Certificate != "" {
		o.Verdict = authz.Denied
	}
	if !w.until.IsZero() {
		o.StreamFor = w.until.Sub(r.Time)
	}
	return o
}

func (w *world) Recertify(r *authz.Request) *authz.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked++
	o := &authz.Outcome{Verdict: authz.Allowed}
	if r.Source.Certificate != "PEM" || r.SNI != r.Host || w.revoked {
		o.Verdict = authz.Denied
	}
	return o
}

func (w *world) Route(name string) *authz.Route { return &authz.Route{Name: name} }

// keys are those of the tickets.
func keys(ids ...byte) func() ([][]byte, error) {
	return func() ([][]byte, error) {
		var out [][]byte
		for _, id := range ids {
			k := make([]byte, 32)
			k[0] = id
			out = append(out, k)
		}
		return out, nil
	}
}

// stage is a running leash.
type stage struct {
	*world
	*leash.Server
	t       *testing.T
	tickets *leash.Tickets
	reg     *prometheus.Registry
}

func start(t *testing.T, w *world, change func(*leash.Options)) *stage {
	t.Helper()
	tickets, err := leash.NewTickets("_pomerium", keys(1))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{world: w, t: t, tickets: tickets, reg: prometheus.NewRegistry()}
	o := leash.Options{
		Sessions: w, Judge: w, Routes: w, Tickets: tickets, Logger: slog.New(slog.DiscardHandler), Registerer: s.reg,
		Revision: func() string { w.mu.Lock(); defer w.mu.Unlock(); return w.revision },
		Lists:    func() uint64 { w.mu.Lock(); defer w.mu.Unlock(); return w.lists },
	}
	if change != nil {
		change(&o)
	}
	if s.Server, err = leash.New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { s.Close(); cancel(); <-done })
	return s
}

// request is one that may become a stream.
func request(id string, who *session.Session) *authz.Request {
	return &authz.Request{
		Time: time.Now(), ID: id, Method: "GET", Scheme: "https", Host: "workspace.example", Path: "/ws?x=1", Protocol: "HTTP/1.1",
		RouteName: "workspace", Extensions: map[string]string{"route": "workspace", "leash": "hold"}, Session: who,
		Headers: authz.Headers{{Name: "x-request-id", Value: id}, {Name: "cookie", Value: "theme=dark; _pomerium=v1.secret"}, {Name: "authorization", Value: "Bearer secret"}},
	}
}

// ticket is what the check gave a request.
func (s *stage) ticket(id string, who *session.Session, lives time.Duration) string {
	s.t.Helper()
	s.mu.Lock()
	o := &authz.Outcome{Verdict: authz.Allowed, StreamFor: lives, Decision: &authz.Decision{Revision: s.revision}}
	s.mu.Unlock()
	r := request(id, who)
	if strings.HasPrefix(id, "certified") {
		r.SNI, r.Source.Certificate, r.Certificate = r.Host, "PEM", &authz.Certificate{}
	}
	text, err := s.tickets.Ticket(r, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// wire is Envoy's end of one stream, and the server's.
type wire struct {
	grpc.ServerStream
	ctx  context.Context
	hang context.CancelFunc
	in   chan *extprocv3.ProcessingRequest
	mu   sync.Mutex
	got  []*extprocv3.ProcessingResponse
	done chan struct{}
	err  error
	cut  time.Time
}

func (x *wire) Context() context.Context { return x.ctx }

func (x *wire) Recv() (*extprocv3.ProcessingRequest, error) {
	select {
	case m := <-x.in:
		return m, nil
	case <-x.ctx.Done():
		return nil, io.EOF
	}
}

// Send is what Envoy does with a message: an immediate response ends the stream.
func (x *wire) Send(m *extprocv3.ProcessingResponse) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.got = append(x.got, m)
	if m.GetImmediateResponse() != nil {
		x.cut = time.Now()
		x.hang()
	}
	return nil
}

// status and details are those of the cut; 0 while the stream lives.
func (x *wire) status() (code int, details string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, m := range x.got {
		if r := m.GetImmediateResponse(); r != nil {
			return int(r.GetStatus().GetCode()), r.GetDetails()
		}
	}
	return 0, ""
}

// opened reports whether the stream was let begin.
func (x *wire) opened() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.got) > 0 && x.got[0].GetRequestHeaders() != nil
}

// open sends the first message with a ticket in its metadata.
func (s *stage) open(id, ticket string) *wire {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	x := &wire{ctx: ctx, hang: cancel, in: make(chan *extprocv3.ProcessingRequest, 1), done: make(chan struct{})}
	meta := map[string]*structpb.Struct{}
	if ticket != "" {
		meta[leash.MetadataNamespace] = &structpb.Struct{Fields: map[string]*structpb.Value{leash.MetadataKey: structpb.NewStringValue(ticket)}}
	}
	x.in <- &extprocv3.ProcessingRequest{
		MetadataContext: &corev3.Metadata{FilterMetadata: meta},
		Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{
			Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "x-request-id", RawValue: []byte(id)}}},
		}},
	}
	go func() { x.err = s.Process(x); close(x.done) }()
	s.t.Cleanup(func() { cancel(); <-x.done })
	return x
}

// stream opens one for a session and wants it to be let begin.
func (s *stage) stream(id string, who *session.Session, lives time.Duration) *wire {
	s.t.Helper()
	x := s.open(id, s.ticket(id, who, lives))
	synctest.Wait()
	if !x.opened() {
		code, details := x.status()
		s.t.Fatalf("stream %s was refused: %d %s", id, code, details)
	}
	return x
}

// want wants a stream to have been cut for a cause, or with "" to live.
func (s *stage) want(x *wire, cause string) {
	s.t.Helper()
	synctest.Wait()
	if _, details := x.status(); details != cause {
		s.t.Errorf("cut for %q, want %q", details, cause)
	}
}

// value is that of a counter or gauge.
func (s *stage) value(name, cause string) float64 {
	s.t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (cause == "" || m.GetLabel()[0].GetValue() == cause) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
