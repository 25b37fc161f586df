package envoy

import (
	"net/netip"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// builder makes resources. The first failure to pack a message is kept in err,
// so that the literals below stay readable.
type builder struct {
	Options
	secrets []*tlsv3.Secret // by files of their own, as far as they were met
	err     error
}

func (b *builder) any(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil && b.err == nil {
		b.err = err
	}
	return a
}

func dur(d time.Duration) *durationpb.Duration { return durationpb.New(d) }
func u32(v uint32) *wrapperspb.UInt32Value     { return wrapperspb.UInt32(v) }
func yes() *wrapperspb.BoolValue               { return wrapperspb.Bool(true) }
func no() *wrapperspb.BoolValue                { return wrapperspb.Bool(false) }

func tcp(a netip.AddrPort) *corev3.Address { return hostPort(a.Addr().String(), a.Port()) }

func hostPort(host string, port uint16) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

// pipe is a Unix socket; mode only matters where Envoy listens on it.
func pipe(path string, mode uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path, Mode: mode}}}
}

func exactly(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s}}
}

func regex(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: s}}}
}

func anyOf(names []string) *matcherv3.ListStringMatcher {
	l := &matcherv3.ListStringMatcher{}
	for _, n := range names {
		l.Patterns = append(l.Patterns, exactly(n))
	}
	return l
}
