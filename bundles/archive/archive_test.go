package archive_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/neosc/gate/bundles/archive"
)

var noon = time.Date(2026, 3, 5, 18, 0, 0, 0, time.UTC)

// sample is a small policy folder.
func sample() fstest.MapFS {
	fs := fstest.MapFS{}
	for name, text := range map[string]string{
		"authz.rego":           "package neosc.authz\n\ndecision := {\"allowed\": data.neosc.open, \"reasons\": [\"told\"]}\n",
		"authz_test.rego":      "package neosc.authz_test\n\nimport data.neosc.authz\n\ntest_open if authz.decision.allowed\n",
		"data.yaml":            "neosc: {open: true, n: 1.50, text: \"a <b> é\"}\n",
		"neosc/more/data.json": `{"z": 1, "a": [null, "x", 1e3]}`,
		"README.md":            "junk", ".hidden.rego": "junk", "testdata/x.rego": "junk",
	} {
		fs[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fs
}

func build(t testing.TB, o archive.BuildOptions) []byte {
	t.Helper()
	packed, err := archive.Build(sample(), o)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// pair writes a new key pair to a folder, of which name is the kid.
func pair(t testing.TB, kind, name string) (private, public string) {
	t.Helper()
	var key, pub any
	var err error
	if kind == "ES256" {
		k, e := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		key, pub, err = k, k.Public(), e
	} else {
		p, k, e := ed25519.GenerateKey(rand.Reader)
		key, pub, err = k, p, e
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pubDER, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	private, public = filepath.Join(dir, name+".key"), filepath.Join(dir, name+".pem")
	write(t, private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	write(t, public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pubDER}))
	return private, public
}

func write(t testing.TB, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func trust(t testing.TB, files ...string) *archive.Trust {
	t.Helper()
	keys, err := archive.ReadPublicKeys(files)
	if err != nil {
		t.Fatal(err)
	}
	return &archive.Trust{Keys: keys}
}

func sign(t testing.TB, packed []byte, private string, change func(*archive.SignOptions)) []byte {
	t.Helper()
	key, err := archive.ReadPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	o := archive.SignOptions{Key: key, Now: noon, Issuer: "release", Expires: noon.Add(time.Hour)}
	if change != nil {
		change(&o)
	}
	signed, err := archive.Sign(packed, o)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func read(t testing.TB, packed []byte) *archive.Archive {
	t.Helper()
	a, err := archive.Read(packed)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestBuildGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	o := archive.BuildOptions{Sequence: 7, Metadata: map[string]string{"commit": "abc", "by": "ci"}}
	first := build(t, o)
	if !bytes.Equal(first, build(t, o)) {
		t.Error("two builds differ")
	}
	a := read(t, first)
	var names []string
	for _, f := range a.Files {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "authz.rego authz_test.rego data.json neosc/more/data.json" {
		t.Errorf("it holds %s", got)
	}
	if m := a.Manifest; m.Sequence != 7 || len(m.Revision) != 16 || strings.Join(m.Roots, " ") != "neosc" || m.Metadata["commit"] != "abc" {
		t.Errorf("manifest is %+v", m)
	}
	if a.Signed() {
		t.Error("it is signed by nobody")
	}
}

// OPA reads what is built here, with the same data, and finds the signatures
// good.
func TestOPAReadsAndVerifiesWhatIsBuiltHere(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"ES256", "EdDSA"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			private, public := pair(t, kind, "release")
			signed := sign(t, build(t, archive.BuildOptions{Revision: "v1"}), private, nil)
			text, err := os.ReadFile(public)
			if err != nil {
				t.Fatal(err)
			}
			keys := map[string]*bundle.KeyConfig{"release": {Key: string(text), Algorithm: kind}}
			b, err := bundle.NewReader(bytes.NewReader(signed)).WithBundleVerificationConfig(bundle.NewVerificationConfig(keys, "release", "", nil)).Read()
			if err != nil {
				t.Fatal(err)
			}
			open, _ := b.Data["neosc"].(map[string]any)
			if b.Manifest.Revision != "v1" || len(b.Modules) != 2 || open["open"] != true || open["n"] != json.Number("1.5") {
				t.Errorf("OPA reads %+v with %+v", b.Manifest, b.Data)
			}
			s, err := trust(t, public).Verify(read(t, signed), noon)
			if err != nil || s.KeyID != "release" || s.Algorithm != kind || s.Issuer != "release" || !s.ExpiresAt.Equal(noon.Add(time.Hour)) {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	private, public := pair(t, "ES256", "release")
	other, _ := pair(t, "ES256", "release") // the same name, another key
	ed, _ := pair(t, "EdDSA", "release")
	plain := build(t, archive.BuildOptions{Revision: "v1"})
	changed := build(t, archive.BuildOptions{Revision: "v2"})
	ours := trust(t, public)
	for _, c := range []struct {
		name   string
		packed []byte
		at     time.Time
		is     error
		says   string
	}{
		{"Unsigned", plain, noon, archive.ErrUnsigned, "is not signed"},
		{"AnotherKeyOfTheSameName", sign(t, plain, other, nil), noon, nil, "no key that is trusted (release)"},
		{"AnotherAlgorithm", sign(t, plain, ed, nil), noon, nil, "no key that is trusted"},
		{"Expired", sign(t, plain, private, nil), noon.Add(time.Hour), archive.ErrExpired, "expired at 2026-03-05T19:00:00Z"},
		{"NotYet", sign(t, plain, private, nil), noon.Add(-time.Hour), nil, "holds from 2026-03-05T18:00:00Z on only"},
		{"AnotherScope", sign(t, plain, private, func(o *archive.SignOptions) { o.Scope = "staging" }), noon, nil, `is of scope "staging"`},
		{"TheSignatureOfAnother", graft(t, changed, sign(t, plain, private, nil)), noon, nil, ".manifest is not as it was signed"},
		{"AFileMore", repack(t, sign(t, plain, private, nil), map[string]string{"extra.rego": "package neosc.extra\n"}), noon, nil, "extra.rego is not signed"},
		{"AFileLess", repack(t, sign(t, plain, private, nil), map[string]string{"authz_test.rego": ""}), noon, nil, `"authz_test.rego" is signed and not there`},
		{"AFileChanged", repack(t, sign(t, plain, private, nil), map[string]string{"data.json": `{"neosc": {"open": false}}`}), noon, nil, "data.json is not as it was signed"},
		{"NoToken", repack(t, plain, map[string]string{".signatures.json": `{"signatures": ["a.b.c"]}`}), noon, nil, "is no JWT"},
		{"None", repack(t, plain, map[string]string{".signatures.json": `{"signatures": ["` + unsecured(t, plain) + `"]}`}), noon, nil, "is no JWT of ES256 or EdDSA"},
		{"WithThePublicKeyAsSecret", repack(t, plain, map[string]string{".signatures.json": `{"signatures": ["` + hmacOf(t, plain, public) + `"]}`}), noon, nil, "is no JWT of ES256 or EdDSA"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := ours.Verify(read(t, c.packed), c.at)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("says %v, want %q", err, c.says)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
		})
	}
}

// unsecured is a token that states the hashes of packed and is signed by nobody.
func unsecured(t testing.TB, packed []byte) string {
	t.Helper()
	private, _ := pair(t, "EdDSA", "x")
	token := tokenOf(t, sign(t, packed, private, nil))
	parts := strings.Split(token, ".")
	return "eyJhbGciOiJub25lIn0." + parts[1] + "."
}

// hmacOf takes the public key, which everybody has, for a secret.
func hmacOf(t testing.TB, packed []byte, public string) string {
	t.Helper()
	private, _ := pair(t, "EdDSA", "x")
	text, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jose.ParseSignedCompact(tokenOf(t, sign(t, packed, private, nil)), []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: text}, (&jose.SignerOptions{}).WithHeader("kid", "release"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Sign(token.UnsafePayloadWithoutVerification())
	if err != nil {
		t.Fatal(err)
	}
	text2, err := out.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text2
}
