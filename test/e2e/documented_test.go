package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosc/gate/test/kit"
)

// asked is one request and what must come of it.
type asked struct {
	method, path string
	signedIn     bool
	status       int
	answer       map[string]string // headers of the answer
	body         string            // within the answer's body
	told         map[string]string // headers that the upstream got; "" for none
	query        string            // the query that the upstream got, as JSON
}

// shapes are the policies of policies/testdata/documented that decide over a
// real edge, each with its entry point.
var shapes = map[string]struct {
	entry string
	asks  []asked
}{
	"boolean": {"envoy/authz/allow", []asked{
		{method: "GET", path: "/x", status: 200},
		{method: "POST", path: "/orders", status: 200},
		{method: "POST", path: "/orders/7", signedIn: true, status: 403},
		{method: "POST", path: "/elsewhere", status: 403},
	}},
	"object": {"envoy/authz/decision", []asked{
		{method: "GET", path: "/", signedIn: true, status: 200},
		{method: "GET", path: "/", status: 403},
	}},
	"denial_with_status_and_body": {"envoy/authz/decision", []asked{
		{method: "GET", path: "/welcome", status: 200},
		{method: "GET", path: "/", status: 301, answer: map[string]string{"Location": "/welcome"}},
		{method: "GET", path: "/secret", status: 404, body: "No such page.\n", answer: map[string]string{"Content-Type": "text/plain", "Cache-Control": "no-store"}},
	}},
	"headers_upstream": {"envoy/authz/decision", []asked{
		{method: "GET", path: "/", signedIn: true, status: 200, told: map[string]string{"X-User": "operator:staff@kappa4.com", "X-Roles": "staff, user", "X-Tenant": "", "Authorization": ""}},
		{method: "GET", path: "/", status: 403},
	}},
	"headers_downstream": {"envoy/authz/decision", []asked{
		{method: "GET", path: "/", status: 200, told: map[string]string{"X-Validated-By": "policy"}, answer: map[string]string{"X-Tenant": "north", "Vary": "cookie,origin"}},
	}},
	"undefined": {"envoy/authz/allow", []asked{
		{method: "GET", path: "/open/a", status: 200},
		{method: "GET", path: "/shut", status: 503, body: "policy_error"},
	}},
}

// TestDocumentedPoliciesDecideBehindARealEdge runs each policy in a gate of its
// own behind one Envoy, one gate after the other.
func TestDocumentedPoliciesDecideBehindARealEdge(t *testing.T) {
	t.Parallel()
	e := kit.StartEdge(t)
	root, err := kit.Root()
	if err != nil {
		t.Fatal(err)
	}
	client := e.Client(t)
	cookie := ""
	for name, shape := range shapes {
		e.Configure(t, fmt.Sprintf("policy: {path: %q, entrypoint: %s}\n", filepath.Join(root, "policies", "testdata", "documented", name), shape.entry))
		gate := e.Serve(t)
		if cookie == "" { // kept in SQLite: every later gate knows it
			var made struct{ Cookie string }
			if err := json.Unmarshal([]byte(e.Run(t, "session", "create", "-email", "staff@kappa4.com", "-role", "staff,user", "-json")), &made); err != nil {
				t.Fatal(err)
			}
			cookie = made.Cookie
		}
		t.Run(name, func(t *testing.T) {
			for _, a := range shape.asks {
				askEdge(t, e, client, cookie, a)
			}
		})
		gate.Terminate(t)
	}
}

func askEdge(t *testing.T, e *kit.Edge, client *http.Client, cookie string, a asked) {
	t.Helper()
	at := fmt.Sprintf("%s %s (signed in: %v)", a.method, a.path, a.signedIn)
	req, err := http.NewRequestWithContext(t.Context(), a.method, e.Origin("portal")+a.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Accept": "application/json", "Origin": e.Origin("portal"), "X-User": "spoof", "X-Roles": "spoof", "X-Tenant": "spoof", "X-Validated-By": "spoof"} {
		req.Header.Set(name, value)
	}
	if a.signedIn {
		req.Header.Set("Cookie", cookie)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != a.status || !strings.Contains(string(body), a.body) {
		t.Errorf("%s: answered %s, want %d with %q\n%s", at, resp.Status, a.status, a.body, body)
	}
	for name, want := range a.answer {
		if got := strings.Join(resp.Header.Values(name), "|"); got != want {
			t.Errorf("%s: the answer's %s is %q, want %q", at, name, got, want)
		}
	}
	if resp.StatusCode != http.StatusOK {
		return
	}
	var x struct {
		Query   json.RawMessage
		Headers http.Header
	}
	if err := json.Unmarshal(body, &x); err != nil {
		t.Fatalf("%s: %v\n%s", at, err, body)
	}
	for name, want := range a.told {
		if got := strings.Join(x.Headers.Values(name), "|"); got != want {
			t.Errorf("%s: the upstream got %s %q, want %q", at, name, got, want)
		}
	}
	if strings.Contains(fmt.Sprint(x.Headers), "spoof") {
		t.Errorf("%s: a client's own header reached the upstream: %v", at, x.Headers)
	}
	if a.query != "" && string(x.Query) != a.query {
		t.Errorf("%s: the upstream got the query %s, want %s", at, x.Query, a.query)
	}
}
