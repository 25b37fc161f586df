package wire

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// seeds are CheckRequests as a real Envoy sent them, each also with what Envoy
// can send and did not.
func seeds(t testing.TB) [][]byte {
	t.Helper()
	data, err := os.ReadFile("../testdata/checkrequests.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]json.RawMessage
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, raw := range recorded {
		for _, dress := range []func(*authv3.AttributeContext) error{nil, extend, describe, readdress, shorten} {
			var a authv3.AttributeContext
			if err := protojson.Unmarshal(raw, &a); err != nil {
				t.Fatal(err)
			}
			if dress != nil {
				if err := dress(&a); err != nil {
					t.Fatal(err)
				}
			}
			b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&authv3.CheckRequest{Attributes: &a})
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, b)
		}
	}
	slices.SortFunc(out, slices.Compare) // a seed gives the same run
	return out
}

func extend(a *authv3.AttributeContext) error {
	a.ContextExtensions = map[string]string{"route": "portal", "": "x", "é": "ñ"}
	a.TlsSession = &authv3.AttributeContext_TLSSession{Sni: "a.example"}
	a.Source.Principal, a.Source.Labels, a.Source.Certificate, a.Source.Service = "spiffe://x", map[string]string{"a": "b"}, "PEM", "s"
	return nil
}

func describe(a *authv3.AttributeContext) error {
	s, err := structpb.NewStruct(map[string]any{"a": 1.5, "b": []any{true, nil, "x", map[string]any{"c": "d"}}})
	if err != nil {
		return err
	}
	any, err := anypb.New(s)
	if err != nil {
		return err
	}
	a.MetadataContext = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"f": s}, TypedFilterMetadata: map[string]*anypb.Any{"t": any}}
	a.RouteMetadataContext = a.MetadataContext
	h := a.Request.Http
	h.Size, h.Body, h.RawBody, h.Query, h.Fragment = -1, "hola ñ", []byte{0xff, 0}, "q=1", "f"
	return nil
}

func readdress(a *authv3.AttributeContext) error {
	a.Destination.Address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: "/x", Mode: 7}}}
	if sa := a.Source.Address.GetSocketAddress(); sa != nil {
		sa.PortSpecifier = &corev3.SocketAddress_NamedPort{NamedPort: "http"}
		sa.ResolverName, sa.Ipv4Compat, sa.NetworkNamespaceFilepath = "r", true, "/ns"
	}
	return nil
}

// shorten leaves little, so that mutations hit deeper.
func shorten(a *authv3.AttributeContext) error {
	a.Request.Http.Headers = map[string]string{"Cookie": "a=b", "x": "y"}
	a.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "X-A", Value: "v"}, {Key: "b", RawValue: []byte{0xff}}}}
	a.Destination.Address = &corev3.Address{Address: &corev3.Address_EnvoyInternalAddress{EnvoyInternalAddress: &corev3.EnvoyInternalAddress{
		AddressNameSpecifier: &corev3.EnvoyInternalAddress_ServerListenerName{ServerListenerName: "l"}, EndpointId: "e"}}}
	return nil
}

// node is a field of a message taken apart.
type node struct {
	num  protowire.Number
	typ  protowire.Type
	raw  []byte // the value as on the wire, unless it is length-delimited
	b    []byte
	kids []*node // b as a message, if it looks like one
}

func parse(b []byte, depth int) (out []*node) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		x := &node{num: num, typ: typ}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return nil
		}
		if typ == protowire.BytesType {
			x.b, _ = protowire.ConsumeBytes(b)
			if depth > 0 && len(x.b) > 0 {
				x.kids = parse(x.b, depth-1)
			}
		} else {
			x.raw = b[:n]
		}
		b = b[n:]
		out = append(out, x)
	}
	return out
}

// junk are fields, tags and groups, right and wrong ones.
var junk = [][]byte{
	{0x0b, 0x0c}, {0x0b, 0x14}, {0x13, 0x08, 0x01, 0x14}, {0x0c}, {0xff, 0xff, 0xff, 0xff, 0x0f}, {0xf8, 0xff, 0xff, 0xff, 0x0f, 1},
	{0x80, 0x80, 0x80, 0x80, 0x10, 0}, {0x0e}, {0x0f}, {0x00}, {0x02, 0}, {0x1d, 1, 2, 3, 4}, {0x19, 1, 2, 3, 4, 5, 6, 7, 8},
	{0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, {0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02},
	{0x1b, 0x1b, 0x1c, 0x12, 0x01, 'x', 0x1c}, {0xfb, 0xff, 0xff, 0xff, 0x7f, 0xfc, 0xff, 0xff, 0xff, 0x7f}, {0x0b, 0xf8, 0xff, 0xff, 0xff, 0x3f, 1, 0x0c},
}

// mutator changes messages along their structure; one in rarity fields suffers.
type mutator struct {
	*rand.Rand
	rarity int
	buf    []byte
}

func (m *mutator) mutate(seed []*node) []byte {
	m.rarity = []int{4, 15, 40, 100}[m.IntN(4)]
	b := m.emit(m.buf[:0], seed)
	if m.IntN(10) == 0 && len(b) > 0 {
		b[m.IntN(len(b))] ^= byte(1 << m.IntN(8))
	}
	if m.IntN(20) == 0 && len(b) > 0 {
		b = b[:m.IntN(len(b))]
	}
	m.buf = b
	return b
}

func (m *mutator) emit(b []byte, ns []*node) []byte {
	ns = slices.Clone(ns)
	for i := range ns {
		if m.IntN(m.rarity) == 0 {
			b = m.change(b, ns, i)
			continue
		}
		b = m.field(b, ns[i])
	}
	return b
}

// change appends the i-th field changed somehow.
func (m *mutator) change(b []byte, ns []*node, i int) []byte {
	y := *ns[i]
	switch m.IntN(9) {
	case 0: // gone
		return b
	case 1: // twice
		b = m.field(b, &y)
	case 2: // elsewhere
		j := m.IntN(len(ns))
		ns[i], ns[j] = ns[j], ns[i]
		y = *ns[i]
	case 3:
		y.num = protowire.Number(1 + m.IntN(14))
	case 4: // another wire type before the same bytes
		b = protowire.AppendVarint(b, uint64(y.num)<<3|uint64(m.IntN(8)))
		return append(b, y.raw...)
	case 5:
		b = append(b, junk[m.IntN(len(junk))]...)
	case 6:
		if y.kids == nil && len(y.b) > 0 {
			y.b = slices.Clone(y.b)
			y.b[m.IntN(len(y.b))] = byte(m.IntN(256))
		}
	case 7: // a message in two pieces, which merge
		if len(y.kids) > 1 {
			k := 1 + m.IntN(len(y.kids)-1)
			first := y
			first.kids = y.kids[:k]
			b = m.field(b, &first)
			y.kids = y.kids[k:]
		}
	case 8:
		y.b, y.kids = nil, nil
	}
	return m.field(b, &y)
}

func (m *mutator) field(b []byte, x *node) []byte {
	b = m.varint(b, uint64(x.num)<<3|uint64(x.typ))
	if x.typ != protowire.BytesType {
		return append(b, x.raw...)
	}
	v := x.b
	if x.kids != nil {
		v = m.emit(nil, x.kids)
	}
	n := uint64(len(v))
	if m.IntN(m.rarity*20) == 0 {
		n += uint64(m.IntN(3)) - 1
	}
	return append(m.varint(b, n), v...)
}

// varint is longer than it must be, at times.
func (m *mutator) varint(b []byte, v uint64) []byte {
	if m.IntN(30) != 0 {
		return protowire.AppendVarint(b, v)
	}
	n := protowire.SizeVarint(v) + m.IntN(3)
	for i := range n {
		c := byte(v & 0x7f)
		v >>= 7
		if i < n-1 {
			c |= 0x80
		}
		b = append(b, c)
	}
	return b
}
