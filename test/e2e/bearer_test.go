package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/idp"
	"github.com/neosc/gate/test/kit"
)

// programToken is an access token of a real provider for a resource, by the
// client credentials of a program.
func programToken(t *testing.T, p *idp.Provider, resource string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {resource}, "scope": {"api"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.Issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("program", "another secret of the tests")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	reply, err := read(http.DefaultClient.Do(req))
	if err != nil {
		t.Fatal(err)
	}
	var x struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(reply.Text), &x); err != nil || strings.Count(x.Token, ".") != 2 {
		t.Fatalf("the provider gave no JWT: %s %s\n%s", reply.Status, reply.Text, p.Output())
	}
	return x.Token
}

// TestAccessTokensOfARealProvider: through Envoy and gate, allowed and refused.
func TestAccessTokensOfARealProvider(t *testing.T) {
	t.Parallel()
	const resource = "https://api.kappa4.com/"
	port := kit.FreePort(t)
	program := idp.Client{"client_id": "program", "client_secret": "another secret of the tests", "grant_types": []string{"client_credentials"}, "redirect_uris": []string{}, "response_types": []string{}}
	p := idp.Start(t, idp.Settings{Alg: "RS256", Clients: []idp.Client{client("zitadel_onprem", port, nil), program},
		Accounts: map[string]map[string]any{"program": {"email": "robot@kappa4.com", "email_verified": true, "roles": []string{"neosc"}}}})
	d := kit.StartDemo(t, kit.DemoOptions{Port: port, Policy: "raised", Providers: fmt.Sprintf(`providers:
  - id: zitadel_onprem
    issuer: %s
    client_id: gate
    client_secret: a secret of the tests
    bearer: {audiences: ["https://api.kappa4.com"]}
`, p.Issuer)})
	robot, target := d.Stranger(t), d.Origin("api.portal")+"/api/whoami"
	status := func(token string) int {
		return robot.Do(t, http.MethodGet, target, nil, "Authorization", "Bearer "+token, "Accept", "application/json").StatusCode
	}
	good := programToken(t, p, resource)
	reply, x := ask(t, robot, target, "Authorization", "Bearer "+good)
	user := strings.Join(x.Headers["X-Pomerium-User"], "|")
	if reply.StatusCode != http.StatusOK || strings.Join(x.Headers["X-Pomerium-Email"], "|") != "robot@kappa4.com" || user == "" || len(x.Headers["Authorization"]) != 0 {
		t.Fatalf("%s %+v", reply.Status, x.Headers)
	}
	if got := status(programToken(t, p, "https://other.kappa4.com/")); got != http.StatusUnauthorized {
		t.Errorf("a token for another audience got %d", got)
	}
	if got := status(good[:len(good)-8] + "AAAAAAAA"); got != http.StatusUnauthorized {
		t.Errorf("a token with another signature got %d", got)
	}
	short := programToken(t, p, resource+"?ttl=15")
	if got := status(short); got != http.StatusOK {
		t.Errorf("a token of 15 seconds got %d in the first", got)
	}
	within(t, time.Minute, "it is over", func() bool { return status(short) == http.StatusUnauthorized })
	if got := status(good); got != http.StatusOK {
		t.Errorf("meanwhile the good one got %d", got)
	}
	d.Run(t, "session", "revoke", "-user", user)
	within(t, 20*time.Second, "a revoked token opens nothing", func() bool { return status(good) == http.StatusUnauthorized })
}
