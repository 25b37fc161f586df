package leash

import (
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/neosc/gate/session"
)

// stream is one held stream. The table's lock guards all but mu and what it
// guards.
type stream struct {
	ticket  []byte // encoded: a tenth of what it takes decoded
	group   *group
	at      int // in group.streams; -1 once let go
	version uint64
	// judged is the revision of the policy that allowed it.
	judged string
	// certified: a client certificate counted, and lists is the state of the lists
	// of revoked ones by which it was looked at last.
	certified bool
	lists     uint64
	end       alarm

	mu   sync.Mutex // guards sending
	grpc extprocv3.ExternalProcessor_ProcessServer
	over bool // the last message was sent
}

// group are the streams of one session, or those of nobody (the zero key).
type group struct {
	key      session.Key
	user     string
	unstored bool
	streams  []*stream
	// verified is when the store last said that the session is live.
	verified time.Time
	// doubt is since when a change is known that the store could not yet be
	// asked about; zero for none.
	doubt time.Time
	// queued: it waits for a worker; heard is since when.
	queued bool
	heard  time.Time
	asked  time.Time // when it was queued last
	again  alarm
}

// watched reports whether the store can say that the session is over.
func (g *group) watched() bool { return g.key != (session.Key{}) && !g.unstored }

// send puts a message on the stream, unless the last one was sent already.
func (s *stream) send(m *extprocv3.ProcessingResponse, last bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil
	}
	s.over = last
	// Never waits for Envoy: gRPC queues 64 KiB of a stream, and this is all
	// that is ever sent on it.
	return s.grpc.Send(m)
}

// refusal is the answer that ends the client's stream, or the request before it
// became one.
func refusal(status int, cause string) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ImmediateResponse{
		ImmediateResponse: &extprocv3.ImmediateResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(status)},
			Details: "leash_" + cause,
			Headers: &extprocv3.HeaderMutation{SetHeaders: []*corev3.HeaderValueOption{{
				Header:       &corev3.HeaderValue{Key: "cache-control", RawValue: []byte("no-store")},
				AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			}}},
		},
	}}
}

// statusOf is what a client sees of a cause that comes before the answer began.
func statusOf(cause string) int {
	switch cause {
	case causeError, causeStore, causeShutdown, refusedFull:
		return 503
	default:
		return 403
	}
}
