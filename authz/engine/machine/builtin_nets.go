package machine

import "net/netip"

func (b *library) addNets() {
	b.add("net.cidr_contains", func(_ *Frame, a *operands) *Value {
		if !texts(a) || len(a[0].s) > 64 || len(a[1].s) > 64 {
			return decline
		}
		network, err := netip.ParsePrefix(a[0].s)
		if err != nil || network.Addr().Is4In6() {
			return decline
		}
		addr, err := netip.ParseAddr(a[1].s)
		if err != nil || addr.Zone() != "" {
			return decline // perhaps a network
		}
		return boolValue(network.Contains(addr.Unmap()))
	})
}
