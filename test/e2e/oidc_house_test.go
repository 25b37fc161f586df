package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/neosc/gate/test/idp"
	"github.com/neosc/gate/test/kit"
)

// zitadelRoles is the claim that lists roles of a project.
const zitadelRoles = "urn:zitadel:iam:org:project:P1:roles"

// staff are the accounts of the providers.
var staff = map[string]map[string]any{
	"nora": {
		"email": "nora@kappa4.com", "email_verified": true, "name": "Nora Villaseñor", "org": "O1",
		zitadelRoles: map[string]any{"neosc": map[string]any{"O1": "kappa4.com"}}, "groups": []string{"owner"},
	},
	"otto":  {"preferred_username": "ceo@company.com", "roles": []string{"user"}},
	"comma": {"email": "c@kappa4.com", "roles": []string{"user,admin"}},
}

// house is a demo with two providers.
type house struct {
	*kit.Demo
	onprem, cloud *idp.Provider
}

// client registers the demo at a provider.
func client(id string, port int, more idp.Client) idp.Client {
	gate := fmt.Sprintf("http://gate.%s:%d", kit.Domain, port)
	c := idp.Client{
		"client_id": "gate", "client_secret": "a secret of the tests", "grant_types": []string{"authorization_code", "refresh_token"},
		"redirect_uris": []string{gate + "/callback/" + id}, "post_logout_redirect_uris": []string{gate + "/oauth2/signed_out"},
		"backchannel_logout_uri": gate + "/backchannel-logout/" + id, "backchannel_logout_session_required": true,
	}
	for k, v := range more {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

// startHouse runs two providers, one signing with RS256 and one with ES256,
// and a demo that knows both and accounts of its own.
func startHouse(t *testing.T) *house {
	t.Helper()
	port := kit.FreePort(t)
	h := &house{
		onprem: idp.Start(t, idp.Settings{Alg: "RS256", Accounts: staff, Clients: []idp.Client{client("zitadel_onprem", port, nil)}}),
		cloud: idp.Start(t, idp.Settings{Alg: "ES256", Accounts: staff, Clients: []idp.Client{
			client("zitadel_cloud", port, idp.Client{"token_endpoint_auth_method": "client_secret_post"})}}),
	}
	h.Demo = kit.StartDemo(t, kit.DemoOptions{Port: port, Policy: "raised", Demo: actionsDemo(t), Providers: fmt.Sprintf(`providers:
  - id: zitadel_onprem
    name: NeoSC on-premise
    note: For staff.
    issuer: %s
    client_id: gate
    client_secret: a secret of the tests
    scopes: [openid, profile, offline_access]
    project_id: P1
  - id: zitadel_cloud
    name: NeoSC cloud
    issuer: %s
    client_id: gate
    client_secret: a secret of the tests
    client_auth: client_secret_post
    domains: [kappa4.com]
    default_role: user
  - id: nobody
    name: Nobody at home
    issuer: http://127.0.0.1:%d
    client_id: gate
`, h.onprem.Issuer, h.cloud.Issuer, kit.FreePort(t))})
	return h
}

// startHome runs one provider, made of the environment, and a demo at which
// nobody has a password.
func startHome(t *testing.T) *house {
	t.Helper()
	port := kit.FreePort(t)
	h := &house{onprem: idp.Start(t, idp.Settings{Alg: "ES256", Accounts: staff, Clients: []idp.Client{
		client("zitadel_onprem", port, idp.Client{"client_secret": nil, "token_endpoint_auth_method": "none"})}})}
	h.Demo = kit.StartDemo(t, kit.DemoOptions{Port: port, Policy: "raised", Env: []string{
		"GATE_ACCOUNTS_PASSWORDS=off", "ZITADEL_AUTHORITY=" + h.onprem.Issuer, "ZITADEL_CLIENT_ID=gate", "ZITADEL_PROJECT_ID=P1"}})
	return h
}

// signInAt is the gate's address that leads to a provider and then to target.
func (h *house) signInAt(provider, target string) string {
	q := url.Values{"rd": {target}}
	if provider != "" {
		q.Set("provider", provider)
	}
	return h.Origin("gate") + "/oauth2/sign_in?" + q.Encode()
}

// arrive goes where a browser would, and signs in at a provider as login (""
// cancels there). It returns the first page that is neither a redirect nor the
// provider's form, and the addresses on the way.
func arrive(t *testing.T, p *kit.Person, from, login string) (*kit.Reply, []string) {
	t.Helper()
	way := []string{from}
	reply := p.Get(t, from)
	for range 20 {
		at := way[len(way)-1]
		switch {
		case reply.StatusCode >= 300 && reply.StatusCode < 400:
			next, err := reply.Request.URL.Parse(reply.Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			way = append(way, next.String())
			reply = p.Get(t, next.String())
		case strings.Contains(reply.Text, `name="login"`):
			form := url.Values{"login": {login}}
			if login == "" {
				form.Set("cancel", "1")
			}
			reply = p.Do(t, http.MethodPost, at, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
		default:
			return reply, way
		}
	}
	t.Fatalf("more than 20 steps: %q", way)
	return nil, nil
}

// signedIn is somebody who has signed in at a provider.
func (h *house) signedIn(t *testing.T, provider, login string) *kit.Person {
	t.Helper()
	p := h.Stranger(t)
	if reply, way := arrive(t, p, h.signInAt(provider, h.Origin("portal")+"/"), login); reply.StatusCode != http.StatusOK {
		t.Fatalf("%s after %q\n%s\n%s", reply.Status, way, reply.Text, h.Output())
	}
	return p
}
