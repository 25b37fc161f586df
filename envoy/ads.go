package envoy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	sotwv3 "github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"github.com/neosc/gate/authz/route"
)

// ADS delivers routes and upstreams to every Envoy that asks for them over
// aggregated discovery (xDS, state of the world), on a Unix socket or on TCP with
// certificates on both sides, which is its caller's to see to. What an Envoy refuses it goes on without, and tells why. Envoys ask anew after the
// gate was away and go on meanwhile; only one that starts then waits. Safe for
// concurrent use.
type ADS struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer

	mu   sync.Mutex // one change at a time
	o    Options
	now  cachev3.Snapshot
	keep cachev3.SnapshotCache
	sotw sotwv3.Server
	grpc *grpc.Server
	end  context.CancelFunc
	asks *askers
	// admin is of the Envoy beside the gate. Others tell of all but of
	// certificates that they cannot read.
	admin *Admin
}

var _ carrier = (*ADS)(nil)

// ADSOptions say what an ADS has and whom it tells.
type ADSOptions struct {
	// Options are those of the bootstrap that the Envoys run on. NodeID is what
	// they must call themselves.
	Options Options
	// Logger is told of Envoys that come, go, and are turned away; required.
	Logger *slog.Logger
	// Refused is told when an Envoy refuses what it gets outside of a change, as
	// one that has just started; may be nil. It must not call the ADS.
	Refused func(error)
	// Server are further options of the gRPC server, as what keeps connections over
	// TCP.
	Server []grpc.ServerOption
}

// Bounds of the service. Envoy's description of itself, with every extension
// that it has, comes to some 100 KiB.
const (
	maxAskers     = 64
	maxAskMessage = 1 << 20
)

// oneForAll gives all Envoys the same.
type oneForAll struct{}

func (oneForAll) ID(*corev3.Node) string { return nodeCluster }

// NewADS returns what serves the routes of o.Options.
func NewADS(o ADSOptions) (*ADS, error) {
	if err := o.Options.check(); err != nil {
		return nil, err
	}
	if !o.Options.Discovers() || o.Logger == nil {
		return nil, errors.New("envoy: discovery needs a socket or addresses, and a logger")
	}
	ctx, end := context.WithCancel(context.Background())
	a := &ADS{o: o.Options, keep: cachev3.NewSnapshotCache(true, oneForAll{}, nil), end: end}
	a.asks, a.admin = newAskers(o), NewAdmin(o.Options.AdminSocket)
	b := &builder{Options: o.Options}
	err := errors.Join(
		a.put(kindClusters, o.Options.Routes.Revision(), b, messages(b.clusters())...),
		a.put(kindRoutes, o.Options.Routes.Revision(), b, b.routeConfiguration()),
	)
	if err != nil {
		end()
		return nil, err
	}
	a.sotw = sotwv3.NewServer(ctx, a.keep, a.asks, sotwv3.WithOrderedADS())
	a.grpc = grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxAskMessage), grpc.MaxConcurrentStreams(maxAskers),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: aliveEvery / 2, PermitWithoutStream: true}),
	}, o.Server...)...)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(a.grpc, a)
	return a, nil
}

// StreamAggregatedResources serves one Envoy until it or the ADS ends.
func (a *ADS) StreamAggregatedResources(s discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return a.sotw.StreamHandler(s, resourcev3.AnyType)
}

// Serve answers on l until Close.
func (a *ADS) Serve(l net.Listener) error { return a.grpc.Serve(l) }

// Close ends all streams. The Envoys go on with what they have.
func (a *ADS) Close() {
	a.end() // the streams end by themselves then, but of an Envoy that does not read
	late := time.AfterFunc(time.Second, a.grpc.Stop)
	defer late.Stop()
	a.grpc.GracefulStop()
}

// Apply delivers next as Files.Apply does. It waits for every Envoy that is
// there; what one of them refuses none keeps. Those that are not there get next
// when they come.
func (a *ADS) Apply(ctx context.Context, next *route.File) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asks.changing(true)
	defer a.asks.changing(false)
	if err := roll(ctx, a, a.o, next); err != nil {
		return err
	}
	a.o.Routes = next
	return nil
}

// Problem is what is amiss with the Envoys that are there, or nil: one refuses
// what it got, or has another listener than the routes file would give it.
func (a *ADS) Problem() error { return a.asks.problem() }

// Connected is how many Envoys are there.
func (a *ADS) Connected() int { return a.asks.count() }

// kinds are the discovery service's names of what is delivered.
var kinds = map[string]struct {
	url  string
	slot types.ResponseType
}{
	kindClusters: {resourcev3.ClusterType, types.Cluster},
	kindRoutes:   {resourcev3.RouteType, types.Route},
}

// put implements carrier. The caller holds mu, or is alone.
func (a *ADS) put(kind, version string, b *builder, list ...proto.Message) error {
	if b.err != nil {
		return b.err
	}
	items := make([]types.Resource, 0, len(list))
	for _, m := range list {
		items = append(items, m)
	}
	if err := b.writeSecrets(); err != nil { // which the list leads to
		return err
	}
	a.now.Resources[kinds[kind].slot] = cachev3.NewResources(version, items)
	snapshot := a.now // the cache keeps it
	return a.keep.SetSnapshot(context.Background(), nodeCluster, &snapshot)
}

func (a *ADS) change(ctx context.Context, kind, version string, b *builder, list ...proto.Message) error {
	before, away := a.admin.state(ctx)
	if err := a.put(kind, version, b, list...); err != nil {
		return err
	}
	if err := a.asks.await(ctx, kinds[kind].url, version); err != nil || away != nil || kind != kindClusters {
		return err
	}
	if err := a.admin.awaitSecrets(ctx, b, before); !errors.Is(err, errAway) {
		return err
	}
	return nil
}

func (a *ADS) has(_ context.Context, kind string, _ ...string) bool {
	return a.asks.content(kinds[kind].url)
}
