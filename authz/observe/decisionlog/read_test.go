package decisionlog_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neosc/gate/authz/observe/decisionlog"
)

func TestLinesThatAreNoRecordsAreNamed(t *testing.T) {
	t.Parallel()
	good := ask(t)
	text := good + "\n\nnot json\n{\"a\":1}\n" + good[:len(good)/2] + "\n" + `{"decision_id":"x","input":{"attributes":{"request":{"time":5}}}}` + "\n" +
		strings.Repeat("x", decisionlog.MaxLine+10) + "\n" + good + " {}\n" + good[:100]
	var got []string
	err := decisionlog.ScanReader(t.Context(), "log", strings.NewReader(text), func(l decisionlog.Line) error {
		err := l.Err
		if err == nil {
			_, err = decisionlog.Parse(string(l.Text))
		}
		said := "good"
		if err != nil {
			said = err.Error()
		}
		got = append(got, said)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"good", `want '{'`, "no decision record", "byte", `want '"'`, "longer than", "more follows", "cut off"}
	if len(got) != len(want) {
		t.Fatalf("%d lines: %q", len(got), got)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("line %d: %q, want %q", i, got[i], want[i])
		}
	}
}

func TestCompressedFilesAreRead(t *testing.T) {
	t.Parallel()
	good := ask(t) + "\n"
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(strings.Repeat(good, 300))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "d.ndjson")
	for name, text := range map[string][]byte{file: []byte(good), file + ".1": []byte(good), file + ".2.gz": packed.Bytes(), file + ".3.gz": packed.Bytes()[:packed.Len()-20]} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := decisionlog.Files(file)
	if err != nil || len(files) != 4 || files[0] != file+".3.gz" || files[3] != file {
		t.Fatalf("%q, %v", files, err)
	}
	lines, cut := map[string]int{}, map[string]int{}
	err = decisionlog.Scan(t.Context(), file, func(l decisionlog.Line) error {
		if _, err := decisionlog.Parse(string(l.Text)); l.Err == nil && err != nil {
			return err
		}
		if lines[l.File]++; l.Err != nil {
			cut[l.File]++
		}
		return nil
	})
	if err != nil || lines[file] != 1 || lines[file+".2.gz"] != 300 || lines[file+".3.gz"] < 2 || cut[file+".3.gz"] != 1 || len(cut) != 1 {
		t.Errorf("%v, cut off %v, %v", lines, cut, err)
	}
	if _, err := decisionlog.Files(dir); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: %v", err)
	}
}

// A gate that was killed while it turned the log over leaves a number out.
func TestAMissingNumberHidesNoOlderFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "d.ndjson")
	for _, name := range []string{"d.ndjson", "d.ndjson.2", "d.ndjson.3.gz", "d.ndjson.12", "d.ndjson.2.gz", "d.ndjson.x", "d.ndjson.01", "d.ndjson.-1", "d.ndjson.1.5", "e.ndjson.1", "d.ndjson.7.bak"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{file + ".12", file + ".3.gz", file + ".2", file}
	if files, err := decisionlog.Files(file); err != nil || !slices.Equal(files, want) {
		t.Errorf("%q, %v; want %q", files, err, want)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if files, err := decisionlog.Files(file); err != nil || !slices.Equal(files, want[:3]) {
		t.Errorf("without the newest: %q, %v", files, err)
	}
	for _, none := range []string{filepath.Join(dir, "f.ndjson"), filepath.Join(dir, "none", "d.ndjson")} {
		if files, err := decisionlog.Files(none); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), none) {
			t.Errorf("%s: %q, %v", none, files, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"decision_id":"a","input":{"session":{"claims":{"a":[1,"\u00e9",null]}}},"result":{"allowed":true,"headers":{"a":["b"]}},"custom":{"rules":[]}}`)
	f.Add(`{"decision_id":"a","result":true,"erased":["/input"],"error":{"code":"policy_error"}}`)
	f.Fuzz(func(t *testing.T, line string) {
		r, err := decisionlog.Parse(line)
		if (r == nil) == (err == nil) {
			t.Fatal("a record and an error, or neither")
		}
	})
}
