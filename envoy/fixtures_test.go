package envoy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
)

// authzFixture is an ext_authz server that records what it is asked and
// answers as the x-test-mode header says. It is no gate: it only shows what
// Envoy sends and what Envoy makes of an answer.
type authzFixture struct {
	authv3.UnimplementedAuthorizationServer
	mu     sync.Mutex
	checks map[string][]*authv3.CheckRequest
	server *grpc.Server
}

func startAuthz(t *testing.T, socket string) *authzFixture {
	t.Helper()
	a := &authzFixture{checks: map[string][]*authv3.CheckRequest{}}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // a successor's socket may be there by then
	a.server = a.serve(l)
	t.Cleanup(func() { a.server.Stop() })
	return a
}

func (a *authzFixture) serve(l net.Listener) *grpc.Server {
	s := grpc.NewServer()
	authv3.RegisterAuthorizationServer(s, a)
	go func() { _ = s.Serve(l) }()
	return s
}

// header returns a header's values as the check carried them.
func header(r *authv3.CheckRequest, name string) (values []string) {
	for _, h := range r.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
		if h.GetKey() == name {
			values = append(values, string(h.GetRawValue()))
		}
	}
	return values
}

// Check implements the service.
func (a *authzFixture) Check(_ context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	id, mode := strings.Join(header(r, "x-test-id"), ","), strings.Join(header(r, "x-test-mode"), ",")
	a.mu.Lock()
	a.checks[id] = append(a.checks[id], r)
	a.mu.Unlock()
	meta, err := structpb.NewStruct(map[string]any{
		"user": "u-1", "email": "ada@company.com", "decision": "allow", "reason": "matched_policy", "session": "5e55", "policy_revision": "r1",
	})
	if err != nil {
		return nil, err
	}
	if mode == "deny" {
		meta.Fields["decision"], meta.Fields["reason"] = structpb.NewStringValue("deny"), structpb.NewStringValue("role_required")
		return &authv3.CheckResponse{
			Status: &rpcstatus.Status{Code: int32(codes.PermissionDenied)}, DynamicMetadata: meta,
			HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
				Status: &typev3.HttpStatus{Code: typev3.StatusCode_Forbidden}, Body: strings.Repeat("x", 20000),
			}},
		}, nil
	}
	ok := &authv3.OkHttpResponse{HeadersToRemove: []string{"authorization"}, Headers: []*corev3.HeaderValueOption{
		{Header: &corev3.HeaderValue{Key: "x-pomerium-email", Value: "ada@company.com"}},
		{Header: &corev3.HeaderValue{Key: "cookie", Value: "theme=dark"}},
	}}
	if key, value, set := strings.Cut(mode, "="); set {
		ok.Headers = append(ok.Headers, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: key, Value: value}})
	}
	return &authv3.CheckResponse{Status: &rpcstatus.Status{}, DynamicMetadata: meta, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok}}, nil
}

// seen returns the checks of one test id.
func (a *authzFixture) seen(id string) []*authv3.CheckRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.checks[id]
}

// arrived is a request as an upstream got it.
type arrived struct {
	socket, path, host string
	header             http.Header
}

// upstreamFixture records requests and answers them; it also stands for the
// gate's own HTTP.
type upstreamFixture struct {
	mu       sync.Mutex
	requests map[string][]arrived
}

func startUpstream(t *testing.T, sockets ...string) *upstreamFixture {
	t.Helper()
	u := &upstreamFixture{requests: map[string][]arrived{}}
	for _, socket := range sockets {
		u.listen(t, socket)
	}
	return u
}

func (u *upstreamFixture) listen(t *testing.T, socket string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: u.handler(socket), ReadHeaderTimeout: 10 * time.Second, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true) // as the gate itself
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
}

func (u *upstreamFixture) handler(socket string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Test-Id")
		u.mu.Lock()
		u.requests[id] = append(u.requests[id], arrived{socket, r.RequestURI, r.Host, r.Header.Clone()})
		u.mu.Unlock()
		if ms, err := strconv.Atoi(r.URL.Query().Get("wait")); err == nil {
			select {
			case <-time.After(time.Duration(ms) * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		if up := r.Header.Get("Upgrade"); up != "" {
			u.upgrade(w, up)
			return
		}
		w.Header().Set("Server", "upstream/1.0")
		_, _ = io.WriteString(w, "hello")
	})
}

// upgrade switches to whatever protocol was asked for, which is an echo.
func (u *upstreamFixture) upgrade(w http.ResponseWriter, protocol string) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+protocol+"\r\n\r\n")
	_, _ = io.Copy(conn, rw)
}

// seen returns the requests of one test id.
func (u *upstreamFixture) seen(id string) []arrived {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests[id]
}
