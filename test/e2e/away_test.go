package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/neosc/gate/test/kit"
)

// noGate is who asks while no gate answers, and what the edge tells them.
type noGate struct{ who, header, value, typed, says string }

var toldOfNoGate = []noGate{
	{"Browser", "Accept", "text/html,*/*;q=0.8", "text/html; charset=utf-8", "<h1>We could not check who you are.</h1>"},
	{"Program", "Accept", "application/json", "application/problem+json", `"reasons":["gate_unavailable"]`},
	{"WhoSaysNothing", "X-Other", "text/html", "application/problem+json", `"status":503`},
	{"GRPC", "Content-Type", "application/grpc", "application/grpc", ""},
}

// told asks with an id that is markup: what clients send as such is not used.
func (w noGate) told(t *testing.T, e *kit.Edge) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.Origin("portal")+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(w.header, w.value)
	req.Header.Set("X-Request-Id", "<b>mine</b>")
	resp, err := e.Client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if _ = resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if w.who == "GRPC" { // its status is in the headers
		if resp.Header.Get("Grpc-Status") == "" || len(body) != 0 || strings.Contains(resp.Header.Get("Grpc-Message"), "{") {
			t.Errorf("%v %s", resp.Header, body)
		}
		return
	}
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusServiceUnavailable || got != w.typed || !strings.Contains(string(body), w.says) {
		t.Errorf("%d %s, want %s with %s:\n%s", resp.StatusCode, got, w.typed, w.says, body)
	}
	if id := resp.Header.Get("X-Request-Id"); len(id) != 36 || !strings.Contains(string(body), id) || strings.Contains(string(body), "mine") {
		t.Errorf("its id is %q:\n%s", id, body)
	}
	if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Location") != "" {
		t.Errorf("headers %v", resp.Header)
	}
	if rules := resp.Header.Get("Content-Security-Policy"); strings.HasPrefix(w.typed, "text/html") && !strings.HasPrefix(rules, "default-src 'none'; style-src 'sha256-") {
		t.Errorf("the page's rules are %q", rules)
	}
}
