package web

import (
	"net/http"
	"net/netip"
	"strings"
)

// ClientAddr returns the client's address as Envoy saw it, without a port, or
// "" if Envoy said none.
//
// X-Envoy-External-Address is Envoy's own word: it counts the trusted hops,
// and a client's copy is stripped before Envoy sets it. Envoy does not set it
// for clients in private address ranges; for them the last element of
// X-Forwarded-For is what Envoy itself appended, and all before it is what a
// client may have made up. Both are believed only because nothing but Envoy
// can reach the listener.
func ClientAddr(r *http.Request) string {
	if v := r.Header.Values("X-Envoy-External-Address"); len(v) == 1 {
		if a, ok := address(v[0]); ok {
			return a
		}
	}
	if v := r.Header.Values("X-Forwarded-For"); len(v) > 0 {
		last := v[len(v)-1]
		if a, ok := address(last[strings.LastIndexByte(last, ',')+1:]); ok {
			return a
		}
	}
	return ""
}

func address(s string) (string, bool) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return "", false
	}
	return a.Unmap().WithZone("").String(), true
}
