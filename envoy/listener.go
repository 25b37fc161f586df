package envoy

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/neosc/gate/authz/route"
)

func (b *builder) listener() *listenerv3.Listener {
	l := &listenerv3.Listener{
		Name: "edge", Address: tcp(b.Listen),
		PerConnectionBufferLimitBytes: u32(32 << 10), // 1 MiB by default: too much for a slow client to hold
	}
	b.terminate(l)
	return l
}

// connectionManager holds the trust boundary: what a client may say and in
// which form it is looked at.
func (b *builder) connectionManager() *hcmv3.HttpConnectionManager {
	m := &hcmv3.HttpConnectionManager{
		StatPrefix: "edge", CodecType: hcmv3.HttpConnectionManager_AUTO,
		HttpFilters: b.filters(),
		AccessLog:   b.accessLog(),

		// The client's address is the peer's, or the one that the trusted
		// proxies report; no private range is trusted to send x-envoy-*.
		UseRemoteAddress: yes(), XffNumTrustedHops: b.Routes.TrustedHops(),
		InternalAddressConfig:         nobodyInternal(),
		EarlyHeaderMutationExtensions: []*corev3.TypedExtensionConfig{b.strip()},
		ForwardClientCertDetails:      hcmv3.HttpConnectionManager_SANITIZE,

		// One path, judged and forwarded in one form. Escaped slashes have no
		// one form, so they are refused.
		NormalizePath: yes(), MergeSlashes: true,
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_REJECT_REQUEST,
		StripPortMode:                &hcmv3.HttpConnectionManager_StripAnyHostPort{StripAnyHostPort: true},
		StripTrailingHostDot:         true,

		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			// X_Pomerium_Email and X-Pomerium-Email are one to a CGI-style upstream.
			HeadersWithUnderscoresAction: corev3.HttpProtocolOptions_REJECT_REQUEST,
			MaxHeadersCount:              u32(64),
			IdleTimeout:                  dur(b.Routes.Shields().Idle),
			// No stream outlives any session; stream_until ends it in its time.
			MaxStreamDuration: dur(12 * time.Hour),
		},
		MaxRequestHeadersKb:   u32(32),
		RequestHeadersTimeout: dur(b.Routes.Shields().Headers), // slow headers hold a connection
		StreamIdleTimeout:     dur(5 * time.Minute),
		// With the default of 1 s an HTTP/1 client learns a second late that its
		// WebSocket was cut, with 50 ms three times later than it may: a stream's end
		// is within 20 ms of its instant. All of this is waited before every close of
		// the edge's own, so that a client that still sends reads the answer first.
		DelayedCloseTimeout: dur(6 * time.Millisecond),
		HttpProtocolOptions: &corev3.Http1ProtocolOptions{
			IgnoreHttp_11Upgrade: []*matcherv3.StringMatcher{{
				MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "TLS/"}, IgnoreCase: true,
			}},
		},
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			MaxConcurrentStreams: u32(b.Routes.Shields().Streams), InitialStreamWindowSize: u32(64 << 10), InitialConnectionWindowSize: u32(1 << 20),
			AllowConnect: true, // WebSockets over HTTP/2 (RFC 8441); a plain CONNECT finds no route
		},
		UpgradeConfigs:   b.noUpgrades(),
		LocalReplyConfig: b.ownAnswers(),

		AlwaysSetRequestIdInResponse: true, // what a person reads out to support
		ServerName:                   "neosc",
		ServerHeaderTransformation:   hcmv3.HttpConnectionManager_OVERWRITE,
	}
	b.routesFrom(m)
	return m
}

// nobodyInternal trusts no address. An empty list would mean the private
// ranges, whose clients get x-envoy-internal and no x-envoy-external-address;
// so the list has the one address that no peer can have (RFC 1122, 3.2.1.3).
func nobodyInternal() *hcmv3.HttpConnectionManager_InternalAddressConfig {
	return &hcmv3.HttpConnectionManager_InternalAddressConfig{
		CidrRanges: []*corev3.CidrRange{{AddressPrefix: "0.0.0.0", PrefixLen: u32(32)}},
	}
}

// noUpgrades turns every upgrade off that a route can list; the routes that
// list one turn it on for themselves. It does not depend on the routes: these
// change without the listener, whose change would cut every stream.
func (b *builder) noUpgrades() []*hcmv3.HttpConnectionManager_UpgradeConfig {
	var configs []*hcmv3.HttpConnectionManager_UpgradeConfig
	for _, u := range route.Upgrades() {
		configs = append(configs, &hcmv3.HttpConnectionManager_UpgradeConfig{UpgradeType: u, Enabled: no()})
	}
	return configs
}
