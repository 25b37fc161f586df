package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session/cookie"
)

// keysRig is a folder with a configuration and both key files.
func keysRig(t *testing.T, from ...time.Time) (config string) {
	t.Helper()
	dir := t.TempDir()
	config = filepath.Join(dir, "gate.yaml")
	if err := os.WriteFile(config, []byte("cookie: {domain: .kappa4.com}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var keys assertion.Keys
	for _, f := range from {
		var err error
		if keys, err = keys.With(f, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := keys.Write(filepath.Join(dir, "assertion-keys.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := cookie.OpenRing(filepath.Join(dir, "cookie-keys.yaml")); err != nil {
		t.Fatal(err)
	}
	return config
}

func gateKeys(t *testing.T, config string, args ...string) (lines []keyLine) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), append(append([]string{"keys"}, args...), "-json", "-config", config), streams{strings.NewReader(""), &out, &errs})
	if code != exitOK {
		t.Fatalf("gate keys %v: code %d, %s", args, code, errs.String())
	}
	if err := json.Unmarshal(out.Bytes(), &lines); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return lines
}

func TestPruneTakesTheSigningKeysThatNothingNeeds(t *testing.T) {
	t.Parallel()
	now := time.Now()
	config := keysRig(t, now.Add(-72*time.Hour), now.Add(-48*time.Hour), now.Add(-time.Minute))
	before := gateKeys(t, config, "list", "-what", "assertion")
	for i, want := range []string{"old", "old", "signs"} {
		if before[i].State != want || before[i].Prunable != (i == 0) {
			t.Errorf("key %d: %+v, want %s", i, before[i], want)
		}
	}
	gone := gateKeys(t, config, "prune")
	left := gateKeys(t, config, "list", "-what", "assertion")
	if len(gone) != 1 || gone[0].ID != before[0].ID || len(left) != 2 || left[0].ID != before[1].ID {
		t.Errorf("removed %+v, left %+v", gone, left)
	}
}

// TestRotationsAtOnceLoseNoKey: two operators, or a timer on each replica.
func TestRotationsAtOnceLoseNoKey(t *testing.T) {
	t.Parallel()
	config := keysRig(t, time.Now())
	var mu sync.Mutex
	made := map[string]bool{}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for _, l := range gateKeys(t, config, "rotate") {
				mu.Lock()
				made[l.ID] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	all := gateKeys(t, config, "list")
	for _, l := range all {
		delete(made, l.ID)
	}
	if len(all) != 14 || len(made) != 0 {
		t.Errorf("%d keys, want 14; lost %v", len(all), made)
	}
}

// TestABadKeyFileIsRefusedAndTheOtherTaken: what is wrong with one file is said
// in log and readiness, and stops neither the other nor the keys in use.
func TestABadKeyFileIsRefusedAndTheOtherTaken(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(keysRig(t, time.Now().Add(-time.Hour)), nil)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	a := &app{cfg: cfg, log: slog.New(slog.NewTextHandler(&log, nil)), keys: &keyWatch{}}
	if a.ring, err = cookie.OpenRing(cfg.Cookie.Keys); err != nil {
		t.Fatal(err)
	}
	keys, err := assertion.Read(cfg.Identity.Keys)
	if err != nil {
		t.Fatal(err)
	}
	if a.signer, err = assertion.New(assertion.Options{Keys: keys, Issuer: "https://gate.kappa4.com"}); err != nil {
		t.Fatal(err)
	}
	jwks, generation := string(a.signer.JWKS()), a.ring.Generation()
	if err := os.WriteFile(cfg.Identity.Keys, []byte("keys: [hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cookie.Rotate(cfg.Cookie.Keys, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	a.reloadKeys()
	if string(a.signer.JWKS()) != jwks || a.ring.Generation() == generation {
		t.Error("the signing keys in use went, or the cookie's were not taken")
	}
	if err := a.keys.problem(); err == nil || !strings.Contains(err.Error(), cfg.Identity.Keys) {
		t.Errorf("readiness says %v", err)
	}
	if !strings.Contains(log.String(), "level=ERROR") || strings.Contains(log.String(), "hush") {
		t.Errorf("the log says %s", log.String())
	}
	if keys, err = keys.With(time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := keys.Write(cfg.Identity.Keys); err != nil {
		t.Fatal(err)
	}
	a.reloadKeys()
	if string(a.signer.JWKS()) == jwks || a.keys.problem() != nil {
		t.Errorf("the mended file was not taken: %v", a.keys.problem())
	}
}

func TestChangesOfKeyFilesAreSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	w := &keyWatch{files: []string{a, b}}
	write := func(path, body string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(a, "1")
	for _, step := range []struct {
		name string
		do   func()
		want bool
	}{
		{"TheFirstLook", func() {}, true},
		{"Nothing", func() {}, false},
		{"AnotherSize", func() { write(a, "22") }, true},
		{"Appeared", func() { write(b, "1") }, true},
		{"Nothing", func() {}, false},
		{"AnotherFileOfThatSize", func() { write(b, "2") }, true},
		{"AnotherMode", func() { _ = os.Chmod(b, 0o640) }, true},
		{"Gone", func() { _ = os.Remove(a) }, true},
		{"Nothing", func() {}, false},
	} {
		step.do()
		if got := w.changed(); got != step.want {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
	}
}
