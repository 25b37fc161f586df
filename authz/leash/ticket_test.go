package leash

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// noRoutes has none.
type noRoutes struct{}

func (noRoutes) Route(string) *authz.Route { return nil }

func sample() *ticket {
	r := &authz.Request{
		Time: time.Unix(1_780_000_000, 5), ID: "id", Method: "GET", Scheme: "https", Host: "h", Path: "/p?q", Protocol: "HTTP/2", RouteName: "r",
		Extensions: map[string]string{"route": "r"}, Source: authz.Peer{Addr: netip.MustParseAddrPort("203.0.113.9:4711"), Principal: "spiffe://x"},
		Session: &session.Session{Key: session.Key{1, 2}, Version: 7, Identity: session.Identity{UserID: "u"}},
		Headers: authz.Headers{{Name: "cookie", Value: "a=b; _pomerium=v1.x"}, {Name: "authorization", Value: "Bearer x"}, {Name: "x", Value: "\xff\n"}},
	}
	return issue(r, &authz.Outcome{StreamFor: time.Hour, Decision: &authz.Decision{Revision: "rev"}}, "_pomerium")
}

func TestATicketComesBackWithoutCredentials(t *testing.T) {
	in := sample()
	out, err := decode(in.encode(), noRoutes{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (authz.Headers{{Name: "cookie", Value: "a=b"}, {Name: "x", Value: "\xff\n"}}); !reflect.DeepEqual(out.request.Headers, want) {
		t.Errorf("headers %v", out.request.Headers)
	}
	in.request.Session, in.request.Time = nil, time.Time{}
	if !in.issued.Equal(out.issued) || !in.until.Equal(out.until) {
		t.Errorf("%v %v", out.issued, out.until)
	}
	out.issued, out.until = in.issued, in.until
	if !reflect.DeepEqual(in, out) {
		t.Errorf("\n%+v\n%+v", in, out)
	}
}

func TestATicketCarriesTheCertificateThatCounted(t *testing.T) {
	for _, c := range []*authz.Certificate{nil, {}} {
		r := &authz.Request{Host: "h", SNI: "h", Certificate: c, Source: authz.Peer{Certificate: "PEM"}}
		k := issue(r, &authz.Outcome{}, "_pomerium")
		out, err := decode(k.encode(), noRoutes{})
		if err != nil {
			t.Fatal(err)
		}
		if counted := c != nil; out.certified() != counted || (out.request.SNI == "h") != counted || out.request.Certificate != nil {
			t.Errorf("%v: %+v", counted, out.request)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample().encode())
	certified := sample()
	certified.request.SNI, certified.request.Source.Certificate = "h", "PEM"
	f.Add(certified.encode())
	f.Add([]byte{format})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decode(b, noRoutes{})
		if err != nil {
			return
		}
		again, err := decode(k.encode(), noRoutes{})
		if err != nil || !bytes.Equal(again.key[:], k.key[:]) || !reflect.DeepEqual(again.request, k.request) {
			t.Errorf("%+v %+v %v", k, again, err)
		}
	})
}
