package envoy

import (
	"time"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
)

// Names of the HTTP filters; per-route settings and metadata go by them.
const (
	filterCORS     = "envoy.filters.http.cors"
	filterExtAuthz = "envoy.filters.http.ext_authz"
	filterRouter   = "envoy.filters.http.router"
)

const (
	// checkTimeout spans all tries of one check. The gate's own deadline is
	// shorter, so that it, not Envoy, says what went wrong.
	checkTimeout = time.Second
	// maxDeniedBody cuts the page of a denial: pages stay below it.
	maxDeniedBody = 16 << 10
)

// filters are in the order in which a request meets them: preflights are
// answered first, which also lets other origins read a 429, floods are refused
// before the check, and what ends streams goes after it.
func (b *builder) filters() []*hcmv3.HttpFilter {
	filter := func(name string, config proto.Message) *hcmv3.HttpFilter {
		return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: b.any(config)}}
	}
	var fs []*hcmv3.HttpFilter
	if h := b.transportSecurity(); h != nil {
		fs = append(fs, filter(filterHeaders, b.onEveryAnswer(h)))
	}
	fs = append(fs, filter(filterCORS, &corsv3.Cors{}))
	if b.Routes.Shields().Requests > 0 {
		fs = append(fs, filter(filterShield, b.shield()))
	}
	fs = append(fs, filter(filterExtAuthz, b.extAuthz()))
	if b.leashed() {
		fs = append(fs, b.leash())
	}
	// x-envoy-* is between Envoy and the gate, no upstream's business.
	return append(fs, filter(filterRouter, &routerv3.Router{SuppressEnvoyHeaders: true}))
}

// extAuthz asks the gate and fails closed.
func (b *builder) extAuthz() *extauthzv3.ExtAuthz {
	return &extauthzv3.ExtAuthz{
		Services: &extauthzv3.ExtAuthz_GrpcService{GrpcService: &corev3.GrpcService{
			TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: clusterAuthz}},
			Timeout:         dur(checkTimeout),
			// Only what says that the check was not decided is tried again. The
			// gate reports its own trouble as an answer, never as UNAVAILABLE:
			// a second try would charge the rate limit twice.
			RetryPolicy: &corev3.RetryPolicy{
				RetryOn: "connect-failure,refused-stream,reset,unavailable,cancelled", NumRetries: u32(5),
				// Here Envoy takes the longest pause for the timeout of each try as
				// well: with 250 ms a check that took longer was sent again, up to
				// four times, and its limits charged each time.
				RetryBackOff: &corev3.BackoffStrategy{BaseInterval: dur(25 * time.Millisecond), MaxInterval: dur(checkTimeout)},
				// Of two gates one of which is dead, the five tries are not left to
				// chance: 8 of 2,800 requests met the dead one each time. Where there
				// is one gate it is asked again.
				RetryHostPredicate: []*corev3.RetryPolicy_RetryHostPredicate{{
					Name: "previous_hosts", ConfigType: &corev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: b.any(&previoushostsv3.PreviousHostsPredicate{})},
				}},
				HostSelectionRetryMaxAttempts: 5,
			},
		}},
		TransportApiVersion: corev3.ApiVersion_V3,
		FailureModeAllow:    false,
		StatusOnError:       &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
		DenyAtDisable: &corev3.RuntimeFeatureFlag{
			DefaultValue: yes(), RuntimeKey: "ext_authz.deny_at_disable",
		},
		IncludePeerCertificate:     b.Routes.AsksForCertificates(),
		IncludeTlsSession:          b.Routes.AsksForCertificates(), // whom the client connected to
		ValidateMutations:          true,                           // or a value with CR and LF splits the response
		EncodeRawHeaders:           true,                           // duplicates stay apart, bytes stay as sent
		AllowedHeaders:             anyOf(b.Routes.Forwarded()),
		MaxDeniedResponseBodyBytes: maxDeniedBody,
		DecoderHeaderMutationRules: &mutationv3.HeaderMutationRules{
			DisallowAll:     yes(), // and so :path, Host and all that frames a message
			AllowExpression: &matcherv3.RegexMatcher{Regex: b.Routes.MutationRule()},
			DisallowIsError: yes(),
		},
	}
}

// strip takes off, before routing and before the check, what only the edge may
// say. Stripping at the route instead would show the gate the spoof and then
// delete the gate's own header.
func (b *builder) strip() *corev3.TypedExtensionConfig {
	config := &earlyv3.HeaderMutation{}
	for _, expr := range b.Routes.Strip() {
		config.Mutations = append(config.Mutations, &mutationv3.HeaderMutation{
			Action: &mutationv3.HeaderMutation_RemoveOnMatch_{RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{
				KeyMatcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
					SafeRegex: &matcherv3.RegexMatcher{Regex: expr},
				}},
			}},
		})
	}
	return &corev3.TypedExtensionConfig{Name: "strip", TypedConfig: b.any(config)}
}
