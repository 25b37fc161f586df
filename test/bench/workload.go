package main

import (
	"encoding/base64"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// people is how many users take part, cookieBytes the size of each one's Cookie
// header: a session among an application's own cookies.
const (
	people      = 1000
	cookieBytes = 900
)

// person is one user of the workload with a session of theirs.
type person struct {
	email, id, role string
	// cookie is NAME=VALUE of the session cookie.
	cookie string
	// token is an access token to send in place of it.
	token string
}

// email returns the i-th person's address, role their role.
func email(i int) string { return fmt.Sprintf("user%04d@example.com", i) }

func role(i int) string { return []string{"admin", "neosc", "user", "user"}[i%4] }

// target is where the i-th person goes: each request is allowed to its role.
func target(i int) (route, host, method, path string) {
	switch {
	case i%4 == 0:
		return "admin", "admin.portal.kappa4.com", "GET", fmt.Sprintf("/settings/%d?tab=limits", i)
	case i%4 == 1:
		return "api", "api.portal.kappa4.com", "GET", fmt.Sprintf("/api/orders/%d/items?expand=lines&page=%d", i, i%7)
	case i%2 == 0:
		return "portal", "portal.kappa4.com", "GET", fmt.Sprintf("/dashboard/%d", i)
	default:
		return "api", "api.portal.kappa4.com", "GET", fmt.Sprintf("/api/orders/%d", i)
	}
}

// headers are the twelve that a browser's request has.
func (p *person) headers(i int, host string) [][2]string {
	cookie := p.cookie + "; theme=dark; prefs="
	filler := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat(p.email, 60)))
	cookie += filler[:max(0, cookieBytes-len(cookie)-len(p.token))]
	hs := [][2]string{
		{"accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
		{"accept-language", "es-MX,es;q=0.9,en;q=0.8"},
		{"accept-encoding", "gzip, deflate, br, zstd"},
		{"cookie", cookie},
		{"origin", "https://portal.kappa4.com"},
		{"sec-fetch-dest", "document"},
		{"sec-fetch-mode", "navigate"},
		{"sec-fetch-site", "same-site"},
		{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"},
		{"x-envoy-external-address", "203.0.113.7"},
		{"x-forwarded-proto", "https"},
		{"x-request-id", fmt.Sprintf("7c1f5a2e-0000-4000-8000-%012d", i)},
	}
	if p.token != "" {
		hs = append(hs, [2]string{"authorization", "Bearer " + p.token})
	}
	return hs
}

// headerForm is how a CheckRequest has the headers.
type headerForm int

const (
	// raw is one by one, as the gate's own Envoy sends them (encode_raw_headers):
	// fields of one name stay apart.
	raw headerForm = iota
	// mapped is in a map, pseudo headers among them, as Envoy sends them unless it
	// is told otherwise. A stock server pays twice as much to read it.
	mapped
)

// prepare encodes one Check a person. wantIdentity also asks for the identity
// header in the answer.
func prepare(ps []person, form headerForm, wantIdentity bool) ([]call, error) {
	calls := make([]call, len(ps))
	for i := range ps {
		route, host, method, path := target(i)
		http := &authv3.AttributeContext_HttpRequest{
			Id: fmt.Sprintf("%020d", i), Method: method, Path: path, Host: host, Scheme: "https", Protocol: "HTTP/2",
		}
		form.put(http, ps[i].headers(i, host))
		addr := func(ip string, port uint32) *authv3.AttributeContext_Peer {
			return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
				Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}}
		}
		b, err := proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Source: addr("203.0.113.7", uint32(30000+i)), Destination: addr("10.9.9.9", 443),
			ContextExtensions: map[string]string{"route": route},
			Request:           &authv3.AttributeContext_Request{Time: timestamppb.Now(), Http: http},
		}})
		if err != nil {
			return nil, err
		}
		calls[i].request = b
		if wantIdentity {
			calls[i].want = [][]byte{[]byte("x-pomerium-email"), []byte(ps[i].email)}
		}
	}
	return calls, nil
}

// put gives h the fields in form f.
func (f headerForm) put(h *authv3.AttributeContext_HttpRequest, fields [][2]string) {
	if f == raw {
		h.HeaderMap = &corev3.HeaderMap{}
		for _, kv := range fields {
			h.HeaderMap.Headers = append(h.HeaderMap.Headers, &corev3.HeaderValue{Key: kv[0], RawValue: []byte(kv[1])})
		}
		return
	}
	h.Headers = map[string]string{":authority": h.Host, ":method": h.Method, ":path": h.Path, ":scheme": h.Scheme}
	for _, kv := range fields {
		h.Headers[kv[0]] = kv[1]
	}
}
