package extauthz

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/neosc/gate/authz"
)

// Bounds on one CheckRequest. The edge allows 64 headers of 32 KiB in all and
// forwards a dozen; these stop a misconfigured one.
const (
	maxHeaders     = 128
	maxHeaderBytes = 64 << 10
	maxPathBytes   = 16 << 10
)

// routeKey is the context extension in which the edge names the matched route.
const routeKey = "route"

var errTooLarge = errors.New("request is larger than the edge may forward")

// readRequest turns a CheckRequest into a Request at instant now. The route is
// looked up by the name that Envoy sent, never matched again (CVE-2023-33189).
// Absent submessages read as zero values, as protobuf defines.
func readRequest(in *authv3.CheckRequest, routes authz.Routes, now time.Time) *authz.Request {
	a := in.GetAttributes()
	h := a.GetRequest().GetHttp()
	r := &authz.Request{
		Time:        now,
		Method:      h.GetMethod(),
		Scheme:      h.GetScheme(),
		Host:        strings.ToLower(h.GetHost()),
		Path:        h.GetPath(),
		Protocol:    h.GetProtocol(),
		Extensions:  a.GetContextExtensions(),
		RouteName:   a.GetContextExtensions()[routeKey],
		Source:      peer(a.GetSource()),
		Destination: peer(a.GetDestination()),
	}
	if r.RouteName != "" {
		r.Route = routes.Route(r.RouteName)
	}
	if len(r.Path) > maxPathBytes {
		r.Path, r.Unreadable = "/", errTooLarge
		return r
	}
	if r.Headers, r.Unreadable = headers(h); r.Unreadable != nil {
		return r
	}
	r.ID, _ = r.Headers.Get("x-request-id")
	return r
}

// headers reads raw headers where Envoy sent them (encode_raw_headers keeps
// duplicates apart and bytes as they came), else the map form.
func headers(h *authv3.AttributeContext_HttpRequest) (authz.Headers, error) {
	raw := h.GetHeaderMap().GetHeaders()
	if len(raw) > maxHeaders || len(h.GetHeaders()) > maxHeaders {
		return nil, errTooLarge
	}
	out := make(authz.Headers, 0, max(len(raw), len(h.GetHeaders())))
	size := 0
	for _, f := range raw {
		value := f.GetValue()
		if value == "" {
			value = string(f.GetRawValue())
		}
		size += len(f.GetKey()) + len(value)
		out = append(out, authz.Header{Name: strings.ToLower(f.GetKey()), Value: value})
	}
	if raw == nil {
		for k, v := range h.GetHeaders() {
			size += len(k) + len(v)
			out = append(out, authz.Header{Name: strings.ToLower(k), Value: v})
		}
		slices.SortFunc(out, func(a, b authz.Header) int { return cmp.Compare(a.Name, b.Name) })
	}
	if size > maxHeaderBytes {
		return nil, errTooLarge
	}
	return out, nil
}

// peer reads one end; an address that is no IP (a pipe) stays invalid.
func peer(p *authv3.AttributeContext_Peer) authz.Peer {
	out := authz.Peer{Principal: p.GetPrincipal()}
	if sa, ok := p.GetAddress().GetAddress().(*corev3.Address_SocketAddress); ok {
		if ip, err := netip.ParseAddr(sa.SocketAddress.GetAddress()); err == nil {
			out.Addr = netip.AddrPortFrom(ip.Unmap(), uint16(sa.SocketAddress.GetPortValue()))
		}
	}
	return out
}
