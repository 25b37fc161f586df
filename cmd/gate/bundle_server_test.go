package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/neosc/gate/bundles/archive"
	"github.com/neosc/gate/session"
)

// A gate with a bundle server starts with its bundle. One that is refused then is
// told of by readiness, metrics and the audit trail, and the first goes on.
func TestAGateTellsOfABundleThatItRefuses(t *testing.T) {
	dir := t.TempDir()
	private, public, err := archive.NewKey("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"k.key": private, "k.pem": public} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var served atomic.Pointer[[]byte]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/gzip")
		_, _ = w.Write(*served.Load())
	}))
	t.Cleanup(srv.Close)
	good := wordBundle(t, dir, true)
	served.Store(&good)
	policy := ", bundle: {url: " + srv.URL + "/policy.tar.gz}, verify: {required: true, keys: [k.pem]}"
	a := gateOf(t, dir, policy, wordPolicy, io.Discard, func(files map[string]string) {
		files["gate.yaml"] = strings.Replace(files["gate.yaml"], "path: policies, ", "", 1)
	})
	if s := a.policy.Status(); s.Revision != "word-true" || s.Bundle.Signature.KeyID != "k" {
		t.Fatalf("%+v", s)
	}
	unsigned := wordBundle(t, dir, false)
	served.Store(&unsigned)
	if err := a.policy.Reload(); err == nil || !strings.Contains(err.Error(), "is not signed") {
		t.Fatal(err)
	}
	if p := policyPart(t, a); !p.Ready || !strings.Contains(p.Detail, "is not signed") {
		t.Errorf("readiness says %+v", p)
	}
	if !metric(t, a, "pomerium_policy_activations_total refused") || !metric(t, a, "pomerium_policy_activations_total activated") {
		t.Error("metrics do not say it")
	}
	srv.Close()
	if err := a.policy.Reload(); err == nil {
		t.Fatal("there is no server")
	}
	if p := policyPart(t, a); !p.Ready || !strings.Contains(p.Detail, "since 20") {
		t.Errorf("readiness says %+v", p)
	}
	entries, err := a.trail.Entries(t.Context(), session.AuditQuery{Action: session.ActionPolicyRefused, Limit: 10})
	if err != nil || len(entries) != 1 || entries[0].Details["refused"] != "word-false" || entries[0].Details["revision"] != "word-true" {
		t.Errorf("the trail tells %+v, %v", entries, err)
	}
	entries, err = a.trail.Entries(t.Context(), session.AuditQuery{Action: session.ActionPolicyActivated, Limit: 10})
	if err != nil || len(entries) != 1 || entries[0].Details["signed_by"] != "k" {
		t.Errorf("the trail tells %+v, %v", entries, err)
	}
}

// wordBundle is a bundle of wordPolicy, signed or not.
func wordBundle(t *testing.T, dir string, signed bool) []byte {
	t.Helper()
	o := archive.BuildOptions{Revision: "word-true"}
	if !signed {
		o.Revision = "word-false"
	}
	packed, err := archive.Build(fstest.MapFS{"authz.rego": {Data: []byte(wordPolicy)}}, o)
	if err != nil || !signed {
		return packed
	}
	key, err := archive.ReadPrivateKey(filepath.Join(dir, "k.key"))
	if err != nil {
		t.Fatal(err)
	}
	if packed, err = archive.Sign(packed, archive.SignOptions{Key: key, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	return packed
}
