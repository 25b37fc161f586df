package wire

import (
	"net/netip"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/neosc/gate/authz"
)

// peer gathers an AttributeContext.Peer.
type peer struct {
	arm       uint8 // of Address.address: the field's number, 0 for none
	address   string
	port      uint32
	principal string
	cert      string
}

// Arms of Address.address.
const (
	armSocket   = 1
	armPipe     = 2
	armInternal = 3
)

func (p *peer) read(m string) bool {
	f := fields{m: m}
	for f.next() {
		ok := true
		switch f.tag {
		case 1<<3 | bytesType:
			ok = p.readAddress(f.value)
		case 4<<3 | bytesType:
			p.principal = f.value
			ok = utf8.ValidString(f.value)
		case 3<<3 | bytesType: // labels
			_, _, ok = mapEntry(f.value)
		case 5<<3 | bytesType:
			p.cert = f.value
			ok = utf8.ValidString(f.value)
		case 2<<3 | bytesType: // service
			ok = utf8.ValidString(f.value)
		}
		if !ok {
			return false
		}
	}
	return f.whole()
}

func (p *peer) readAddress(m string) bool {
	f := fields{m: m}
	for f.next() {
		ok := true
		switch f.tag {
		case armSocket<<3 | bytesType:
			p.take(armSocket)
			ok = p.readSocket(f.value)
		case armPipe<<3 | bytesType:
			p.take(armPipe)
			ok = generated(f.value, &corev3.Pipe{}, 4)
		case armInternal<<3 | bytesType:
			p.take(armInternal)
			ok = generated(f.value, &corev3.EnvoyInternalAddress{}, 4)
		}
		if !ok {
			return false
		}
	}
	return f.whole()
}

// take makes arm the one of the oneof; what another arm held is gone.
func (p *peer) take(arm uint8) {
	if p.arm != arm {
		p.arm, p.address, p.port = arm, "", 0
	}
}

func (p *peer) readSocket(m string) bool {
	f := fields{m: m}
	for f.next() {
		ok := true
		switch f.tag {
		case 2<<3 | bytesType:
			p.address = f.value
			ok = utf8.ValidString(f.value)
		case 3<<3 | varintType:
			v, _ := varint(f.value, 0)
			p.port = uint32(v)
		case 4<<3 | bytesType: // named_port, the other arm of port_specifier
			p.port = 0
			ok = utf8.ValidString(f.value)
		case 5<<3 | bytesType, 7<<3 | bytesType: // resolver_name, network_namespace_filepath
			ok = utf8.ValidString(f.value)
		}
		if !ok {
			return false
		}
	}
	return f.whole()
}

// domain is the peer as decisions see it; an address that is no IP (a pipe)
// stays invalid.
func (p *peer) domain() authz.Peer {
	out := authz.Peer{Principal: p.principal, Certificate: p.cert}
	if p.arm != armSocket {
		return out
	}
	if ip, err := netip.ParseAddr(p.address); err == nil {
		out.Addr = netip.AddrPortFrom(ip.Unmap(), uint16(p.port))
	}
	return out
}
