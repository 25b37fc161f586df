package envoy

import (
	"errors"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	headersv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/neosc/gate/authz/route"
)

// certifiedFor is how long a connection with a client certificate is used: by
// then a certificate that was revoked meanwhile opens nothing any more, also where
// the gate cannot read the list. HTTP/2 clients are told, HTTP/1.1 ones after an
// answer; what has been upgraded goes on.
const certifiedFor = time.Minute

// filterHeaders adds what every answer of the edge has.
const filterHeaders = "envoy.filters.http.header_mutation"

// terminate gives the listener a chain for each way in which it speaks TLS: hosts
// with a certificate of their own, or that ask for one, are known by the name
// that the client sends (SNI), all others have one chain.
func (b *builder) terminate(l *listenerv3.Listener) {
	all := b.Routes.TLS()
	if b.TLSCert != "" {
		all = &route.ServerTLS{Cert: b.TLSCert, Key: b.TLSKey}
	}
	l.FilterChains = []*listenerv3.FilterChain{b.chain(all, "edge", nil)}
	if all == nil {
		if b.Routes.AsksForCertificates() && b.err == nil {
			b.err = errors.New("a host asks for client certificates, and Envoy has none of its own to speak TLS with; give the routes file tls: {cert, key}")
		}
		return
	}
	for _, h := range b.Routes.Hosts() {
		if h.TLS == nil && h.ClientCertificates == nil {
			continue
		}
		own := all
		if h.TLS != nil {
			own = h.TLS
		}
		c := b.chain(own, "host-"+h.Name, h.ClientCertificates)
		c.FilterChainMatch = &listenerv3.FilterChainMatch{ServerNames: []string{h.Name}}
		l.FilterChains = append(l.FilterChains, c)
	}
	if len(l.FilterChains) > 1 {
		l.ListenerFilters = []*listenerv3.ListenerFilter{{
			Name:       "envoy.filters.listener.tls_inspector",
			ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: b.any(&inspectorv3.TlsInspector{})},
		}}
		// A client that says nothing holds a connection.
		l.ListenerFiltersTimeout = dur(5 * time.Second)
	}
}

func (b *builder) chain(own *route.ServerTLS, name string, clients *route.ClientCertificates) *listenerv3.FilterChain {
	m := b.connectionManager()
	if clients != nil {
		m.CommonHttpProtocolOptions.MaxConnectionDuration = dur(certifiedFor)
	}
	c := &listenerv3.FilterChain{Name: name, Filters: []*listenerv3.Filter{{
		Name:       "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: b.any(m)},
	}}}
	if own != nil {
		c.TransportSocket = b.downstreamTLS(own, name, clients)
		c.TransportSocketConnectTimeout = dur(10 * time.Second) // none by default: a slow handshake holds a connection
	}
	return c
}

func (b *builder) downstreamTLS(own *route.ServerTLS, name string, clients *route.ClientCertificates) *corev3.TransportSocket {
	common := &tlsv3.CommonTlsContext{
		AlpnProtocols: []string{"h2", "http/1.1"},
		TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2},
	}
	b.keyPair(common, fileName(name), own.Cert, own.Key)
	context := &tlsv3.DownstreamTlsContext{CommonTlsContext: common}
	if clients != nil {
		b.verify(common, fileName(name), peers{ca: clients.CA, crl: clients.CRL})
		if clients.Required {
			context.RequireClientCertificate = yes()
		}
		// A session that is resumed is not verified again, whatever has been
		// revoked since.
		context.SessionTicketKeysType = &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true}
		context.DisableStatefulSessionResumption = true
	}
	return &corev3.TransportSocket{Name: transportTLS, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: b.any(context)}}
}

// fileName makes a wildcard host's name one of a file.
func fileName(host string) string {
	out := []byte(host)
	for i, c := range out {
		if c == '*' {
			out[i] = '_'
		}
	}
	return string(out)
}

// transportSecurity is Strict-Transport-Security on every answer, upstreams',
// the gate's and Envoy's own; nil where an origin is not https.
func (b *builder) transportSecurity() []*corev3.HeaderValueOption {
	v := b.Routes.HSTSHeader()
	if v == "" {
		return nil
	}
	return []*corev3.HeaderValueOption{{
		Header:       &corev3.HeaderValue{Key: "strict-transport-security", Value: v},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}}
}

// onEveryAnswer adds headers to what passes the filters: it is the first of them,
// and so the last to see an answer.
func (b *builder) onEveryAnswer(headers []*corev3.HeaderValueOption) *headersv3.HeaderMutation {
	m := &headersv3.HeaderMutation{Mutations: &headersv3.Mutations{}}
	for _, h := range headers {
		m.Mutations.ResponseMutations = append(m.Mutations.ResponseMutations, &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Append{Append: h}})
	}
	return m
}

// ownAnswers says what Envoy's own answers look like. The last of it is for those
// that are given before there are filters, to a request that it cannot read.
func (b *builder) ownAnswers() *hcmv3.LocalReplyConfig {
	c, headers := &hcmv3.LocalReplyConfig{Mappers: append(b.gateAway(), b.shielded())}, b.transportSecurity()
	if len(headers) == 0 {
		return c
	}
	always := &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{StatusCodeFilter: &accesslogv3.StatusCodeFilter{
		Comparison: &accesslogv3.ComparisonFilter{Op: accesslogv3.ComparisonFilter_GE, Value: &corev3.RuntimeUInt32{DefaultValue: 100, RuntimeKey: "edge.own_answers"}},
	}}}
	c.Mappers = append(c.Mappers, &hcmv3.ResponseMapper{Filter: always, HeadersToAdd: headers})
	return c
}
