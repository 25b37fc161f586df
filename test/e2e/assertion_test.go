package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/test/kit"
)

const assertionHeader = "X-Pomerium-Jwt-Assertion"

// backend is where the demo's backend listens: on loopback, as anybody on the
// machine could reach it.
func backend(t *testing.T, d *kit.Demo) string {
	t.Helper()
	f, err := route.Load(filepath.Join(d.State, "routes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range f.Upstreams() {
		if u.Name == "backend" {
			return fmt.Sprintf("http://%s:%d", u.Endpoints[0].Host, u.Endpoints[0].Port)
		}
	}
	t.Fatal("the demo has no backend")
	return ""
}

// direct asks the backend past the edge, in the name of a host.
func direct(t *testing.T, base, host string, headers ...string) (status int, who answered) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/whoami", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&who); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode, who
}

type answered struct {
	Identity struct {
		Email, User string
		Groups      []string
		Assertion   bool `json:"signed_assertion"`
	}
}

// signer signs as the demo's gate does, with its keys if path is "".
func signer(t *testing.T, d *kit.Demo, path string) *assertion.Signer {
	t.Helper()
	if path == "" {
		path = filepath.Join(d.State, "assertion-keys.yaml")
	}
	keys, err := assertion.ReadOrCreate(path, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s, err := assertion.New(assertion.Options{Keys: keys, Issuer: d.Origin("gate")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestABackendThatBelievesOnlyTheAssertion(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised", Env: []string{"TRUST_POMERIUM_HEADERS=false"}})
	base, api, admin := backend(t, d), "api.portal."+kit.Domain, "admin.portal."+kit.Domain
	token := func(s *assertion.Signer, host string, now time.Time) string {
		x := &session.Session{Key: session.NewID().Key(), ExpiresAt: now.Add(time.Hour), IdleExpiresAt: now.Add(time.Hour),
			Identity: session.Identity{UserID: "u-test", Email: "test@" + kit.Domain, EmailVerified: true, Roles: []string{"user"}}}
		out, err := s.Assertion(x, host, now)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	own, stranger := signer(t, d, ""), signer(t, d, filepath.Join(t.TempDir(), "keys.yaml"))
	good := token(own, api, time.Now())
	forged := []string{"X-Pomerium-Email", "ceo@company.com", "X-Pomerium-User", "u-1", "X-Pomerium-Groups", "admin"}
	for name, c := range map[string]struct {
		host    string
		headers []string
		want    int
	}{
		"PlainHeaders":      {api, forged, 401},
		"Nothing":           {api, nil, 401},
		"NoToken":           {api, append([]string{assertionHeader, "yes"}, forged...), 401},
		"AnothersKey":       {api, []string{assertionHeader, token(stranger, api, time.Now())}, 401},
		"Expired":           {api, []string{assertionHeader, token(own, api, time.Now().Add(-time.Hour))}, 401},
		"TwoOfThem":         {api, []string{assertionHeader, good, assertionHeader, good}, 401},
		"ForAnotherHost":    {admin, []string{assertionHeader, good}, 401},
		"AtAnUnknownHost":   {"localhost", []string{assertionHeader, good}, 401},
		"Good":              {api, []string{assertionHeader, good}, 200},
		"GoodBesideForgery": {api, append([]string{assertionHeader, good}, forged...), 200},
		"HostWithPort":      {api + ":8080", []string{assertionHeader, good}, 200},
	} {
		status, who := direct(t, base, c.host, c.headers...)
		if status != c.want {
			t.Errorf("%s: %d, want %d", name, status, c.want)
		}
		if status == 200 && (who.Identity.User != "u-test" || who.Identity.Email != "test@"+kit.Domain || strings.Join(who.Identity.Groups, ",") != "user") {
			t.Errorf("%s: the backend takes the caller for %+v", name, who.Identity)
		}
	}
	workspaces(t, d, own, base)
	// Through the edge, on both hosts that the backend serves; what the client
	// says of itself is gone on the way.
	p := d.SignedIn(t, "admin")
	for _, host := range []string{"api.portal", "admin.portal"} {
		reply := p.Do(t, "GET", d.Origin(host)+"/api/whoami", nil, append([]string{assertionHeader, good, "Accept", "application/json"}, forged...)...)
		var who answered
		if err := json.Unmarshal([]byte(reply.Text), &who); err != nil || reply.StatusCode != 200 {
			t.Fatalf("%s: %s %v\n%s", host, reply.Status, err, reply.Text)
		}
		if who.Identity.Email != "admin@"+kit.Domain || !who.Identity.Assertion || strings.Join(who.Identity.Groups, ",") != "admin" {
			t.Errorf("%s: the backend takes the caller for %+v", host, who.Identity)
		}
	}
}

func TestABackendThatTrustsTheNetworkBelievesAnybody(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised"})
	// The reason for the assertion: without it the network is all there is.
	status, who := direct(t, backend(t, d), "api.portal."+kit.Domain, "X-Pomerium-Email", "ceo@company.com", "X-Pomerium-User", "u-1")
	if status != 200 || who.Identity.Email != "ceo@company.com" {
		t.Errorf("%d %+v", status, who)
	}
	// Even then nobody is an administrator by a plain header.
	if got := resetPast(t, backend(t, d), "X-Pomerium-Email", "ceo@company.com", "X-Pomerium-User", "u-1", "X-Pomerium-Groups", "admin"); got != 401 {
		t.Errorf("a plain header makes an administrator: %d", got)
	}
}

func TestKeysAreRotatedAndNobodyNotices(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised", Env: []string{"TRUST_POMERIUM_HEADERS=false"}})
	p := d.SignedIn(t, "neosc")
	works := func(when string) {
		t.Helper()
		if reply := p.Do(t, "GET", d.Origin("api.portal")+"/api/whoami", nil, "Accept", "application/json"); reply.StatusCode != 200 {
			t.Fatalf("%s: %s\n%s", when, reply.Status, reply.Text)
		}
	}
	works("before")
	if n := len(published(t, d)); n != 1 {
		t.Fatalf("%d keys are published, want 1", n)
	}
	d.Run(t, "keys", "rotate")
	if err := syscall.Kill(d.PID(), syscall.SIGHUP); err != nil { // else within 10 s
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); len(published(t, d)) != 2; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the new key is not published:\n%s", d.Output())
		}
	}
	works("with a new key published")
	// A cookie key that takes over at once: who is signed in stays so.
	before := cookieKey(p)
	if _, err := cookie.Rotate(filepath.Join(d.State, "cookie-keys.yaml"), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	// No signal: the gate looks by itself.
	for end := time.Now().Add(time.Minute); cookieKey(d.SignedIn(t, "neosc2")) == before; time.Sleep(3 * time.Second) {
		if time.Now().After(end) {
			t.Fatalf("no cookie is sealed under the new key:\n%s", d.Output())
		}
	}
	works("with a new cookie key")
	if out := d.Run(t, "keys", "prune"); !strings.Contains(out, "nothing to remove") {
		t.Errorf("keys that are needed are gone:\n%s", out)
	}
	works("after pruning")
}

func cookieKey(p *kit.Person) string { return strings.Split(p.Session(), ".")[1] }

// published fetches the key set as an upstream does.
func published(t *testing.T, d *kit.Demo) []map[string]string {
	t.Helper()
	reply := d.Stranger(t).Do(t, "GET", d.Origin("gate")+"/.well-known/pomerium/jwks.json", nil)
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal([]byte(reply.Text), &set); err != nil || reply.StatusCode != 200 {
		t.Fatalf("%s %v\n%s", reply.Status, err, reply.Text)
	}
	if got := reply.Header.Get("Cache-Control"); got != "public, max-age=300" {
		t.Errorf("Cache-Control is %q", got)
	}
	for _, k := range set.Keys {
		if k["d"] != "" || k["kid"] == "" || k["crv"] != "P-256" {
			t.Errorf("published: %v", k["kid"])
		}
	}
	return set.Keys
}
