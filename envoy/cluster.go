package envoy

import (
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/neosc/gate/authz/route"
)

const httpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// gateCluster leads to one of the gate's sockets: HTTP/2, one connection for
// each of Envoy's workers. A gate that is being replaced says so on it and names
// the last request that it answers (GOAWAY), so that Envoy sends the others to
// its successor; over HTTP/1.1 some requests meet a closing connection, and with
// it 503.
func (b *builder) gateCluster(name, socket string, addresses ...route.Endpoint) *clusterv3.Cluster {
	u := route.Upstream{Name: name, Endpoints: addresses, HTTP2: true, ConnectTimeout: 250 * time.Millisecond}
	if len(addresses) == 0 {
		u.Endpoints = []route.Endpoint{{Socket: socket}}
		c := b.cluster(u)
		if name == clusterLeash {
			b.keepAlive(c)
		}
		return c
	}
	u.ConnectTimeout = time.Second // with a handshake
	c := b.cluster(u)
	c.TransportSocket = b.gateTLS()
	b.keepAlive(c)
	return c
}

const (
	// aliveEvery and aliveWithin: a gate that hangs, or whose machine is gone
	// without a word, is known by then. Without asking, its streams would live
	// unwatched, and checks be lost on its connection, for a quarter of an hour.
	// The gate's servers take a question every half second.
	aliveEvery, aliveWithin = time.Second, 3 * time.Second
)

// keepAlive closes connections of a cluster on which nobody answers.
func (b *builder) keepAlive(c *clusterv3.Cluster) {
	p := speaksHTTP2()
	p.GetExplicitHttpConfig().GetHttp2ProtocolOptions().ConnectionKeepalive = &corev3.KeepaliveSettings{Interval: dur(aliveEvery), Timeout: dur(aliveWithin)}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpProtocolOptions: b.any(p)}
}

// cluster leads to one upstream.
func (b *builder) cluster(u route.Upstream) *clusterv3.Cluster {
	discovery, endpoints := clusterv3.Cluster_STATIC, make([]*endpointv3.LbEndpoint, 0, len(u.Endpoints))
	for _, e := range u.Endpoints {
		address := pipe(e.Socket, 0)
		if e.Socket == "" {
			address = hostPort(e.Host, e.Port)
			if _, err := netip.ParseAddr(e.Host); err != nil {
				discovery = clusterv3.Cluster_STRICT_DNS
			}
		}
		endpoints = append(endpoints, &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}}})
	}
	c := &clusterv3.Cluster{
		Name:                 u.Name,
		ConnectTimeout:       dur(u.ConnectTimeout),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: discovery},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: u.Name, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: endpoints}},
		},
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
	if u.HTTP2 {
		c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpProtocolOptions: b.any(speaksHTTP2())}
	}
	if u.TLS != nil {
		c.TransportSocket = b.upstreamTLS(u)
	}
	if u.HealthCheck != nil {
		c.HealthChecks = []*corev3.HealthCheck{healthCheck(u)}
		// By default Envoy takes all endpoints for well once half of them are not.
		c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: 0}}
	}
	return c
}

func speaksHTTP2() *upstreamhttpv3.HttpProtocolOptions {
	return &upstreamhttpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
				},
			},
		},
	}
}

func healthCheck(u route.Upstream) *corev3.HealthCheck {
	h := u.HealthCheck
	check := &corev3.HealthCheck_HttpHealthCheck{Path: h.Path, Host: h.Host}
	if u.HTTP2 {
		check.CodecClientType = typev3.CodecClientType_HTTP2
	}
	for _, s := range h.Statuses {
		check.ExpectedStatuses = append(check.ExpectedStatuses, &typev3.Int64Range{Start: int64(s), End: int64(s) + 1})
	}
	return &corev3.HealthCheck{
		Interval: dur(h.Interval), Timeout: dur(h.Timeout), HealthyThreshold: u32(h.Healthy), UnhealthyThreshold: u32(h.Unhealthy),
		// By default an upstream without traffic is asked every minute only, and
		// is found dead by the first who needs it.
		NoTrafficInterval: dur(h.Interval),
		HealthChecker:     &corev3.HealthCheck_HttpHealthCheck_{HttpHealthCheck: check},
	}
}
