package envoy

import (
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/neosc/gate/authz/route"
)

const (
	filterShield = "envoy.filters.http.local_ratelimit"
	// shieldKey is Envoy's own name of the descriptor.
	shieldKey = "masked_remote_address"
	// requestsPerCycle is how many requests of one connection are begun before
	// the others have their turn. Without it one connection's burst of streams
	// that are reset at once goes first, all of it.
	requestsPerCycle = 5
	// limited tells the shield's 429 from the gate's, whose pages stay as they
	// are. Envoy sets its flag RL only after the answer was made.
	limited = `response.code_details == "local_rate_limited"`
)

// shield is the rate limit in front of the check, by the client's address. It
// knows no sessions: whoever shares an address with a flood is refused with it,
// all others are served.
func (b *builder) shield() *localv3.LocalRateLimit {
	s := b.Routes.Shields()
	always := func(key string) *corev3.RuntimeFractionalPercent {
		return &corev3.RuntimeFractionalPercent{RuntimeKey: key, DefaultValue: &typev3.FractionalPercent{Numerator: 100}}
	}
	return &localv3.LocalRateLimit{
		StatPrefix: "shield", FilterEnabled: always("shield.enabled"), FilterEnforced: always("shield.enforced"),
		Descriptors: []*ratelimitv3.LocalRateLimitDescriptor{{
			// Without a value each address gets a bucket of its own.
			Entries: []*ratelimitv3.RateLimitDescriptor_Entry{{Key: shieldKey}},
			TokenBucket: &typev3.TokenBucket{
				MaxTokens: s.Burst, TokensPerFill: u32(s.Requests), FillInterval: dur(time.Second),
			},
		}},
		MaxDynamicDescriptors: u32(s.Addresses),
		RateLimits: []*routev3.RateLimit{{Actions: []*routev3.RateLimit_Action{{
			// A subscriber has a network of 64 bits, and so 2^64 addresses of IPv6.
			ActionSpecifier: &routev3.RateLimit_Action_MaskedRemoteAddress_{MaskedRemoteAddress: &routev3.RateLimit_Action_MaskedRemoteAddress{
				V4PrefixMaskLen: u32(32), V6PrefixMaskLen: u32(64),
			}},
		}}}},
		EnableRetryAfterHeader:         true,
		RateLimitedAsResourceExhausted: true,
	}
}

// shielded is what the shield answers: a problem document (RFC 9457), as the
// gate's own 429 is to programs.
func (b *builder) shielded() *hcmv3.ResponseMapper {
	return &hcmv3.ResponseMapper{
		Filter:       b.when("shielded", limited),
		HeadersToAdd: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "cache-control", Value: "no-store"}}},
		BodyFormatOverride: problem("https://iana.org/assignments/http-problem-types#quota-exceeded", "Too Many Requests",
			"More requests come from your address than are open to one. This one was not carried out.", "rate_limited"),
	}
}

// overload bounds the connections of all clients. Envoy has no limit by
// default, and each costs it tens of kilobytes.
func (b *builder) overload() *overloadv3.OverloadManager {
	return &overloadv3.OverloadManager{ResourceMonitors: []*overloadv3.ResourceMonitor{{
		Name: "envoy.resource_monitors.global_downstream_max_connections",
		ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: b.any(&connectionsv3.DownstreamConnectionsConfig{
			MaxActiveDownstreamConnections: int64(b.Routes.Shields().Connections),
		})},
	}}}
}

// runtime are the settings that Envoy has nowhere else.
func runtime() *bootstrapv3.LayeredRuntime {
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "base", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{Fields: map[string]*structpb.Value{
			// The default of 100 has no room for the gate's own headers.
			"re2.max_program_size.error_level": structpb.NewNumberValue(route.RE2Budget),
			"http.max_requests_per_io_cycle":   structpb.NewNumberValue(requestsPerCycle),
		}}},
	}}}
}

// bound lets only so many checks wait for the gate: with more it answers none
// of them in time.
func (b *builder) bound(c *clusterv3.Cluster) *clusterv3.Cluster {
	for _, t := range c.GetCircuitBreakers().GetThresholds() {
		checks := b.Routes.Shields().Checks
		t.MaxRequests, t.MaxPendingRequests = u32(checks), u32(checks)
	}
	return c
}
