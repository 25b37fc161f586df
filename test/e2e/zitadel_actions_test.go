package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/zitadelfake"
)

// actionsKey is the signing key of the target that the house is.
const actionsKey = "the signing key of a target"

// actionsDemo is YAML with the key demo for a house that the Actions of its
// on-premise provider ask.
func actionsDemo(t *testing.T) string {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "actions.keys")
	if err := os.WriteFile(keys, []byte(actionsKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "demo:\n  kinds: [{name: linux, title: Linux}]\n  actions: [{provider: zitadel_onprem, keys_file: " + keys + "}]\n"
}

// testActions has a Zitadel ask, through Envoy, what to add to a person's token,
// before, in and after a demo session; and others than it, later and again.
func (h *house) testActions(t *testing.T) {
	gate := h.Origin("gate")
	target := zitadelfake.Target{URL: gate + "/zitadel/actions", SigningKey: actionsKey, Client: h.Stranger(t).Client, Clock: time.Now}
	told := func() map[string]any {
		t.Helper()
		claims := map[string]any{}
		if err := target.Before("preuserinfo", "nora", claims); err != nil {
			t.Error(err)
		}
		return claims
	}
	if got := told(); len(got) != 0 {
		t.Errorf("before: %v", got)
	}
	p := h.Stranger(t)
	arrive(t, p, h.signInAt("zitadel_onprem", gate+"/"), "nora")
	made := p.Do(t, http.MethodPost, gate+"/api/demo-sessions", strings.NewReader(`{"workspace_type":"linux"}`), "Content-Type", "application/json", "Origin", gate)
	var d struct{ ID string }
	if err := json.Unmarshal([]byte(made.Text), &d); made.StatusCode != http.StatusCreated || err != nil || d.ID == "" {
		t.Fatalf("%s %s", made.Status, made.Text)
	}
	// Of calls that are alike and of the same second, all say what the first did,
	// or nothing: one of another second says what is so now.
	var got map[string]any
	for end := time.Now().Add(30 * time.Second); got["neosc:demo_session_id"] != d.ID; time.Sleep(200 * time.Millisecond) {
		if got = told(); time.Now().After(end) {
			t.Fatalf("while it lasts: %v, want the claims of %s", got, d.ID)
		}
	}
	if got["neosc:max_duration"] != 1800.0 || got["neosc:workspace_type"] != "linux" {
		t.Errorf("while it lasts: %v", got)
	}
	body := zitadelfake.Payload("preuserinfo", "nora", "O1")
	for name, signature := range map[string]string{
		"Forged": zitadelfake.Sign(time.Now(), body, "somebody else's signing key"), "Late": zitadelfake.Sign(time.Now().Add(-6*time.Minute), body, actionsKey),
		"Future": zitadelfake.Sign(time.Now().Add(2*time.Minute), body, actionsKey), "None": "",
	} {
		claims := map[string]any{}
		if err := target.Call(body, signature, claims); err == nil || !strings.Contains(err.Error(), "401") || len(claims) != 0 {
			t.Errorf("%s: %v, %v", name, err, claims)
		}
	}
	if end := p.Do(t, http.MethodDelete, gate+"/api/demo-sessions/"+d.ID, nil, "Origin", gate); end.StatusCode >= 300 {
		t.Fatalf("%s %s", end.Status, end.Text)
	}
	if got := told(); len(got) != 0 {
		t.Errorf("after: %v", got)
	}
}
