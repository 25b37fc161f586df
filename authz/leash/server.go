package leash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/neosc/gate/session"
)

const (
	// MetadataNamespace and MetadataKey are where Envoy keeps the ticket.
	MetadataNamespace = "envoy.filters.http.ext_authz"
	MetadataKey       = "leash"
	// ticketLife is how long after its decision a ticket holds: the stream
	// begins within milliseconds of it.
	ticketLife = 30 * time.Second
	// askTimeout bounds one question to the store.
	askTimeout = 700 * time.Millisecond
)

// Server implements envoy.service.ext_proc.v3.ExternalProcessor. Run must run
// while it serves.
type Server struct {
	extprocv3.UnimplementedExternalProcessorServer
	o       Options
	table   *table
	metrics *metrics
	leaving atomic.Bool // it takes no more streams
	stopped sync.Once
	stop    func()
}

// New returns a Server, or an error that names what is wrong with the options.
// Close it when done.
func New(o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	ms, err := newMetrics(o.Registerer, o.MetricPrefix)
	if err != nil {
		return nil, fmt.Errorf("leash: metrics: %w", err)
	}
	s := &Server{o: o, table: newTable(), metrics: ms}
	s.stop = o.Sessions.Watch(s.changed)
	return s, nil
}

// NewGRPCServer returns a grpc.Server for one Envoy beside it. Connections are
// not closed for being old: that would cut what they hold.
func NewGRPCServer(s *Server, opts ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(256 << 10),
		grpc.MaxConcurrentStreams(65536),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 500 * time.Millisecond, PermitWithoutStream: true}),
	}, opts...)...)
	extprocv3.RegisterExternalProcessorServer(g, s)
	return g
}

// Process holds one stream: it takes it or refuses it, answers what Envoy must
// have an answer to, and stays until Envoy or the gate lets go.
func (s *Server) Process(st extprocv3.ExternalProcessor_ProcessServer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("panic while holding a stream", "panic", fmt.Sprint(p))
			err = status.Error(codes.Internal, "panic") // which cuts the stream
		}
	}()
	h, err := s.take(st)
	if h == nil {
		return err
	}
	defer func() {
		s.table.remove(h)
		s.metrics.open.Dec()
	}()
	if err := h.send(headersDone(), false); err != nil {
		return err
	}
	for {
		m, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return nil // Envoy closes its side when the client's stream is over
		}
		if err != nil {
			return err
		}
		a := answer(m)
		if a == nil {
			return status.Error(codes.InvalidArgument, "leash: Envoy sends what the leash does not ask for; take the filter's processing_mode from gate envoy bootstrap")
		}
		if err := h.send(a, false); err != nil {
			return err
		}
	}
}

// take reads the first message. Without a stream the call ends with err: a
// refusal was sent, if err is nil.
func (s *Server) take(st extprocv3.ExternalProcessor_ProcessServer) (*stream, error) {
	first, err := st.Recv()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h, cause := s.admit(st, first)
	if cause == "" {
		s.metrics.open.Inc()
		return h, nil
	}
	s.metrics.refused.WithLabelValues(cause).Inc()
	return nil, h.send(refusal(statusOf(cause), cause), true)
}

// admit takes a stream in by its ticket, or says why not.
func (s *Server) admit(st extprocv3.ExternalProcessor_ProcessServer, first *extprocv3.ProcessingRequest) (*stream, string) {
	h := &stream{grpc: st, at: -1}
	plain, t := s.ticketOf(first)
	if t == nil {
		return h, refusedTicket
	}
	now := time.Now()
	if !t.until.IsZero() && !now.Before(t.until) {
		return h, refusedOver
	}
	h.ticket, h.version, h.judged, h.certified = plain, t.version, t.revision, t.certified()
	if !s.table.add(h, t, &s.o) {
		s.o.Logger.Warn("too many live streams", "session", t.key.Short(), "streams", s.table.size())
		return h, refusedFull
	}
	// Looked at after it was taken in: a change before is seen here, one after
	// finds it in the table.
	cause := s.verify(st.Context(), h, t, now)
	if cause != "" {
		s.table.remove(h)
	}
	return h, cause
}

// ticketOf opens the ticket in Envoy's metadata. It must be this request's, by
// the id that Envoy gave it, and fresh.
func (s *Server) ticketOf(first *extprocv3.ProcessingRequest) ([]byte, *ticket) {
	sealed := first.GetMetadataContext().GetFilterMetadata()[MetadataNamespace].GetFields()[MetadataKey].GetStringValue()
	if sealed == "" {
		s.o.Logger.Warn("a stream came without a ticket; the leash belongs after ext_authz, with its metadata forwarded, as gate envoy bootstrap has it")
		return nil, nil
	}
	plain, err := s.o.Tickets.open(sealed)
	if err != nil {
		s.o.Logger.Warn("a stream came with a ticket that does not open; do the gates behind this Envoy share their cookie keys?", "error", err)
		return nil, nil
	}
	t, err := decode(plain, s.o.Routes)
	if err != nil {
		s.o.Logger.Warn("a stream came with a ticket of another version of the gate", "error", err)
		return nil, nil
	}
	if id := requestID(first); id == "" || id != t.request.ID {
		s.o.Logger.Warn("a stream came with another request's ticket")
		return nil, nil
	}
	if age := time.Since(t.issued); age > ticketLife || age < -ticketLife {
		s.o.Logger.Warn("a stream came with an old ticket", "age", age)
		return nil, nil
	}
	return plain, t
}

func requestID(first *extprocv3.ProcessingRequest) string {
	id := ""
	for _, h := range first.GetRequestHeaders().GetHeaders().GetHeaders() {
		if h.GetKey() != "x-request-id" {
			continue
		}
		if id != "" {
			return "" // two ids are none
		}
		if id = string(h.GetRawValue()); id == "" {
			id = h.GetValue()
		}
	}
	return id
}

// verify looks at the session of a stream that was just taken in; "" lets it
// live.
func (s *Server) verify(ctx context.Context, h *stream, t *ticket, now time.Time) string {
	if t.unstored && s.table.deniedSince(t.user, t.issued) {
		return refusedOver
	}
	if !t.signedIn || t.unstored {
		return s.refreshed(h, nil, now)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	who, a, err := s.ask(ctx, t.key, now)
	switch {
	case errors.Is(err, session.ErrInvalid) || errors.Is(err, session.ErrNotFound):
		return refusedOver
	case err != nil:
		s.o.Logger.Warn("a stream's session cannot be looked at", "session", t.key.Short(), "error", err)
		return causeStore
	}
	s.table.vouched(h.group, a)
	return s.refreshed(h, who, now)
}

func headersDone() *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{}}}
}

// answer is what lets Envoy go on after a message, nil for one that the filter's
// processing mode does not ask for.
func answer(m *extprocv3.ProcessingRequest) *extprocv3.ProcessingResponse {
	switch m.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extprocv3.TrailersResponse{}}}
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{}}}
	default:
		return nil
	}
}
