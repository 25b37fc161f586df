package engine

import (
	"reflect"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// TestRequestsAreKeptWhole: a sampled decision is compared on the copy, and what
// the copy lacked would be taken for a defect of the machine.
func TestRequestsAreKeptWhole(t *testing.T) {
	t.Parallel()
	r := &authz.Request{
		Time: time.Unix(1772712000, 0), ID: "i", Method: "GET", Scheme: "https", Host: "h", Path: "/p", Protocol: "HTTP/2",
		Headers: authz.Headers{{Name: "a", Value: "b"}}, Route: &authz.Route{Name: "r"}, RouteName: "r",
		Extensions: map[string]string{"k": "v"}, Source: authz.Peer{Principal: "s"}, Destination: authz.Peer{Principal: "d"},
		Unreadable: authz.ErrBadRequest, Session: &session.Session{}, SNI: "n", Certificate: &authz.Certificate{Subject: "CN=a"},
	}
	v := reflect.ValueOf(r).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && v.Field(i).IsZero() {
			t.Errorf("the test has nothing for %s", f.Name)
		}
	}
	if c := ownRequest(r); !reflect.DeepEqual(c, r) {
		t.Errorf("got %+v, want %+v", c, r)
	}
}
