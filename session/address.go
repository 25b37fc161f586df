package session

import "net/netip"

// AddressKey names who is behind a client's address where something is counted
// by it: an IPv4 address, or an IPv6 network of 64 bits, which is the least that
// one customer gets and has 2^64 addresses to choose from. All whose address is
// not known share one name.
func AddressKey(clientAddr string) string {
	a, err := netip.ParseAddr(clientAddr)
	if err != nil {
		return "unknown"
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return "unknown"
	}
	return p.String()
}
