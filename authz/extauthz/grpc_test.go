package extauthz

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/neosc/gate/authz"
)

// dial serves s as gate does, beside health and reflection, and connects to it.
func dial(t testing.TB, s *Server) *grpc.ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := NewGRPCServer(s)
	healthv1.RegisterHealthServer(g, health.NewServer())
	reflection.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(Gather(l)) }()
	t.Cleanup(func() { g.Stop(); <-served })
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestGeneratedClientsAreAnswered(t *testing.T) {
	t.Parallel()
	client := authv3.NewAuthorizationClient(dial(t, newFixture().server(t)))
	in := check("portal", "GET", "/", "cookie", "a=1; _pomerium=s")
	for name, opts := range map[string][]grpc.CallOption{"Plain": nil, "Compressed": {grpc.UseCompressor(gzip.Name)}} {
		t.Run(name, func(t *testing.T) {
			resp, err := client.Check(t.Context(), in, opts...)
			if err != nil || resp.GetStatus().GetCode() != 0 || header(resp.GetOkResponse().GetHeaders(), "cookie") != "a=1" {
				t.Errorf("%v, %v", resp, err)
			}
		})
	}
	t.Run("InSeveralFrames", func(t *testing.T) { // of 16 KiB each
		resp, err := client.Check(t.Context(), check("portal", "GET", "/", "cookie", "_pomerium=s; a="+strings.Repeat("x", 60<<10)))
		if err != nil || len(header(resp.GetOkResponse().GetHeaders(), "cookie")) != 60<<10+2 {
			t.Errorf("%v, %v", resp.GetStatus(), err)
		}
	})
	t.Run("LargerThanAllowed", func(t *testing.T) {
		if resp, err := client.Check(t.Context(), check("portal", "GET", "/", "cookie", strings.Repeat("x", 300<<10))); err == nil {
			t.Errorf("answered %v", resp)
		}
	})
}

// Rooms are used again: what one caller sent must not show in another's answer.
func TestCallsAtOnceDoNotMeet(t *testing.T) {
	t.Parallel()
	f := newFixture()
	f.decide = func(r *authz.Request) (*authz.Decision, error) {
		agent, _ := r.Headers.Get("user-agent")
		return &authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}, Headers: []authz.Header{{Name: "x-pomerium-a", Value: agent}}}, nil
	}
	client := authv3.NewAuthorizationClient(dial(t, f.server(t)))
	var wg sync.WaitGroup
	for caller := range 80 { // more than there are stream workers
		wg.Go(func() {
			for i := range 20 {
				mine := fmt.Sprintf("%d-%d-%s", caller, i, strings.Repeat("z", caller*i%3000))
				resp, err := client.Check(context.Background(), check("portal", "GET", "/", "cookie", "_pomerium=s; m="+mine, "user-agent", mine))
				if err != nil {
					t.Error(err)
					return
				}
				if hs := resp.GetOkResponse().GetHeaders(); header(hs, "x-pomerium-a") != mine || header(hs, "cookie") != "m="+mine {
					t.Errorf("%s got %v", mine, hs)
				}
			}
		})
	}
	wg.Wait()
}

func TestPanicEndsOneCheckAlone(t *testing.T) {
	t.Parallel()
	s := newFixture().server(t)
	var panics atomic.Int64
	s.opt.OnPanic = func() { panics.Add(1) }
	settable := s.opt.Settable
	s.opt.Settable = func(name string) bool {
		if name == "x-pomerium-panic" {
			panic("boom")
		}
		return settable(name)
	}
	f := newFixture()
	f.decide = func(r *authz.Request) (*authz.Decision, error) {
		d := &authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}}
		if r.Path == "/panic" {
			d.Headers = []authz.Header{{Name: "x-pomerium-panic"}}
		}
		return d, nil
	}
	s.opt.Decider = f.server(t).opt.Decider
	client := authv3.NewAuthorizationClient(dial(t, s))
	for i, want := range []int32{503, 200, 503, 200} {
		path := "/"
		if want == 503 {
			path = "/panic"
		}
		resp, err := client.Check(t.Context(), check("portal", "GET", path, "cookie", "_pomerium=s"))
		if err != nil {
			t.Fatal(err)
		}
		if want == 503 && (resp.GetErrorResponse().GetStatus().GetCode() != 503 || resp.GetStatus().GetCode() == 0) || want == 200 && resp.GetOkResponse() == nil {
			t.Errorf("check %d: %v", i, resp)
		}
	}
	if panics.Load() != 2 {
		t.Errorf("%d panics counted", panics.Load())
	}
}

func TestBytesThatAreNoCheckAreABadRequest(t *testing.T) {
	t.Parallel()
	s := newFixture().server(t)
	for name, in := range map[string]string{"Junk": "\x0c", "NotUTF8": "\x0a\x06\x22\x04\x12\x02\x22\x01", "NotUTF8Path": "\x0a\x07\x22\x05\x12\x03\x22\x01\xff"} {
		t.Run(name, func(t *testing.T) {
			resp, err := decoded(t.Context(), s, in)
			if err != nil || resp.GetDeniedResponse().GetStatus().GetCode() != 400 || resp.GetStatus().GetCode() == 0 {
				t.Errorf("%v, %v", resp, err)
			}
		})
	}
}

func TestOtherServicesOnTheSameServer(t *testing.T) {
	t.Parallel()
	conn := dial(t, newFixture().server(t))
	if resp, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil || resp.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", resp, err)
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	const service = "envoy.service.auth.v3.Authorization"
	list := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	found := false
	for _, s := range list.GetListServicesResponse().GetService() {
		found = found || s.GetName() == service
	}
	file := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service + ".Check"}})
	if !found || len(file.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("reflection lists %v and describes Check with %v", list, file)
	}
}

// A call is answered by its first message alone, whether or not it has ended; one
// without any has no answer.
func TestFirstMessageOfACallIsAnswered(t *testing.T) {
	t.Parallel()
	conn := dial(t, newFixture().server(t))
	open := func() grpc.ClientStream {
		t.Helper()
		stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, authv3.Authorization_Check_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	stream := open()
	if err := stream.SendMsg(check("portal", "GET", "/", "cookie", "_pomerium=s; first=1")); err != nil {
		t.Fatal(err)
	}
	_ = stream.SendMsg(check("portal", "GET", "/", "cookie", "_pomerium=s; second=1")) // it may be answered by now
	var resp authv3.CheckResponse
	if err := stream.RecvMsg(&resp); err != nil || header(resp.GetOkResponse().GetHeaders(), "cookie") != "first=1" {
		t.Errorf("%v, %v", &resp, err)
	}
	if err := stream.RecvMsg(&resp); err != io.EOF {
		t.Errorf("after its answer the call goes on: %v", err)
	}
	empty := open()
	if err := empty.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := empty.RecvMsg(&resp); err == nil || err == io.EOF {
		t.Errorf("a call without a message is answered: %v, %v", &resp, err)
	}
}
