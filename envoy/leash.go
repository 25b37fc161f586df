package envoy

import (
	"time"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/neosc/gate/authz/route"
)

// filterLeash and clusterLeash name what holds live streams.
const (
	filterLeash  = "envoy.filters.http.ext_proc"
	clusterLeash = "leash"
)

// contextLeash is the context extension by which the gate learns that what it
// allows will be held, so that it says whose it is in its metadata.
const contextLeash = "leash"

// leashed says whether there is a leash to hold streams.
func (b *builder) leashed() bool { return b.LeashSocket != "" || len(b.Leash) > 0 }

// leash is the filter that holds streams: after the check, whose metadata it
// passes on (which no client reaches), and off but on routes that turn it on.
// Its gRPC stream stays open, without a word, for as long as the client's; if
// that ends with an error or an answer, so does the client's.
func (b *builder) leash() *hcmv3.HttpFilter {
	config := b.any(&extprocv3.ExternalProcessor{
		GrpcService: &corev3.GrpcService{
			TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: clusterLeash}},
			Timeout:         dur(0), // as long as the stream
		},
		FailureModeAllow: false,
		StatusOnError:    &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
		// Of the first answer; none is awaited after it.
		MessageTimeout: dur(time.Second),
		ProcessingMode: &extprocv3.ProcessingMode{
			// Waiting for trailers, which streams hardly ever have, is what keeps
			// the gRPC stream open.
			RequestHeaderMode: extprocv3.ProcessingMode_SEND, ResponseHeaderMode: extprocv3.ProcessingMode_SKIP,
			RequestTrailerMode: extprocv3.ProcessingMode_SKIP, ResponseTrailerMode: extprocv3.ProcessingMode_SEND,
		},
		ForwardRules: &extprocv3.HeaderForwardingRules{AllowedHeaders: anyOf([]string{"x-request-id"})},
		MetadataOptions: &extprocv3.MetadataOptions{
			ForwardingNamespaces: &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{filterExtAuthz}},
		},
		MutationRules:    &mutationv3.HeaderMutationRules{DisallowAll: yes(), DisallowIsError: no()},
		RouteCacheAction: extprocv3.ExternalProcessor_RETAIN,
	})
	return &hcmv3.HttpFilter{Name: filterLeash, Disabled: true, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: config}}
}

// routesOf are the routes of an entry: two of them, if its requests are short
// but for those that upgrade. A route's timeout ends every answer but not what
// has been upgraded; only what may outlive it is worth a gRPC stream.
func (b *builder) routesOf(e route.Entry) []*routev3.Route {
	r := b.route(e)
	switch {
	case !b.leashed() || e.Public || e.Upstream == "" && e.Weighted == nil || e.Upstream == route.GateUpstream:
		return []*routev3.Route{r}
	case e.Timeout == 0:
		b.hold(r, e)
		return []*routev3.Route{r}
	case len(e.Upgrades) == 0:
		return []*routev3.Route{r}
	}
	// Envoy turns an extended CONNECT (RFC 8441) into this form before it routes.
	r.Match.Headers = append(r.Match.Headers, &routev3.HeaderMatcher{Name: "upgrade", HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}})
	b.hold(r, e)
	e.Upgrades = nil
	return []*routev3.Route{r, b.route(e)}
}

// hold turns the leash on for a route.
func (b *builder) hold(r *routev3.Route, e route.Entry) {
	r.TypedPerFilterConfig = map[string]*anypb.Any{
		filterExtAuthz: b.any(&extauthzv3.ExtAuthzPerRoute{Override: &extauthzv3.ExtAuthzPerRoute_CheckSettings{
			CheckSettings: &extauthzv3.CheckSettings{ContextExtensions: map[string]string{contextRoute: e.Route.Name, contextLeash: "hold"}},
		}}),
		filterLeash: b.any(&routev3.FilterConfig{Config: &anypb.Any{}}),
	}
}
