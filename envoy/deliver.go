package envoy

import (
	"path/filepath"
	"slices"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// Kinds of resources, by the names of their watched files below Options.Files.
const (
	kindListeners = "lds.json"
	kindClusters  = "cds.json"
	kindRoutes    = "rds.json"
	fileBootstrap = "envoy.yaml"
)

// deliver puts the listener and the clusters into the bootstrap, or what leads
// to them.
func (b *builder) deliver(out *bootstrapv3.Bootstrap) {
	out.StaticResources = &bootstrapv3.Bootstrap_StaticResources{Clusters: b.ownClusters()}
	if b.Files != "" {
		out.DynamicResources = &bootstrapv3.Bootstrap_DynamicResources{LdsConfig: b.watched(kindListeners), CdsConfig: b.watched(kindClusters)}
		return
	}
	if b.Discovers() {
		b.discovered(out)
		return
	}
	out.StaticResources.Listeners = []*listenerv3.Listener{b.listener()}
	out.StaticResources.Clusters = slices.Concat(out.StaticResources.Clusters, b.clusters())
}

// routesFrom says where the listener has its routes from.
func (b *builder) routesFrom(m *hcmv3.HttpConnectionManager) {
	if b.Files == "" && !b.Discovers() {
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: b.routeConfiguration()}
		return
	}
	source := discovery()
	if b.Files != "" {
		source = b.watched(kindRoutes)
	}
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: routeConfig, ConfigSource: source}}
}

// watched is a file that Envoy reads again when another is renamed over it.
func (b *builder) watched(name string) *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_PathConfigSource{
			PathConfigSource: &corev3.PathConfigSource{Path: filepath.Join(b.Files, name)},
		},
	}
}

// discovered leads to the gate's discovery service for upstreams and routes. The
// listener is in the bootstrap: no change of routes touches it.
func (b *builder) discovered(out *bootstrapv3.Bootstrap) {
	out.StaticResources.Listeners = []*listenerv3.Listener{b.listener()}
	out.StaticResources.Clusters = append(out.StaticResources.Clusters, b.discoveryCluster())
	out.Node.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{nodeListener: structpb.NewStringValue(b.Routes.ListenerRevision())}}
	out.DynamicResources = &bootstrapv3.Bootstrap_DynamicResources{
		CdsConfig: discovery(),
		AdsConfig: &corev3.ApiConfigSource{
			ApiType: corev3.ApiConfigSource_GRPC, TransportApiVersion: corev3.ApiVersion_V3, SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
				ClusterName: clusterADS,
				// By default an Envoy whose gate was away comes back after up to 30 s.
				RetryPolicy: &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{BaseInterval: dur(100 * time.Millisecond), MaxInterval: dur(2 * time.Second)}},
			}}}},
		},
	}
}

func (b *builder) discoveryCluster() *clusterv3.Cluster {
	return b.gateCluster(clusterADS, b.ADSSocket, b.ADS...)
}

// discovery is the gate's discovery service. An Envoy that starts while it is
// away waits for it: by default it would serve after 15 s, without a route.
func discovery() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3, InitialFetchTimeout: dur(0),
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}
