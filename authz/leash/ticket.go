package leash

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// ticket is what was decided about one request that may become a stream.
type ticket struct {
	issued time.Time
	// until is when the stream must end; zero means policy and session set no end.
	until time.Time
	// key, version and user are the session's; signedIn says whether there is one.
	signedIn bool
	// unstored: no store has the session (session.Session.Unstored).
	unstored bool
	key      session.Key
	version  uint64
	user     string
	// revision is that of the policy that decided.
	revision string
	request  authz.Request
}

// certified reports whether a client certificate counted for the request: the
// ticket carries it, as Envoy sent it, so that it is judged again.
func (t *ticket) certified() bool { return t.request.Source.Certificate != "" }

// maxTicket bounds an encoded ticket. The edge takes 32 KiB of headers and
// forwards a dozen of them.
const maxTicket = 48 << 10

// issue makes the ticket of an allowed request, without its credentials: what is
// kept of a stream opens nothing. cookie is the session cookie's name.
func issue(r *authz.Request, o *authz.Outcome, cookie string) *ticket {
	t := &ticket{issued: r.Time, request: *r}
	if o.StreamFor > 0 {
		t.until = r.Time.Add(o.StreamFor)
	}
	if o.Decision != nil {
		t.revision = o.Decision.Revision
	}
	if s := r.Session; s != nil {
		t.signedIn, t.unstored, t.key, t.version, t.user = true, s.Unstored, s.Key, s.Version, s.Identity.UserID
	}
	if r.Certificate == nil { // counted for nothing
		t.request.SNI, t.request.Source.Certificate = "", ""
	}
	t.request.Headers = make(authz.Headers, 0, len(r.Headers))
	for _, h := range r.Headers {
		switch h.Name {
		case "authorization":
			continue
		case "cookie":
			if h.Value, _ = session.StripCookie(h.Value, cookie); h.Value == "" {
				continue
			}
		}
		t.request.Headers = append(t.request.Headers, h)
	}
	return t
}

// format is the first byte of an encoded ticket.
const format = 2

// Flags of a ticket.
const (
	flagSignedIn = 1 << iota
	flagUnstored
)

func (t *ticket) encode() []byte {
	r := &t.request
	b := make([]byte, 0, 512)
	flags := byte(0)
	if t.signedIn {
		flags |= flagSignedIn
	}
	if t.unstored {
		flags |= flagUnstored
	}
	b = append(b, format, flags)
	b = binary.AppendVarint(b, t.issued.UnixNano())
	until := int64(0)
	if !t.until.IsZero() {
		until = t.until.UnixNano()
	}
	b = binary.AppendVarint(b, until)
	b = append(b, t.key[:]...)
	b = binary.AppendUvarint(b, t.version)
	for _, s := range []string{
		t.user, t.revision, r.ID, r.Method, r.Scheme, r.Host, r.Path, r.Protocol, r.RouteName,
		addrText(r.Source.Addr), r.Source.Principal, addrText(r.Destination.Addr), r.Destination.Principal, r.SNI, r.Source.Certificate,
	} {
		b = appendText(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Extensions)))
	for k, v := range r.Extensions {
		b = appendText(appendText(b, k), v)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Headers)))
	for _, h := range r.Headers {
		b = appendText(appendText(b, h.Name), h.Value)
	}
	return b
}

func addrText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errTicket = errors.New("not a ticket")

// decode reads what encode wrote. routes gives the request its route, nil for one
// that the routes file lacks by now.
func decode(b []byte, routes authz.Routes) (t *ticket, err error) {
	if len(b) > maxTicket {
		return nil, errTicket
	}
	d := &decoder{b: b}
	if d.byte() != format {
		return nil, errTicket
	}
	flags := d.byte()
	t = &ticket{signedIn: flags&flagSignedIn != 0, unstored: flags&flagUnstored != 0}
	t.issued = time.Unix(0, d.varint())
	if until := d.varint(); until != 0 {
		t.until = time.Unix(0, until)
	}
	copy(t.key[:], d.take(uint64(len(t.key))))
	t.version = d.uvarint()
	r := &t.request
	for _, s := range []*string{&t.user, &t.revision, &r.ID, &r.Method, &r.Scheme, &r.Host, &r.Path, &r.Protocol, &r.RouteName} {
		*s = d.text()
	}
	r.Source, r.Destination = d.peer(), d.peer()
	r.SNI, r.Source.Certificate = d.text(), d.text()
	if n := d.count(); n > 0 {
		r.Extensions = make(map[string]string, n)
		for range n {
			k := d.text()
			r.Extensions[k] = d.text()
		}
	}
	n := d.count()
	r.Headers = make(authz.Headers, 0, n)
	for range n {
		name := d.text()
		r.Headers = append(r.Headers, authz.Header{Name: name, Value: d.text()})
	}
	if d.bad || len(d.b) != 0 {
		return nil, errTicket
	}
	if r.RouteName != "" {
		r.Route = routes.Route(r.RouteName)
	}
	return t, nil
}

// decoder reads fields one by one; bad sticks.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	x := d.b[:n]
	d.b = d.b[n:]
	return x
}

func (d *decoder) byte() byte {
	if x := d.take(1); x != nil {
		return x[0]
	}
	return 0
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.take(uint64(n))
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.take(uint64(n))
	return v
}

// count is how many pairs follow: each takes two bytes at least.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.b))/2 {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) text() string { return string(d.take(d.uvarint())) }

func (d *decoder) peer() authz.Peer {
	addr, principal := d.text(), d.text()
	p := authz.Peer{Principal: principal}
	if addr != "" {
		a, err := netip.ParseAddrPort(addr)
		d.bad = d.bad || err != nil
		p.Addr = a
	}
	return p
}
