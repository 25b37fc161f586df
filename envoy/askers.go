package envoy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"unicode"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	sotwv3 "github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// askers are the Envoys that have a stream to the discovery service, and how far
// each got. Envoy confirms each answer, or says why it does not take it.
type askers struct {
	nodeID  string
	log     *slog.Logger
	refused func(error)
	// listener is what the listener of each should be made from; no change changes it.
	listener string

	mu       sync.Mutex
	streams  map[int64]*asker
	inChange bool
	news     chan struct{} // closed, and made anew, when anything below changes
}

var _ sotwv3.Callbacks = (*askers)(nil)

// asker is one Envoy.
type asker struct {
	known    bool   // that it is one of the gate's
	listener string // what its own was made from
	kinds    map[string]*answer
}

// answer is the last one of a kind, and what became of it.
type answer struct {
	nonce, version string
	taken          bool
	refusal        error
}

func newAskers(o ADSOptions) *askers {
	return &askers{
		nodeID: o.Options.NodeID, log: o.Logger, refused: o.Refused, listener: o.Options.Routes.ListenerRevision(),
		streams: map[int64]*asker{}, news: make(chan struct{}),
	}
}

// OnStreamOpen implements sotwv3.Callbacks.
func (a *askers) OnStreamOpen(_ context.Context, id int64, _ string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.streams) >= maxAskers {
		return status.Errorf(codes.ResourceExhausted, "%d Envoys are served already", maxAskers)
	}
	a.streams[id] = &asker{kinds: map[string]*answer{}}
	return nil
}

// OnStreamClosed implements sotwv3.Callbacks.
func (a *askers) OnStreamClosed(id int64, _ *corev3.Node) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.streams[id]; s != nil && s.known {
		a.log.Info("an Envoy no longer asks for routes", "node", a.nodeID)
	}
	delete(a.streams, id)
	a.tell()
}

// OnStreamRequest implements sotwv3.Callbacks.
func (a *askers) OnStreamRequest(id int64, r *discoveryv3.DiscoveryRequest) error {
	refusal, err := a.request(id, r)
	if refusal != nil && a.refused != nil {
		a.refused(refusal)
	}
	return err
}

// request notes what an Envoy says. refusal is what nobody else will report.
func (a *askers) request(id int64, r *discoveryv3.DiscoveryRequest) (refusal, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.streams[id]
	if s == nil {
		return nil, status.Error(codes.ResourceExhausted, "no such stream")
	}
	if !s.known {
		n := r.GetNode() // the sender's first message has it
		if n.GetId() != a.nodeID || n.GetCluster() != nodeCluster {
			a.log.Warn("an Envoy is turned away: its bootstrap is not one of this gate's", "node", oneLine(n.GetId()), "cluster", oneLine(n.GetCluster()))
			return nil, status.Errorf(codes.PermissionDenied, "no node %q of cluster %q is known here; run Envoy on `gate envoy bootstrap -ads`", oneLine(n.GetId()), oneLine(n.GetCluster()))
		}
		s.known, s.listener = true, n.GetMetadata().GetFields()[nodeListener].GetStringValue()
		a.log.Info("an Envoy asks for routes", "node", a.nodeID)
	}
	k := s.kinds[r.GetTypeUrl()]
	if k == nil {
		if len(s.kinds) >= maxKinds {
			return nil, status.Error(codes.InvalidArgument, "too many kinds of resources")
		}
		s.kinds[r.GetTypeUrl()] = &answer{}
		a.tell()
		return nil, nil
	}
	if r.GetResponseNonce() == "" || r.GetResponseNonce() != k.nonce {
		return nil, nil // of an answer before the last
	}
	defer a.tell()
	if r.GetErrorDetail() == nil {
		k.taken, k.refusal = true, nil
		return nil, nil
	}
	k.refusal = fmt.Errorf("envoy refuses the change: %s", oneLine(r.GetErrorDetail().GetMessage()))
	// With the version that it has instead it would be sent the same at once, for
	// ever. As if it had taken this one, it gets the next.
	r.VersionInfo = k.version
	if a.inChange {
		return nil, nil // told by whoever makes the change
	}
	return k.refusal, nil
}

// maxKinds bounds the kinds of resources that one Envoy may ask for.
const maxKinds = 16

// OnStreamResponse implements sotwv3.Callbacks.
func (a *askers) OnStreamResponse(_ context.Context, id int64, _ *discoveryv3.DiscoveryRequest, r *discoveryv3.DiscoveryResponse) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.streams[id]; s != nil {
		s.kinds[r.GetTypeUrl()] = &answer{nonce: r.GetNonce(), version: r.GetVersionInfo()}
	}
}

// tell wakes whoever waits. The caller holds mu.
func (a *askers) tell() {
	close(a.news)
	a.news = make(chan struct{})
}

// await returns when every Envoy that asks for the kind has taken the version,
// or with why one has not.
func (a *askers) await(ctx context.Context, kind, version string) error {
	for {
		pending, news, err := a.progress(kind, version)
		if err != nil || !pending {
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("envoy has not taken the change: %w", ctx.Err())
		}
	}
}

func (a *askers) progress(kind, version string) (pending bool, news <-chan struct{}, refusal error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.streams {
		k := s.kinds[kind]
		switch {
		case k == nil:
		case k.version == version && k.refusal != nil:
			return false, a.news, k.refusal
		case k.version != version || !k.taken:
			pending = true
		}
	}
	return pending, a.news, nil
}

// content reports whether no Envoy refuses what it got of a kind.
func (a *askers) content(kind string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.streams {
		if k := s.kinds[kind]; k != nil && k.refusal != nil {
			return false
		}
	}
	return true
}

func (a *askers) changing(yes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inChange = yes
}

func (a *askers) count() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.streams {
		if s.known {
			n++
		}
	}
	return n
}

func (a *askers) problem() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for _, s := range a.streams {
		for _, k := range s.kinds {
			errs = append(errs, k.refusal)
		}
		if s.known && s.listener != a.listener {
			errs = append(errs, errors.New("an Envoy runs on a bootstrap that was made from other settings of the routes file; run `gate envoy bootstrap -ads` and start it anew"))
		}
	}
	return errors.Join(errs...)
}

// maxReason bounds what is kept of an Envoy's words.
const maxReason = 1 << 10

// oneLine makes what an Envoy said fit for one line of a log.
func oneLine(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason] + "…"
	}
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, s))
}
