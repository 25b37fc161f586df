package bundles_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/archive"
)

// stand is a manager of bundles with what is around it: a source, a folder of
// kept ones, a key that is trusted.
type stand struct {
	t       *testing.T
	dir     string
	file    string
	key     archive.PrivateKey
	trust   *archive.Trust
	options func(*bundles.Options)
	*bundles.Manager
	engine *engine.Engine

	mu     sync.Mutex
	events []bundles.Status
}

func newStand(t *testing.T, options func(*bundles.Options)) *stand {
	t.Helper()
	return newStandIn(t, t.TempDir(), options)
}

// newStandIn is newStand in a folder in which one may have been before.
func newStandIn(t *testing.T, dir string, options func(*bundles.Options)) *stand {
	t.Helper()
	s := &stand{t: t, dir: dir, options: options}
	s.file = filepath.Join(s.dir, "policy.tar.gz")
	private, public := s.pair("release", 1)
	var err error
	if s.key, err = archive.ReadPrivateKey(private); err != nil {
		t.Fatal(err)
	}
	keys, err := archive.ReadPublicKeys([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	s.trust = &archive.Trust{Keys: keys}
	s.restart()
	return s
}

// pair writes the key pair of a seed, so that a process that is started anew has
// the same.
func (s *stand) pair(name string, seed byte) (private, public string) {
	s.t.Helper()
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+seed)), ed25519.SeedSize)))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		s.t.Fatal(err)
	}
	private, public = filepath.Join(s.dir, name+".key"), filepath.Join(s.dir, name+".pem")
	s.put(private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	s.put(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}))
	return private, public
}

// restart is a new process with the same folders.
func (s *stand) restart() {
	s.t.Helper()
	e, err := engine.New(engine.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	o := bundles.Options{
		Engine: e, Edge: engine.Edge{Settable: []string{"x-session-id"}, ResponseSettable: []string{"x-session-id"}}, Timeout: 10 * time.Second,
		File: s.file, Kept: filepath.Join(s.dir, "kept"), Trust: s.trust, Logger: slog.New(slog.DiscardHandler), Quiet: 5 * time.Millisecond,
		Now: func() time.Time { return noon }, Notify: func(x bundles.Status) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, x)
		},
	}
	if s.options != nil {
		s.options(&o)
	}
	if s.Manager, err = bundles.New(o); err != nil {
		s.t.Fatal(err)
	}
	s.engine = e
}

func (s *stand) put(name string, text []byte) {
	s.t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// bundle is a signed one that says word; change may give it other files.
func (s *stand) bundle(word string, sequence uint64, change ...string) []byte {
	s.t.Helper()
	fs := fstest.MapFS{}
	all := append([]string{
		"authz.rego", strings.ReplaceAll(ruleText, "WORD", word),
		"data.json", fmt.Sprintf(`{"neosc": {"word": %q, "roles": ["user"]}}`, word),
		"authz_test.rego", "package neosc.authz_test\n\ntest_allowed if data.neosc.authz.decision.allowed with input as {\"session\": {\"roles\": [\"user\"]}}\n",
	}, change...)
	for i := 0; i < len(all); i += 2 {
		fs[all[i]] = &fstest.MapFile{Data: []byte(all[i+1])}
	}
	packed, err := archive.Build(fs, archive.BuildOptions{Revision: word, Sequence: sequence})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.sign(packed, noon.Add(time.Hour))
}

func (s *stand) sign(packed []byte, expires time.Time) []byte {
	s.t.Helper()
	signed, err := archive.Sign(packed, archive.SignOptions{Key: s.key, Now: noon.Add(-time.Hour), Expires: expires})
	if err != nil {
		s.t.Fatal(err)
	}
	return signed
}

// offer puts a bundle where the source is, and reloads.
func (s *stand) offer(packed []byte) error {
	s.t.Helper()
	s.put(s.file, packed)
	return s.Reload()
}

func (s *stand) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// decides fails unless a decision says word, whole.
func (s *stand) decides(word string) {
	s.t.Helper()
	d, err := s.engine.Decide(s.t.Context(), request("portal", "user"))
	if err != nil || !d.Allowed || len(d.Reasons) != 1 || d.Reasons[0] != word || d.Revision != word {
		s.t.Errorf("decided %+v, %v; want %s", d, err, word)
	}
}

// told returns what was told since the last call, in short.
func (s *stand) told() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.events {
		if x.LastError != nil {
			all = append(all, "refused "+x.Refused)
		} else {
			all = append(all, string(x.Cause)+" "+x.Revision)
		}
	}
	s.events = nil
	return all
}
