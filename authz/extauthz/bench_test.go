package extauthz

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/authz/limit"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/memstore"
)

// constant is an engine that always says the same, so that what is measured is
// all the rest of a check.
type constant struct{ decision authz.Decision }

func (c *constant) Decide(context.Context, *authz.Request) (*authz.Decision, error) {
	return &c.decision, nil
}

// realServer has every part that gate has, but the engine, and n people who are
// signed in; it returns their requests.
func realServer(t testing.TB, n int) (*Server, []string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ring, err := cookie.OpenRing(filepath.Join(t.TempDir(), "keys"))
	must(err)
	sealer, err := cookie.New(ring, "_pomerium", "session")
	must(err)
	sessions, err := session.NewManager(session.Options{Store: memstore.New(), Sealer: sealer, Logger: slog.New(slog.DiscardHandler)})
	must(err)
	t.Cleanup(sessions.Close)
	limiter, err := limit.NewLocal(limit.Options{})
	must(err)
	metrics, err := observe.NewMetrics(observe.MetricsOptions{Registerer: prometheus.NewRegistry(), Routes: []string{"api"}})
	must(err)
	recent, err := observe.NewRecent(64) // whose slots have found their size after as many checks
	must(err)
	log, err := observe.NewLog(observe.LogOptions{Writer: io.Discard})
	must(err)
	t.Cleanup(func() { _ = log.Close(context.Background()) })
	keys, err := assertion.Keys(nil).With(time.Now(), time.Now())
	must(err)
	signer, err := assertion.New(assertion.Options{Keys: keys, Issuer: "https://gate.example.com"})
	must(err)
	f := newFixture()
	f.routes["api"] = &authz.Route{Name: "api", Origin: "https://api.example.com", PassIdentityHeaders: true}
	engine := &constant{authz.Decision{
		Allowed: true, Reasons: []string{"matched_policy"}, Revision: "4f0c2d", Generation: 1,
		Headers: []authz.Header{{Name: "x-pomerium-email", Value: "user0001@example.com"}, {Name: "x-pomerium-groups", Value: "user"}, {Name: "x-pomerium-user", Value: "u-1"}},
		Charges: []authz.Charge{{Name: "user", Key: "u-1", Rate: 1e6, Burst: 1e6, Cost: 1}},
	}}
	d, err := authz.NewDecider(authz.Options{Sessions: sessions, Engine: engine, Limiter: limiter, CookieName: "_pomerium", Observer: authz.Observers{metrics, recent, log}})
	must(err)
	o := f.newServer(t).opt
	o.Decider, o.Assertion, o.Clock = d, signer.Assertion, time.Now
	s, err := New(o)
	must(err)
	requests := make([]string, n)
	for i := range requests {
		email := fmt.Sprintf("user%04d@example.com", i)
		_, value, err := sessions.Create(t.Context(), session.Identity{UserID: fmt.Sprint("u-", i), Email: email, Roles: []string{"user"}}, session.Browser, time.Hour)
		must(err)
		b, err := proto.Marshal(browserCheck(i, "_pomerium="+value))
		must(err)
		requests[i] = string(b)
	}
	return s, requests
}

// browserCheck is what Envoy sends of a browser's request: twelve headers in raw
// form, 900 bytes of cookies among them.
func browserCheck(i int, session string) *authv3.CheckRequest {
	cookie := session + "; theme=dark; prefs="
	cookie += strings.Repeat(base64.RawURLEncoding.EncodeToString([]byte(session)), 5)[:max(0, 900-len(cookie))]
	in := check("api", "GET", fmt.Sprintf("/api/orders/%d/items?expand=lines&page=%d", i, i%7),
		"accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
		"accept-language", "es-MX,es;q=0.9,en;q=0.8", "accept-encoding", "gzip, deflate, br, zstd", "cookie", cookie,
		"origin", "https://api.example.com", "sec-fetch-dest", "document", "sec-fetch-mode", "navigate", "sec-fetch-site", "same-site",
		"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
		"x-envoy-external-address", "203.0.113.7", "x-forwarded-proto", "https", "x-request-id", fmt.Sprintf("7c1f5a2e-0000-4000-8000-%012d", i))
	peer := func(ip string, port uint32) *authv3.AttributeContext_Peer {
		return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}}
	}
	in.Attributes.Source, in.Attributes.Destination = peer("203.0.113.7", 4711), peer("10.0.0.1", 443)
	in.Attributes.Request.Http.Protocol = "HTTP/2"
	return in
}

// one answers one check as serve does.
func (s *Server) one(ctx context.Context, in string) {
	c := s.calls.Get().(*call)
	c.in = in
	s.answer(ctx, c)
	c.out.Free()
	s.keep(c)
}

// A check of somebody known allocates the list of one buffer that grpc-go wants,
// and nothing else; over gRPC the message comes on top.
func TestACheckAllocatesNextToNothing(t *testing.T) {
	s, requests := realServer(t, 4)
	ctx := t.Context()
	for range 100 { // everybody is met and signed
		for _, in := range requests {
			s.one(ctx, in)
		}
	}
	i := 0
	n := testing.AllocsPerRun(1000, func() {
		s.one(ctx, requests[i%len(requests)])
		i++
	})
	if n > 2 && !raced { // pools lose what they hold when memory is collected
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkCheckWithoutEngine is a check from its bytes to those of its answer,
// without gRPC and policy.
func BenchmarkCheckWithoutEngine(b *testing.B) {
	s, requests := realServer(b, 1000)
	ctx := b.Context()
	for _, in := range requests {
		s.one(ctx, in)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.one(ctx, requests[i%len(requests)])
		i++
	}
}

// noop is the unit of the promises: generated code and default options.
type noop struct {
	authv3.UnimplementedAuthorizationServer
}

func (noop) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	ok := &authv3.OkHttpResponse{}
	for _, name := range []string{"x-pomerium-email", "x-pomerium-groups", "x-pomerium-user"} {
		ok.Headers = append(ok.Headers, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: "somebody@example.com"}})
	}
	return &authv3.CheckResponse{Status: &rpcstatus.Status{}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok}}, nil
}

// BenchmarkCheckOverGRPC has 16 callers on one connection, client and server in
// one process: the difference between the two is what counts.
func BenchmarkCheckOverGRPC(b *testing.B) {
	s, requests := realServer(b, 1000)
	stock := func() *grpc.Server {
		g := grpc.NewServer()
		authv3.RegisterAuthorizationServer(g, noop{})
		return g
	}
	for name, newServer := range map[string]func() *grpc.Server{"Noop": stock, "Gate": func() *grpc.Server { return NewGRPCServer(s) }} {
		b.Run(name, func(b *testing.B) {
			g := newServer()
			l, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
			if err != nil {
				b.Fatal(err)
			}
			go func() { _ = g.Serve(l) }()
			b.Cleanup(g.Stop)
			conn, err := grpc.NewClient("unix:"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(prepared{})))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = conn.Close() })
			b.SetParallelism(8)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					var reply struct{}
					if err := conn.Invoke(context.Background(), authv3.Authorization_Check_FullMethodName, &requests[i%len(requests)], &reply); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// prepared sends bytes as they are and does not look at the answer.
type prepared struct{}

func (prepared) Marshal(v any) ([]byte, error) { return []byte(*v.(*string)), nil }
func (prepared) Unmarshal([]byte, any) error   { return nil }
func (prepared) Name() string                  { return "proto" }
