package attack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/neosc/gate/bundles/archive"
	"github.com/neosc/gate/test/kit"
)

// bundleOf packs a policy that tells the upstream its word.
func bundleOf(t *testing.T, word string) []byte {
	t.Helper()
	packed, err := archive.Build(fstest.MapFS{"authz.rego": {Data: fmt.Appendf(nil, "package neosc.authz\n\ndecision := {\"allowed\": true, \"headers\": {\"x-user\": %q}}\n", word)}}, archive.BuildOptions{Revision: word})
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// signer signs as the key that it has made, whose public half is in a file.
func signer(t *testing.T, public string) func([]byte) []byte {
	t.Helper()
	private, text, err := archive.NewKey("EdDSA")
	file := filepath.Join(t.TempDir(), "release.key")
	if err = errors.Join(err, os.WriteFile(file, private, 0o600), os.WriteFile(public, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	key, err := archive.ReadPrivateKey(file)
	if err != nil {
		t.Fatal(err)
	}
	return func(packed []byte) []byte {
		out, err := archive.Sign(packed, archive.SignOptions{Key: key, Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// repacked is a bundle in which some files are others.
func repacked(t *testing.T, packed []byte, change func(name, text string) string) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	w, r := tar.NewWriter(zw), tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		text, rerr := io.ReadAll(r)
		if err = errors.Join(err, rerr); err != nil {
			t.Fatal(err)
		}
		changed := change(h.Name, string(text))
		h.Size = int64(len(changed))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, changed); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// B2: a bundle that is not whole, and signed by who is trusted, decides nothing;
// the one before goes on. Its gate and its edge are its own.
func foreignBundles(t *testing.T, _ *siege) {
	e := kit.StartEdge(t)
	e.Configure(t, "policy: {path: policy.tar.gz, verify: {required: true, keys: [release.pem]}}\n")
	trusted, stranger := signer(t, filepath.Join(e.Dir, "release.pem")), signer(t, filepath.Join(t.TempDir(), "release.pem"))
	place := filepath.Join(e.Dir, "policy.tar.gz")
	put := func(packed []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(place+".new", packed, 0o600), os.Rename(place+".new", place)); err != nil {
			t.Fatal(err)
		}
	}
	good, next := trusted(bundleOf(t, "first")), bundleOf(t, "evil")
	put(next)
	if out := e.Refused(t, "serve"); !strings.Contains(out, "is not signed") {
		t.Errorf("a gate begins with an unsigned bundle, and says %s", out)
	}
	put(good)
	// Bundles that were active are kept, and not for other gates.
	gate, client := e.Serve(t, "GATE_POLICY_STATE="+t.TempDir()), e.Client(t)
	serves := func(word string) bool {
		res, err := client.Get(e.Origin("portal") + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		return err == nil && res.StatusCode == http.StatusOK && strings.Contains(string(body), `"X-User":["`+word+`"]`)
	}
	evil := func(_, text string) string { return strings.ReplaceAll(text, "first", "evil") }
	for what, packed := range map[string][]byte{
		"unsigned": next, "signed by a stranger of the same name": stranger(next), "changed behind its signature": repacked(t, good, evil),
		"under another's signature": repacked(t, trusted(bundleOf(t, "evil")), func(name, text string) string {
			if name == "authz.rego" || name == "/authz.rego" {
				return text + "\ndecision := {\"allowed\": true} if true\n"
			}
			return text
		}),
		"with an empty list of signatures": repacked(t, good, func(name, text string) string {
			if strings.HasSuffix(name, ".signatures.json") {
				return `{"signatures": []}`
			}
			return text
		}),
		"cut off": good[:len(good)-20], "with more behind it": append(bytes.Clone(good), next...), "nothing": {}, "a page": []byte("<html>"),
	} {
		refusals := strings.Count(gate.Log(), "policy refused")
		put(packed)
		within(t, time.Minute, "a bundle that is "+what+" is refused", func() bool { return strings.Count(gate.Log(), "policy refused") > refusals })
		if !serves("first") {
			t.Errorf("after a bundle that is %s another than the first decides", what)
		}
	}
	put(trusted(bundleOf(t, "second")))
	within(t, time.Minute, "a signed bundle takes its place", func() bool { return serves("second") })
	gate.Terminate(t)
}
