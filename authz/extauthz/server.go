package extauthz

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// Refusal is what a page needs to know to explain itself to a person.
type Refusal struct {
	Status     int
	Reasons    []string
	Request    *authz.Request
	Session    *session.Session
	RetryAfter time.Duration
	// Charge and Spent say which limit refused; Charge is nil otherwise.
	Charge *authz.Charge
	Spent  authz.Spent
	// Explain: policy lets this person see why.
	Explain bool
}

// Page is a rendered refusal.
type Page struct {
	ContentType string
	// Headers go out with it (Content-Security-Policy and the like).
	Headers []authz.Header
	// Body is at most 16 KiB: Envoy cuts longer ones.
	Body string
}

// Options make a Server; all but Ticket and OnPanic are required.
type Options struct {
	Decider *authz.Decider
	Routes  authz.Routes
	// CookieName is the session cookie, which no upstream ever sees.
	CookieName string
	// SignInURL is the absolute URL of the sign-in page; the return target is
	// added as the query parameter rd.
	SignInURL string
	// SecondFactorURL is that of the page on which somebody who is signed in
	// shows a second factor; "" if there is none.
	SecondFactorURL string
	// Settable reports whether a policy may set this request header (lower
	// case); it mirrors the edge's own mutation rules.
	Settable func(name string) bool
	// RefusalPage renders a refusal for a person.
	RefusalPage func(Refusal) Page
	// Assertion signs who asks, for the host that was asked. It is sent on each
	// allow of a session on a route that passes identity headers; when it fails,
	// so does the decision.
	Assertion func(s *session.Session, host string, now time.Time) (string, error)
	// AssertionHeader carries it, in lower case. Policy cannot set it.
	AssertionHeader string
	// LimitHeaders gives Retry-After, RateLimit and RateLimit-Policy for a 429.
	LimitHeaders func(authz.Charge, authz.Spent) []authz.Header
	// Ticket says whose a stream is, for the leash; nil where streams are not held.
	// It must keep nothing of the request.
	Ticket func(*authz.Request, *authz.Outcome) (string, error)
	Logger *slog.Logger
	// Clock gives the instant of each decision.
	Clock func() time.Time
	// OnPanic is called for a panic caught outside the Decider; may be nil.
	OnPanic func()
}

// Server answers envoy.service.auth.v3.Authorization/Check. Safe for concurrent
// use.
type Server struct {
	opt   Options
	calls sync.Pool // of *call
	// trouble is the answer when not even a refusal could be put together.
	trouble []byte
}

// New returns a Server, or an error that names the missing option.
func New(o Options) (*Server, error) {
	for name, missing := range map[string]bool{
		"Decider": o.Decider == nil, "Routes": o.Routes == nil, "CookieName": o.CookieName == "",
		"SignInURL": o.SignInURL == "", "Settable": o.Settable == nil, "RefusalPage": o.RefusalPage == nil,
		"Assertion": o.Assertion == nil, "AssertionHeader": o.AssertionHeader == "",
		"LimitHeaders": o.LimitHeaders == nil, "Logger": o.Logger == nil, "Clock": o.Clock == nil,
	} {
		if missing {
			return nil, errors.New("extauthz: Options." + name + " is missing")
		}
	}
	s := &Server{opt: o}
	var err error
	if s.trouble, err = plainTrouble(); err != nil {
		return nil, err
	}
	s.calls.New = func() any { return new(call) }
	return s, nil
}

// logFailure says once, here, why a decision failed; the client learns only
// the reason code and the request id.
func (s *Server) logFailure(r *authz.Request, o *authz.Outcome) {
	args := []any{"reason", o.Reasons[0], "route", r.RouteName, "request_id", clip(r.ID, 128), "error", o.Err}
	if p, ok := errors.AsType[*authz.PanicError](o.Err); ok {
		args = append(args, "stack", string(p.Stack))
	}
	s.opt.Logger.Error("decision failed", args...)
}

// Flow-control windows (RFC 9113, 5.2) in bytes. Fixed ones spare a ping with each
// request, by which grpc-go would measure how large they should be: its answer
// wakes the gate once more, a third of what a check costs behind an Envoy that
// asks one at a time. A stream's has room for the largest message, the
// connection's for two thousand checks that Envoy sent and nobody has read.
const (
	streamWindow = 512 << 10
	connWindow   = 4 << 20
)

// NewGRPCServer returns a grpc.Server tuned for one Envoy beside it, which other
// services may be registered with. Messages are small; stream workers spare a
// goroutine per call whose stack grows (policy recurses): a tenth of a Check.
//
// Every failure of ours is an answer (503), since a gRPC error would be retried
// by the edge and charge limits again.
func NewGRPCServer(s *Server, opts ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(proto.Name)}),
		grpc.NumStreamWorkers(64),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.MaxRecvMsgSize(256 << 10),
		grpc.MaxConcurrentStreams(65536),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 500 * time.Millisecond, PermitWithoutStream: true}),
	}, opts...)...)
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: authv3.Authorization_ServiceDesc.ServiceName,
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{{StreamName: "Check", Handler: s.serve, ClientStreams: true}},
		Metadata:    authv3.Authorization_ServiceDesc.Metadata,
	}, s)
	return g
}
