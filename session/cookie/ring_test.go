package cookie_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/neosc/gate/session/cookie"
)

const (
	secretA = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	secretB = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA"
)

func writeRing(t *testing.T, path, body string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
}

func openRing(t *testing.T, path string) *cookie.Ring {
	t.Helper()
	ring, err := cookie.OpenRing(path)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestRingIsWrittenOnFirstUseAndReadAfter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "ring.yaml")
	v := seal(t, sealer(t, openRing(t, path), "_pomerium", "session"), payload())
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, error %v; want 0600", info.Mode(), err)
	}
	if _, err := sealer(t, openRing(t, path), "_pomerium", "session").Open(v); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("%d files beside the ring, error %v", len(files)-1, err)
	}
}

func TestProcessesThatStartTogetherShareOneRing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring.yaml")
	rings := make([]*cookie.Ring, 8)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			ring, err := cookie.OpenRing(path)
			if err != nil {
				t.Error(err)
			}
			rings[i] = ring
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	v := seal(t, sealer(t, rings[0], "_pomerium", "session"), payload())
	for i, ring := range rings {
		if _, err := sealer(t, ring, "_pomerium", "session").Open(v); err != nil {
			t.Errorf("ring %d has another key", i)
		}
	}
}

func TestRotationKeepsOldCookiesUntilTheirKeyGoes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring.yaml")
	writeRing(t, path, "active: a\nkeys:\n- {id: a, secret: "+secretA+"}\n")
	ring := openRing(t, path)
	s := sealer(t, ring, "_pomerium", "session")
	old := seal(t, s, payload())
	generation := s.Generation()

	writeRing(t, path, `{"active": "b", "keys": [{"id": "a", "secret": "`+secretA+`"}, {"id": "b", "secret": "`+secretB+`"}]}`)
	if err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	if s.Generation() == generation {
		t.Error("the generation stayed although the keys changed")
	}
	fresh := seal(t, s, payload())
	if !strings.HasPrefix(fresh, "v1.b.") {
		t.Errorf("sealed under %.6s, want the new active key", fresh)
	}
	if _, err := s.Open(old); err != nil {
		t.Errorf("the old key no longer opens: %v", err)
	}

	writeRing(t, path, "active: b\nkeys:\n- {id: b, secret: "+secretB+"}\n")
	if err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, s, old)
	if _, err := s.Open(fresh); err != nil {
		t.Error(err)
	}
	// Under the retired key's name with the new key: the id is bound too.
	wantInvalid(t, s, "v1.a."+fresh[5:])
}

func TestAFailedReloadLeavesTheKeysInUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring.yaml")
	ring := openRing(t, path)
	s := sealer(t, ring, "_pomerium", "session")
	v := seal(t, s, payload())
	generation := s.Generation()
	writeRing(t, path, "active: gone\n")
	if err := ring.Reload(); err == nil {
		t.Error("a broken ring was taken")
	}
	if _, err := s.Open(v); err != nil || s.Generation() != generation {
		t.Errorf("error %v, generation %d; want the old keys untouched", err, s.Generation())
	}
}

func TestBadRingsAreRefusedWithoutTellingSecrets(t *testing.T) {
	t.Parallel()
	good := "- {id: a, secret: " + secretA + "}\n"
	tests := map[string]string{
		"no keys":          "active: a\nkeys: []\n",
		"active elsewhere": "active: z\nkeys:\n" + good,
		"twice":            "active: a\nkeys:\n" + good + good,
		"unknown field":    "active: a\nextra: 1\nkeys:\n" + good,
		"short secret":     "active: a\nkeys:\n- {id: a, secret: AAAA" + "}\n",
		"not base64":       "active: a\nkeys:\n- {id: a, secret: '" + strings.Repeat("!", 43) + "'}\n",
		"bad id":           "active: a.b\nkeys:\n- {id: a.b, secret: " + secretA + "}\n",
		"long id":          "active: a\nkeys:\n" + good + "- {id: aaaaaaaaaaaaaaaaa, secret: " + secretA + "}\n",
		"not yaml":         "\tactive: " + secretA,
		"wrong shape":      "active: a\nkeys: " + secretA + "\n",
		"too large":        "active: a\nkeys:\n" + good + strings.Repeat("# filler\n", 10_000),
		"empty":            "",
	}
	for name, body := range tests {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ring.yaml")
			writeRing(t, path, body)
			_, err := cookie.OpenRing(path)
			if err == nil {
				t.Fatal("it was taken")
			}
			if strings.Contains(err.Error(), secretA[:8]) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q: want the path in it and no secret", err)
			}
		})
	}
}

func TestARingThatOthersCanReadIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring.yaml")
	writeRing(t, path, "active: a\nkeys:\n- {id: a, secret: "+secretA+"}\n")
	for _, mode := range []os.FileMode{0o640, 0o604, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := cookie.OpenRing(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %#o: error %v, want one that says how to mend it", mode, err)
		}
	}
	if _, err := cookie.OpenRing(t.TempDir()); err == nil {
		t.Error("a folder was taken for a ring")
	}
}

func TestDerivedKeysDifferByPurposeAndAgreeBetweenReplicas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	a, err := cookie.OpenRing(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := cookie.OpenRing(path)
	if err != nil {
		t.Fatal(err)
	}
	derive := func(r *cookie.Ring, purpose string) string {
		ks, err := r.DeriveKeys(purpose)
		if err != nil || len(ks) != 1 || len(ks[0]) != 32 {
			t.Fatalf("%d keys, %v", len(ks), err)
		}
		return string(ks[0])
	}
	if derive(a, "forms") != derive(b, "forms") {
		t.Error("two replicas with one ring derive different keys")
	}
	if derive(a, "forms") == derive(a, "other") {
		t.Error("two purposes share a key")
	}
}
