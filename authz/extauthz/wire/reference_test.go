package wire

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/neosc/gate/authz"
)

// reference reads a CheckRequest by the generated code: what Scan must find.
func reference(b []byte) (r *authz.Request, mapped int, err error) {
	var in authv3.CheckRequest
	if err := proto.Unmarshal(b, &in); err != nil {
		return nil, 0, err
	}
	a := in.GetAttributes()
	h := a.GetRequest().GetHttp()
	return &authz.Request{
		Method: h.GetMethod(), Scheme: h.GetScheme(), Host: h.GetHost(), Path: h.GetPath(), Protocol: h.GetProtocol(),
		Headers: referenceHeaders(h), Extensions: a.GetContextExtensions(),
		Source: referencePeer(a.GetSource()), Destination: referencePeer(a.GetDestination()),
		SNI: a.GetTlsSession().GetSni(),
	}, len(h.GetHeaders()), nil
}

func referenceHeaders(h *authv3.AttributeContext_HttpRequest) (out authz.Headers) {
	for _, f := range h.GetHeaderMap().GetHeaders() {
		value := f.GetValue()
		if value == "" {
			value = string(f.GetRawValue())
		}
		out = append(out, authz.Header{Name: strings.ToLower(f.GetKey()), Value: value})
	}
	if out != nil {
		return out
	}
	for _, k := range slices.Sorted(maps.Keys(h.GetHeaders())) {
		out = append(out, authz.Header{Name: strings.ToLower(k), Value: h.GetHeaders()[k]})
	}
	slices.SortStableFunc(out, func(a, b authz.Header) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func referencePeer(p *authv3.AttributeContext_Peer) authz.Peer {
	out := authz.Peer{Principal: p.GetPrincipal(), Certificate: p.GetCertificate()}
	if sa, ok := p.GetAddress().GetAddress().(*corev3.Address_SocketAddress); ok {
		if ip, err := netip.ParseAddr(sa.SocketAddress.GetAddress()); err == nil {
			out.Addr = netip.AddrPortFrom(ip.Unmap(), uint16(sa.SocketAddress.GetPortValue()))
		}
	}
	return out
}

// subject is a Scanner as the server uses it: kept from message to message.
type subject struct {
	scan Scanner
	r    authz.Request
}

// differs says how Scan and the generated code differ on b; nil if they do not.
func (s *subject) differs(b []byte) (taken bool, err error) {
	want, wantMapped, wantErr := reference(b)
	s.r.Reset()
	mapped, err := s.scan.Scan(string(b), &s.r)
	if (err == nil) != (wantErr == nil) {
		return false, fmt.Errorf("the generated code says %v, the scanner %v", wantErr, err)
	}
	if err != nil {
		return false, nil
	}
	r := &s.r
	switch {
	case mapped != wantMapped:
		return true, fmt.Errorf("%d fields in the map, want %d", mapped, wantMapped)
	case r.Method != want.Method || r.Scheme != want.Scheme || r.Host != want.Host || r.Path != want.Path || r.Protocol != want.Protocol || r.SNI != want.SNI:
		return true, fmt.Errorf("read %q, want %q", []string{r.Method, r.Scheme, r.Host, r.Path, r.Protocol}, []string{want.Method, want.Scheme, want.Host, want.Path, want.Protocol})
	case !slices.Equal(r.Headers, want.Headers):
		return true, fmt.Errorf("headers %q, want %q", r.Headers, want.Headers)
	case !maps.Equal(r.Extensions, want.Extensions):
		return true, fmt.Errorf("extensions %q, want %q", r.Extensions, want.Extensions)
	case r.Source != want.Source || r.Destination != want.Destination:
		return true, fmt.Errorf("peers %v %v, want %v %v", r.Source, r.Destination, want.Source, want.Destination)
	}
	return true, nil
}
