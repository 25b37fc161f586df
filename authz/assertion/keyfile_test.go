package assertion_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/authz/assertion"
)

func TestAKeyFileIsMadeOnFirstUseAndReadAfter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "keys.yaml")
	if _, err := assertion.Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("without a file: %v", err)
	}
	keys, err := assertion.ReadOrCreate(path, noon)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v; want 0600", st.Mode(), err)
	}
	if len(keys) != 1 || keys.StateAt(0, noon) != assertion.Signs || !keys[0].Created.Equal(noon) {
		t.Errorf("made %v", keys)
	}
	again, err := assertion.ReadOrCreate(path, noon.Add(time.Hour))
	if err != nil || again[0].ID != keys[0].ID {
		t.Errorf("read again: %v %v", again, err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("%d files beside it, error %v", len(files)-1, err)
	}
}

func TestProcessesThatStartTogetherShareOneKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.yaml")
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			keys, err := assertion.ReadOrCreate(path, noon)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = keys[0].ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("keys %v, want one", ids)
		}
	}
}

func TestAFileComesBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.yaml")
	keys := newKeys(t, noon, noon.Add(time.Hour))
	for range 2 { // the second time over the first
		if err := keys.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	again, err := assertion.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := newSigner(t, keys), newSigner(t, again); !bytes.Equal(a.JWKS(), b.JWKS()) {
		t.Error("other keys came back")
	}
	for i := range keys {
		if !again[i].ActiveFrom.Equal(keys[i].ActiveFrom) || !again[i].Created.Equal(keys[i].Created) {
			t.Errorf("key %d has other times", i)
		}
	}
}

func TestTheOwnerOfAFileStaysWhoItWas(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 { // only root may give files away, so only root can lose them
		return
	}
	path := filepath.Join(t.TempDir(), "keys.yaml")
	keys := newKeys(t, noon)
	if err := errors.Join(keys.Write(path), os.Chown(path, 1234, 1234), keys.Write(path)); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := st.Sys().(*syscall.Stat_t); s.Uid != 1234 || s.Gid != 1234 || st.Mode().Perm() != 0o600 {
		t.Errorf("owner %d:%d, mode %v", s.Uid, s.Gid, st.Mode())
	}
}

// pkcs8 is the private form of any key.
func pkcs8(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func entry(id, from, private string) string {
	return fmt.Sprintf("- {id: %s, active_from: %s, private: %q}\n", id, from, private)
}

func TestBadKeyFilesAreRefusedAndNeverShown(t *testing.T) {
	t.Parallel()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const from = "2026-03-05T12:00:00Z"
	good := pkcs8(t, p256)
	for name, c := range map[string]struct{ body, want string }{
		"Empty":          {"", "is no key file"},
		"NoKeys":         {"keys: []\n", "has 0 keys"},
		"NotYAML":        {"keys: [" + good, "is no key file"},
		"AnotherShape":   {"active: a\nkeys:\n" + entry("a", from, good), "is no key file"},
		"KeyAsTheName":   {"keys:\n- {" + good + ": 1}\n", "is no key file"},
		"KeyAsTheTime":   {"keys:\n" + entry("a", good, good), "is no key file"},
		"KeyAsTheID":     {"keys:\n" + entry(good, from, "x"), "keys[0]: id needs"},
		"NoID":           {"keys:\n" + entry(`""`, from, good), "keys[0]: id needs"},
		"IDThatMoves":    {"keys:\n" + entry(`"a\e[2J"`, from, good), "keys[0]: id needs"},
		"NoTime":         {"keys:\n- {id: a, private: \"" + good + "\"}\n", "keys[0]: a: active_from is missing"},
		"NotBase64":      {"keys:\n" + entry("a", from, good[:40]+"!"+good[40:]), "keys[0]: a: private is not base64"},
		"CutShort":       {"keys:\n" + entry("a", from, good[:80]), "no PKCS#8 key on the curve P-256"},
		"AnotherCurve":   {"keys:\n" + entry("a", from, pkcs8(t, p384)), "no PKCS#8 key on the curve P-256"},
		"RSA":            {"keys:\n" + entry("a", from, pkcs8(t, rsaKey)), "no PKCS#8 key on the curve P-256"},
		"TwiceTheSameID": {"keys:\n" + entry("a", from, good) + entry("a", from, good), "keys[1]: id \"a\" is there twice"},
		"TooMany":        {"keys:\n" + strings.Repeat(entry("a", from, good), assertion.MaxKeys+1), "has 17 keys, want 1 to 16"},
		"TooLarge":       {"keys:\n" + entry("a", from, good) + strings.Repeat("#", 64<<10), "is larger than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "keys.yaml")
			if err := os.WriteFile(path, []byte(c.body), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := assertion.ReadOrCreate(path, noon)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v, want one that names the file and %q", err, c.want)
			}
			shown := strings.ReplaceAll(err.Error(), path, "")
			for i := 0; i+8 <= len(good); i += 4 {
				if strings.Contains(shown, good[i:i+8]) {
					t.Fatalf("the error shows a piece of the key: %v", shown)
				}
			}
			if after, _ := os.ReadFile(path); string(after) != c.body {
				t.Error("the file was changed")
			}
		})
	}
}

func TestAFileThatOthersCanUseIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.yaml")
	if err := newKeys(t, noon).Write(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := assertion.Read(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
	if _, err := assertion.Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a folder: %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := assertion.Read(pipe); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a pipe: %v", err)
	}
}

// TestPrintingKeysShowsNone: whatever verb a log line uses.
func TestPrintingKeysShowsNone(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, noon)
	printed := fmt.Sprintf("%v %+v %#v %s %x %q %v", keys, keys, keys, keys, keys, keys[0], &keys[0])
	if strings.Contains(printed, "0xc0") || strings.Contains(printed, "ecdsa") || regexp.MustCompile(`[0-9]{20,}`).MatchString(strings.ReplaceAll(printed, keys[0].ID, "")) {
		t.Errorf("printed as %s", printed)
	}
}
