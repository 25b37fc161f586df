package webhook

import (
	"context"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// Answered starts a grant of which the answer comes from rt.
func Answered(rt http.RoundTripper, now time.Time, g session.DemoGrant) error {
	s := &Step{
		o: Options{Name: "container", Timeout: DefaultTimeout, Clock: func() time.Time { return now }}, target: "http://localhost/",
		client: &http.Client{Transport: rt, CheckRedirect: newClient(nil).CheckRedirect}, secrets: &secrets{last: [][]byte{make([]byte, minSecret)}},
	}
	return s.Start(context.Background(), g)
}

// The example of the published form (standardwebhooks.com), so that libraries of
// others verify what is signed here.
func TestSignaturesAreThoseOfThePublishedForm(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := sign([][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A name that stands for another address than loopback gets nothing over plain http.
func TestPlainHTTPStaysOnLoopback(t *testing.T) {
	for address, ok := range map[string]bool{"127.0.0.1:80": true, "[::1]:80": true, "192.0.2.1:80": false, "[2001:db8::1]:80": false, "nonsense": false} {
		if err := onlyLoopback("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}
