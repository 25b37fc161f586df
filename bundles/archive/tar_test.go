package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/neosc/gate/bundles/archive"
)

// entry is one of a tar that is made by hand.
type entry struct {
	name string
	text string
	kind byte
	link string
}

func packed(t testing.TB, all ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, e := range all {
		h := &tar.Header{Typeflag: e.kind, Name: e.name, Mode: 0o644, Linkname: e.link}
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(e.text))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(e.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func entries(t testing.TB, packed []byte) (all []entry) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry{name: h.Name, text: string(text)})
	}
}

// repack puts other files into a bundle; "" takes one out.
func repack(t testing.TB, of []byte, change map[string]string) []byte {
	t.Helper()
	var all []entry
	for _, e := range entries(t, of) {
		if _, other := change[e.name]; !other {
			all = append(all, e)
		}
	}
	for name, text := range change {
		if text != "" {
			all = append(all, entry{name: name, text: text})
		}
	}
	return packed(t, all...)
}

// graft gives a bundle the signature of another.
func graft(t testing.TB, to, from []byte) []byte {
	t.Helper()
	for _, e := range entries(t, from) {
		if e.name == ".signatures.json" {
			return repack(t, to, map[string]string{e.name: e.text})
		}
	}
	t.Fatal("it is not signed")
	return nil
}

func tokenOf(t testing.TB, of []byte) string {
	t.Helper()
	for _, e := range entries(t, of) {
		var f struct{ Signatures []string }
		if e.name == ".signatures.json" && json.Unmarshal([]byte(e.text), &f) == nil {
			return f.Signatures[0]
		}
	}
	t.Fatal("it is not signed")
	return ""
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	module := entry{name: "a.rego", text: "package neosc.authz\n"}
	good := packed(t, module)
	var many []entry
	for i := range 2001 {
		many = append(many, entry{name: strings.Repeat("x", 1+i%200) + "/" + string(rune('a'+i/200)) + ".md"})
	}
	for _, c := range []struct {
		name   string
		packed []byte
		says   string
	}{
		{"Nothing", nil, "is no gzip file"},
		{"HTML", []byte("<!doctype html><title>Sign in</title>"), "is no gzip file"},
		{"Truncated", good[:len(good)/2], "cut or damaged"},
		{"TwoStreams", append(bytes.Clone(good), good...), "more bytes behind its end"},
		{"BehindTheEnd", append(bytes.Clone(good), 'x'), "1 more bytes behind its end"},
		{"TwoTars", concatenated(t, good, good), "behind the end of its archive"},
		{"TooLong", make([]byte, archive.MaxPacked+1), "more than 33554432"},
		{"Bomb", bomb(t), "unpacks to more than 67108864 bytes"},
		{"BombOfPadding", paddingBomb(t), "unpacks to more than 67108864 bytes"},
		{"TooManyFiles", packed(t, many...), "more than 2000 files"},
		{"Twice", packed(t, module, module), `has "a.rego" twice`},
		{"TwiceWithASlash", packed(t, module, entry{name: "/a.rego", text: "package b"}), `has "a.rego" twice`},
		{"TwiceWithADot", packed(t, module, entry{name: "./a.rego", text: "package b"}), `has "a.rego" twice`},
		{"Traversal", packed(t, entry{name: "../../etc/cron.d/x"}), "is no path inside the bundle"},
		{"TraversalWithin", packed(t, entry{name: "a/../b.rego"}), "is no path inside the bundle"},
		{"Absolute", packed(t, entry{name: "//etc/passwd"}), "is no path inside the bundle"},
		{"Backslash", packed(t, entry{name: `..\x.rego`}), "is no path inside the bundle"},
		{"ControlCharacter", packed(t, entry{name: "a\nb.rego"}), "is no path inside the bundle"},
		{"DeepFolders", packed(t, entry{name: strings.Repeat("d/", 20) + "a.rego"}), "nests deeper"},
		{"LongName", packed(t, entry{name: strings.Repeat("d", 300)}), "longer than 255"},
		{"Symlink", packed(t, entry{name: "a.rego", kind: tar.TypeSymlink, link: "/etc/passwd"}), "is a link"},
		{"HardLink", packed(t, module, entry{name: "b.rego", kind: tar.TypeLink, link: "a.rego"}), "is a link"},
		{"Device", packed(t, entry{name: "a.rego", kind: tar.TypeChar}), "only plain files"},
		{"Pipe", packed(t, entry{name: "a.rego", kind: tar.TypeFifo}), "only plain files"},
		{"Delta", packed(t, module, entry{name: "patch.json", text: "{}"}), "patch.json: is not taken"},
		{"Wasm", packed(t, module, entry{name: "/policy.wasm"}), "policy.wasm: is not taken"},
		{"ManifestTwice", packed(t, module, entry{name: ".manifest", text: "{}"}, entry{name: "/.manifest", text: "{}"}), `".manifest" twice`},
		{"ManifestBelow", packed(t, module, entry{name: "d/.manifest", text: "{}"}), "belongs to the top"},
		{"ManifestKeyTwice", packed(t, module, entry{name: ".manifest", text: `{"revision": "a", "revision": "b"}`}), `"revision" is there twice`},
		{"RegoV0", packed(t, module, entry{name: ".manifest", text: `{"rego_version": 0}`}), "reads version 1 only"},
		{"RegoV0OfAFile", packed(t, module, entry{name: ".manifest", text: `{"file_rego_versions": {"a.rego": 0}}`}), "reads version 1 only"},
		{"OddRevision", packed(t, module, entry{name: ".manifest", text: `{"revision": "a\u001b[2J"}`}), "revision"},
		{"OddSequence", packed(t, module, entry{name: ".manifest", text: `{"metadata": {"sequence": "9"}}`}), "whole number"},
		{"NegativeSequence", packed(t, module, entry{name: ".manifest", text: `{"metadata": {"sequence": -9}}`}), "whole number"},
		{"RootsOverlap", packed(t, module, entry{name: ".manifest", text: `{"roots": ["neosc", "neosc/authz"]}`}), "overlap"},
		{"DataOutsideRoots", packed(t, module, entry{name: ".manifest", text: `{"roots": ["neosc/authz"]}`}, entry{name: "data.json", text: `{"neosc": {"authz": {}, "other": 1}}`}), `"neosc/other" lies outside the roots`},
		{"DataFolderOutsideRoots", packed(t, module, entry{name: ".manifest", text: `{"roots": ["neosc"]}`}, entry{name: "other/data.json", text: `{}`}), `"other" lies outside`},
		{"DataKeyTwice", packed(t, module, entry{name: "data.json", text: `{"a": 1, "a": 2}`}), `data.json: line 1: key "a" is there twice`},
		{"Plugin", packed(t, module, entry{name: ".signatures.json", text: `{"signatures": [], "plugin": "own"}`}), "plugin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := archive.Read(c.packed)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("says %v, want %q", err, c.says)
			}
		})
	}
}

// bomb is a small bundle of which one file is a gigabyte.
func bomb(t testing.TB) []byte {
	t.Helper()
	return zeros(t, &tar.Header{Typeflag: tar.TypeReg, Name: "data.json", Mode: 0o644, Size: 66 << 20}, 66<<20)
}

// paddingBomb has its zeros behind the end of its tar.
func paddingBomb(t testing.TB) []byte {
	t.Helper()
	return zeros(t, nil, 66<<20)
}

func zeros(t testing.TB, h *tar.Header, n int64) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if h != nil {
		if err := tar.NewWriter(z).WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.CopyN(z, endless{}, n); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// concatenated is one stream of two archives.
func concatenated(t testing.TB, a, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	for _, x := range [][]byte{a, b} {
		z, err := gzip.NewReader(bytes.NewReader(x))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, z); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func FuzzReadNeverPanics(f *testing.F) {
	f.Add(packed(f, entry{name: "a.rego", text: "package a"}, entry{name: ".manifest", text: `{"revision": "1", "roots": ["a"]}`}))
	f.Add([]byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := archive.Read(b)
		if err == nil && (a.ID == "" || a.Manifest.Roots == nil && a.Manifest.Owns("")) {
			t.Fatalf("%+v", a)
		}
	})
}
