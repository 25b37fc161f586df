package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
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

// A gate that starts where its source has a bundle that it refuses tells of both:
// what it began with, and what it did not take.
func TestTheTrailTellsWhatAGateBeganWith(t *testing.T) {
	dir := t.TempDir()
	private, public, err := archive.NewKey("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "p.tgz")
	put := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(dir, "k.key"), private)
	put(filepath.Join(dir, "k.pem"), public)
	begin := func(t *testing.T) *app {
		return gateOf(t, dir, ", verify: {required: true, keys: [k.pem]}", wordPolicy, io.Discard, func(files map[string]string) {
			files["gate.yaml"] = strings.Replace(files["gate.yaml"], "path: policies", "path: p.tgz", 1)
		})
	}
	put(file, wordBundle(t, dir, true))
	t.Run("WithAGoodOne", func(t *testing.T) { begin(t) })
	put(file, wordBundle(t, dir, false))
	a := begin(t)
	var told []string
	for _, action := range []session.Action{session.ActionPolicyActivated, session.ActionPolicyRefused} {
		entries, err := a.trail.Entries(t.Context(), session.AuditQuery{Action: action, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			told = append(told, string(action)+" "+e.Details["revision"]+" "+e.Details["cause"]+e.Details["refused"])
		}
	}
	want := []string{"policy_activated word-true kept", "policy_activated word-true source", "policy_refused word-true sourceword-false"}
	slices.Sort(told)
	if !slices.Equal(told, want) {
		t.Errorf("the trail tells %q, want %q", told, want)
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
