//go:build !race

// Without the race detector, under which a bomb takes minutes.

package archive_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/neosc/gate/bundles/archive"
)

// bombs are bundles of some kilobytes whose data, decoded without a bound, takes
// gigabytes.
func bombs() []entry {
	return []entry{
		{name: "data.json", text: `{"a":[` + strings.Repeat("0,", 31<<20) + `0]}`},
		{name: "data.json", text: `{"a":[` + strings.Repeat("{},", 20<<20) + `0]}`},
		{name: "data.json", text: `{"a":[` + strings.Repeat("[[]],", 12<<20) + `0]}`},
		{name: "data.json", text: `{"a":[` + strings.Repeat(`{"":0},`, 8<<20) + `0]}`},
		{name: "data.json", text: `{"a":[` + strings.Repeat(`{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"":0},`, 1<<20) + `0]}`},
		{name: "data.yaml", text: "a: [" + strings.Repeat("0,", 31<<20) + "0]\n"},
		{name: "data.yaml", text: "a: [" + strings.Repeat("{},", 4<<20) + "0]\n"},
	}
}

// used is what is allocated while do runs, in MB: more than is in use at any time.
func used(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) >> 20
}

// Reading one takes 0.9 GB at least, and what the machine has at most, without the
// bound.
func TestReadTakesLittleMemoryForABomb(t *testing.T) {
	for _, e := range bombs() {
		b := packed(t, e)
		var err error
		// All that is ever allocated: the text twice or thrice, lists as they grow.
		if mb := used(func() { _, err = archive.Read(b) }); mb > 800 {
			t.Errorf("%s… of %d bytes takes %d MB", e.text[:12], len(b), mb)
		}
		if err == nil || !strings.Contains(err.Error(), "bundle: "+e.name) || !strings.Contains(err.Error(), "all files together") {
			t.Errorf("%s…: %v", e.text[:12], err)
		}
	}
}

// The bound is the bundle's and not the file's: 2,000 files are 2,000 of each.
func TestTheBoundOfDataIsOfAllFilesTogether(t *testing.T) {
	for name, text := range map[string]string{
		"data.json": `{"a":[` + strings.Repeat("0,", 1<<20) + `0]}`,
		"data.yaml": "a: " + strings.Repeat("x", archive.MaxYAML/4) + "\n",
	} {
		var all []entry
		for i := range 7 {
			all = append(all, entry{name: fmt.Sprintf("%d/%s", i, name), text: text})
		}
		if _, err := archive.Read(packed(t, all[:3]...)); err != nil {
			t.Error(err)
		}
		if _, err := archive.Read(packed(t, all...)); err == nil || !strings.Contains(err.Error(), "all files together") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Aliases are nearly free to write: most of 400,000 values of each file are let through by yaml.v3.
func TestAliasesOfManyFilesAreBounded(t *testing.T) {
	text := "a: &a [" + strings.Repeat("{x: 0},", 600) + "]\nb: [" + strings.Repeat("*a,", 60) + "]\n"
	var all []entry
	for i := range 40 {
		all = append(all, entry{name: fmt.Sprintf("%d/data.yaml", i), text: text})
	}
	if _, err := archive.Read(packed(t, all[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Read(packed(t, all...)); err == nil || !strings.Contains(err.Error(), "MiB of memory") {
		t.Errorf("%v", err)
	}
}

func TestManifestAndSignaturesAreSmall(t *testing.T) {
	for _, name := range []string{".manifest", ".signatures.json"} {
		for text, says := range map[string]string{
			strings.Repeat(" ", 2<<20) + "{}":                             "has more than 2097152 bytes",
			`{"metadata":{"a":[` + strings.Repeat("0,", 900_000) + `0]}}`: "of memory",
		} {
			if _, err := archive.Read(packed(t, entry{name: name, text: text})); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), says) {
				t.Errorf("%v; want %q", err, says)
			}
		}
	}
}

// Nobody who is not trusted has the gate decode data: what is wrong with the
// signature is said, though the data is a bomb or no JSON at all.
func TestTrustReadSaysWhatIsWrongWithTheSignatureBeforeItDecodesData(t *testing.T) {
	private, public := pair(t, "ES256", "release")
	other, _ := pair(t, "ES256", "release")
	plain := build(t, archive.BuildOptions{Revision: "v1"})
	ours := trust(t, public)
	for _, data := range []string{"no JSON", bombs()[0].text} {
		for _, c := range []struct {
			name   string
			packed []byte
			is     error
			says   string
		}{
			{"Unsigned", plain, archive.ErrUnsigned, "is not signed"},
			{"AnotherKey", sign(t, plain, other, nil), nil, "no key that is trusted"},
			{"AnotherScope", sign(t, plain, private, func(o *archive.SignOptions) { o.Scope = "staging" }), nil, "is of scope"},
			{"AFileMore", sign(t, plain, private, nil), nil, "more/data.json is not signed; sign the bundle"},
		} {
			name := "more/data.json"
			if c.name != "AFileMore" {
				name = "data.json"
			}
			b := repack(t, c.packed, map[string]string{name: data})
			var a *archive.Archive
			var err error
			mb := used(func() { a, _, err = ours.Read(b, noon) })
			if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%s: %v, want %q", c.name, err, c.says)
			}
			if mb > 400 { // the text is 62 MiB
				t.Errorf("%s: takes %d MB", c.name, mb)
			}
			if a == nil || a.Manifest.Revision != "v1" {
				t.Errorf("%s: it is not said which bundle it is", c.name)
			}
		}
	}
}

// A bomb in the place of a file that is signed meets the bound, and what is bad in
// other ways is as Verify says.
func TestTrustReadRefusesWhatIsNotAsItWasSigned(t *testing.T) {
	private, public := pair(t, "ES256", "release")
	good := sign(t, build(t, archive.BuildOptions{Revision: "v1"}), private, nil)
	ours := trust(t, public)
	if a, s, err := ours.Read(good, noon); err != nil || s.KeyID != "release" || a.Files[2].Value == nil {
		t.Fatalf("%+v, %v", s, err)
	}
	for data, says := range map[string]string{`{"neosc": {"open": false}}`: "data.json is not as it was signed", "[": "bundle: data.json: line 1: unexpected EOF", bombs()[0].text: "bundle: data.json: line 1: the data takes more than 256 MiB"} {
		if _, _, err := ours.Read(repack(t, good, map[string]string{"data.json": data}), noon); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if _, s, err := ours.Read(good, noon.Add(2*60*60*1e9)); !errors.Is(err, archive.ErrExpired) || s.KeyID != "release" {
		t.Errorf("%+v, %v", s, err)
	}
}

// 10 MB of what data is like are read (30 MB were, when the bound was chosen).
func TestUsualDataOf10MBIsRead(t *testing.T) {
	people := map[string]any{}
	for i := range 110_000 {
		id := fmt.Sprintf("u-%06d", i)
		people[id] = map[string]any{"email": id + "@company.com", "teams": []string{"alpha", "beta"}, "seat": i, "note": "since 2024, with the customer"}
	}
	text, err := json.Marshal(map[string]any{"people": people})
	if err != nil {
		t.Fatal(err)
	}
	fs := fstest.MapFS{"a.rego": {Data: []byte("package a\n")}, "bench/data.json": {Data: text}}
	b, err := archive.Build(fs, archive.BuildOptions{}) // which reads it
	if err != nil || len(text) < 10_000_000 {
		t.Fatalf("%d bytes of data: %v", len(text), err)
	}
	private, public := pair(t, "ES256", "release")
	if _, _, err := trust(t, public).Read(sign(t, b, private, nil), noon); err != nil {
		t.Error(err)
	}
}
