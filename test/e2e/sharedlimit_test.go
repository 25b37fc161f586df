package e2e

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/neosc/gate/test/kit"
	"github.com/neosc/gate/test/redistest"
)

// The limit that the shipped policies set for a user.
const (
	sharedRate     = 10
	sharedBurst    = 20
	sharedInterval = time.Second / sharedRate
)

// trio is three gates, as processes of their own, over one Redis, with one
// cookie key. They are asked over gRPC as their Envoys would.
type trio struct {
	edges  [3]*kit.Edge
	gates  [3]*kit.Server
	checks [3]authv3.AuthorizationClient
	redis  *redis.Client
}

const trioRoutes = `gate: http://gate.neosc.localhost:%[1]d
listen: 127.0.0.1:%[1]d
shields: {requests_per_second: 100000}
upstreams: {app: "127.0.0.1:9"}
hosts:
- origin: http://portal.neosc.localhost:%[1]d
  routes:
  - {name: portal, prefix: /, upstream: app, policy: {rate_limit: true}}
- origin: http://gate.neosc.localhost:%[1]d
  routes:
  - {name: gate, prefix: /, upstream: gate, pass_authorization: true}
`

func startTrio(t *testing.T) *trio {
	t.Helper()
	server, err := redistest.Socket()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	bin, err := kit.Gate()
	if err != nil {
		t.Fatal(err)
	}
	s := &trio{redis: redis.NewClient(&redis.Options{Network: server.Network, Addr: server.Addr})}
	t.Cleanup(func() { _ = s.redis.Close() })
	port := kit.FreePort(t) // of the origins; nobody listens there
	for i := range s.gates {
		dir, err := os.MkdirTemp("", "trio") // a socket's path has at most 107 bytes
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		e := &kit.Edge{Dir: dir, Port: port, Bin: bin}
		// The longest budget: a busy machine is no reason to count alone.
		e.Configure(t, fmt.Sprintf("session: {store: redis, redis: %q}\nlimits: {store: redis, redis: %q, budget: 900ms}\n", server.URL, server.URL))
		if err := os.WriteFile(filepath.Join(dir, "routes.yaml"), fmt.Appendf(nil, trioRoutes, port), 0o600); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if err := os.Symlink(filepath.Join(s.edges[0].Dir, "cookie-keys.yaml"), filepath.Join(dir, "cookie-keys.yaml")); err != nil {
				t.Fatal(err)
			}
		}
		s.edges[i], s.gates[i] = e, e.Serve(t)
		c, err := grpc.NewClient("unix:"+filepath.Join(dir, "a.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		s.checks[i] = authv3.NewAuthorizationClient(c)
	}
	return s
}

// request is what an Envoy asks for a person's GET of the portal.
func (s *trio) request(cookie string) *authv3.CheckRequest {
	peer := func(ip string, port uint32) *authv3.AttributeContext_Peer {
		return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}}
	}
	headers := &corev3.HeaderMap{}
	for _, h := range [][2]string{{"accept", "application/json"}, {"cookie", cookie}, {"x-envoy-external-address", "203.0.113.7"}, {"x-forwarded-proto", "http"}, {"x-request-id", "7c1f5a2e-0000-4000-8000-000000000001"}} {
		headers.Headers = append(headers.Headers, &corev3.HeaderValue{Key: h[0], RawValue: []byte(h[1])})
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: peer("203.0.113.7", 30000), Destination: peer("10.9.9.9", 443),
		ContextExtensions: map[string]string{"route": "portal"},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Id: "1", Method: http.MethodGet, Path: "/", Host: fmt.Sprintf("portal.neosc.localhost:%d", s.edges[0].Port), Scheme: "http", Protocol: "HTTP/1.1", HeaderMap: headers,
		}},
	}}
}

// state reads the one user's bucket: the instant, in Redis' time, at which it
// will be full.
func (s *trio) state(t *testing.T) time.Time {
	t.Helper()
	tables, err := s.redis.Keys(t.Context(), fmt.Sprintf("gate:limit:*%d:%d:user:[01]", sharedInterval.Nanoseconds(), sharedBurst)).Result()
	if err != nil {
		t.Fatal(err)
	}
	var at time.Time
	for _, table := range tables {
		fields, err := s.redis.HGetAll(t.Context(), table).Result()
		if err != nil {
			t.Fatal(err)
		}
		for field, v := range fields {
			if !strings.HasPrefix(field, ".") || len(v) != 8 {
				continue
			}
			if x := time.Unix(int64(binary.BigEndian.Uint32([]byte(v))), int64(binary.BigEndian.Uint32([]byte(v)[4:]))); x.After(at) {
				at = x
			}
		}
	}
	if at.IsZero() {
		t.Fatalf("Redis has no bucket of a user: %v", tables)
	}
	return at
}

// spending is the log of one person's requests.
type spending struct {
	mu       sync.Mutex
	admitted []window
	by       [3]int // admitted, by gate
	late     int    // refused for want of time: counted by no bucket, perhaps
}

// window is when a request was judged, as far as its sender knows.
type window struct{ from, to time.Time }

// one asks one gate once and says whether it admitted.
func (x *spending) one(t *testing.T, s *trio, gate int, cookie string) (bool, window) {
	w := window{from: time.Now()}
	reply, err := s.checks[gate].Check(t.Context(), s.request(cookie))
	w.to = time.Now()
	if err != nil {
		t.Errorf("gate %d: %v", gate, err)
		return false, w
	}
	denied := reply.GetDeniedResponse()
	if denied == nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.admitted, x.by[gate] = append(x.admitted, w), x.by[gate]+1
		return true, w
	}
	switch code := denied.GetStatus().GetCode(); code {
	case http.StatusTooManyRequests:
	case http.StatusServiceUnavailable:
		x.mu.Lock()
		defer x.mu.Unlock()
		x.late++
	default:
		t.Errorf("gate %d refuses with %d: %s", gate, code, denied.GetBody())
	}
	return false, w
}

// TestThreeGatesShareAUsersRateExactly: a user who sends 100 requests a second
// to three gates gets what one gate would give, the burst of 20 and 10 a second,
// not one more and not one less.
//
// Where a gate has to decide without Redis, or not at all, for want of time, or
// heard of a refusal late and keeps to it for as long, another user tries again:
// each happens on a machine that stands still for a moment.
func TestThreeGatesShareAUsersRateExactly(t *testing.T) {
	t.Parallel()
	s := startTrio(t)
	for try := 1; !t.Failed(); try++ {
		if s.shareExactly(t, fmt.Sprintf("shared%d@example.com", try)) {
			return
		}
		if try == 4 {
			t.Error("the gates decided without Redis or admitted too few each time")
		}
	}
}

// alone is how often the gates have decided by themselves.
func (s *trio) alone(t *testing.T) (n float64) {
	t.Helper()
	for _, g := range s.gates {
		n += kit.Value(kit.Metrics(t, g.Ops)["pomerium_limit_decisions_total"], "by", "local")
	}
	return n
}

// shareExactly is one user's try; it returns false if the machine had no time
// for it.
func (s *trio) shareExactly(t *testing.T, email string) bool {
	before := s.alone(t)
	_, rest, ok := strings.Cut(s.edges[0].Run(t, "session", "create", "-email", email, "-role", "user"), "_pomerium=")
	if !ok {
		t.Fatal("gate session create names no cookie")
	}
	cookie := "_pomerium=" + strings.Fields(rest)[0]
	var x spending
	// The burst is spent at once: from here on the bucket is never full again,
	// however slow the machine, and time that is not used is not lost.
	var all sync.WaitGroup
	for i := range sharedBurst {
		all.Go(func() { x.one(t, s, i%len(s.checks), cookie) })
	}
	all.Wait()
	if x.late > 0 || s.alone(t) > before {
		return false
	}
	if t.Failed() || len(x.admitted) != sharedBurst {
		t.Fatalf("of a burst of %d, %d were admitted", sharedBurst, len(x.admitted))
	}
	spent := s.state(t)
	began := spent.Add(-sharedBurst * sharedInterval) // in Redis' time, exactly
	for gate := range s.checks {
		all.Go(func() {
			tick := time.NewTicker(30 * time.Millisecond)
			defer tick.Stop()
			for n := 0; n < 80; n++ {
				<-tick.C
				x.one(t, s, gate, cookie)
			}
		})
	}
	all.Wait()
	// What has come since the last admission is taken too, until one is refused.
	var refused window
	for ok := true; ok && !t.Failed(); {
		ok, refused = x.one(t, s, 1, cookie)
	}
	if x.late > 0 || s.alone(t) > before {
		return false
	}
	n := len(x.admitted)
	// Redis and this test read one clock.
	least := sharedBurst + int(refused.from.Sub(began)/sharedInterval)
	most := sharedBurst + int(refused.to.Sub(began)/sharedInterval)
	t.Logf("%d admitted within %v, by gate %v; want %d", n, refused.to.Sub(began).Round(time.Millisecond), x.by, least)
	if n > most {
		t.Errorf("%d admitted, want %d (at most %d)", n, least, most)
	}
	if charged := s.state(t).Sub(spent); charged != time.Duration(n-sharedBurst)*sharedInterval {
		t.Errorf("Redis has charged %v after the burst of %d admissions: not one interval each", charged, n)
	}
	for gate, n := range x.by {
		if n == 0 {
			t.Errorf("gate %d admitted nothing", gate)
		}
	}
	x.checkWindows(t)
	return n >= least
}

// checkWindows looks at every window between two admissions: no more may surely
// lie in it than its length allows.
func (x *spending) checkWindows(t *testing.T) {
	t.Helper()
	for _, a := range x.admitted {
		for _, b := range x.admitted {
			within := 0
			for _, c := range x.admitted {
				if !c.from.Before(a.from) && !c.to.After(b.to) {
					within++
				}
			}
			if most := sharedBurst + sharedRate*b.to.Sub(a.from).Seconds(); within > 0 && float64(within) > most {
				t.Errorf("%d admitted within %v", within, b.to.Sub(a.from))
			}
		}
	}
}
