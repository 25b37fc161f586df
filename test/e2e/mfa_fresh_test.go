package e2e

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// freshFor is how long ago neosc2 may have shown a second factor, by freshPolicy.
const freshFor = "20"

// freshPolicy is the shipped policy that asks one person for a second factor
// again and again, as the setting second_factor_within of a route asks everybody.
func freshPolicy(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "policies")
	if err := kit.WritePolicies(dir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "lib", "mfa.rego")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const setting = "input.route.policy.second_factor_within"
	if !strings.Contains(string(b), setting) {
		t.Fatalf("%s does not read %s", file, setting)
	}
	text := strings.ReplaceAll(string(b), setting, "within_seconds") + `
within_seconds := ` + freshFor + ` if input.session.user.email == "neosc2@` + kit.Domain + `"
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// freshAgain: a second factor that was shown too long ago for policy is asked for
// on the way, and the way goes on.
func freshAgain(t *testing.T, d *kit.Demo) {
	gate, portal := d.Origin("gate"), d.Origin("portal")
	w := d.SignedIn(t, "neosc2")
	key, _ := w.EnrolApp(t, -1)
	if r := w.Get(t, portal+"/"); r.StatusCode != http.StatusOK {
		t.Fatalf("with a second factor just shown: %s\n%s", r.Status, r.Text)
	}
	asked := gate + "/oauth2/second_factor?rd=" + url.QueryEscape(portal+"/later?a=b")
	for ends := time.Now().Add(2 * time.Minute); ; {
		r := w.Get(t, portal+"/later?a=b")
		if r.StatusCode == http.StatusFound && r.Header.Get("Location") == asked {
			break
		}
		if r.StatusCode != http.StatusOK || time.Now().After(ends) {
			t.Fatalf("%s to %q, want to be sent to %q in time", r.Status, r.Header.Get("Location"), asked)
		}
		time.Sleep(250 * time.Millisecond) // between looks: nothing tells of a factor that has become old
	}
	r := w.Do(t, http.MethodGet, portal+"/later", nil, "Accept", "application/json")
	if r.StatusCode != http.StatusUnauthorized || !strings.Contains(r.Text, `"step_up_required"`) || !strings.Contains(r.Header.Get("WWW-Authenticate"), "insufficient_user_authentication") {
		t.Errorf("a program is told %s %q %s", r.Status, r.Header.Get("WWW-Authenticate"), r.Text)
	}
	before := w.Session()
	r = w.Send(t, strings.TrimPrefix(asked, gate), "/oauth2/second_factor", "with", "app", "code", kit.TOTP(t, key, time.Now(), 0), "rd", portal+"/later?a=b")
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != portal+"/later?a=b" {
		t.Fatalf("after the code: %s to %q\n%s", r.Status, r.Header.Get("Location"), r.Text)
	}
	if w.Session() == before {
		t.Error("the session keeps its id beyond a second factor")
	}
	if r := w.Get(t, portal+"/later?a=b"); r.StatusCode != http.StatusOK {
		t.Errorf("after the second factor: %s to %q", r.Status, r.Header.Get("Location"))
	}
}
