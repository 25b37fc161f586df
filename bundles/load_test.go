package bundles_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/neosc/gate/bundles"
)

func files(kv ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = &fstest.MapFile{Data: []byte(kv[i+1])}
	}
	return m
}

func TestLoadReadsWhatOPALoads(t *testing.T) {
	src, err := bundles.Load(files(
		"a.rego", "\ufeffpackage a", "lib/b.rego", "package b", "a_test.rego", "junk", ".hidden/c.rego", "junk", ".d.rego", "junk",
		"testdata/x.rego", "junk", "schema/input.json", "{}", "README.md", "junk",
		"data.json", `{"x": {"n": 1.50}, "l": [1, null, "s", true]}`, "x/y/data.yaml", "z: [1, 2.5, {k: v}]\n", "x/data.yml", "m: true\n",
	))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"a.rego": "package a", "lib/b.rego": "package b"}; !reflect.DeepEqual(src.Modules, want) {
		t.Errorf("modules are %q", src.Modules)
	}
	n := func(s string) json.Number { return json.Number(s) }
	want := map[string]any{
		"x": map[string]any{"n": n("1.50"), "m": true, "y": map[string]any{"z": []any{n("1"), n("2.5"), map[string]any{"k": "v"}}}},
		"l": []any{n("1"), nil, "s", true},
	}
	if !reflect.DeepEqual(src.Data, want) {
		t.Errorf("data is %#v", src.Data)
	}
}

func TestLoadRefuses(t *testing.T) {
	many := fstest.MapFS{}
	for i := range 1001 {
		many[fmt.Sprintf("f%d.rego", i)] = &fstest.MapFile{Data: []byte("package a")}
	}
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		names []string
	}{
		{"TooManyFiles", many, []string{"1000"}},
		{"TooManyBytes", files("a.rego", strings.Repeat("#", 9<<20), "b.rego", strings.Repeat("#", 9<<20)), []string{"b.rego", "16777216"}},
		{"TooDeep", files(strings.Repeat("d/", 20)+"a.rego", "package a"), []string{"deeper"}},
		{"OneKeyTwiceInJSON", files("data.json", "{\"roles\": 1,\n\"roles\": 2}"), []string{"data.json", "line 2", `"roles"`, "twice"}},
		{"OneKeyTwiceInYAML", files("data.yaml", "roles: 1\nroles: 2\n"), []string{"data.yaml", "line 2", "roles"}},
		{"OnePathInTwoFiles", files("data.json", `{"x": {"a": 1}}`, "x/data.yaml", "a: 2"), []string{"x/data.yaml", "data.x.a"}},
		{"CutJSON", files("data.json", `{"a": [1,`), []string{"data.json", "line 1"}},
		{"TwoJSONValues", files("data.json", `{} {}`), []string{"data.json", "more follows"}},
		{"TwoYAMLDocuments", files("data.yaml", "a: 1\n---\nb: 2\n"), []string{"data.yaml", "more follows"}},
		{"ListAtTheTop", files("data.json", `[1]`), []string{"data.json", "object"}},
		{"DeepJSON", files("data.json", `{"a":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+"}"), []string{"data.json", "deeper"}},
		{"HugeNumber", files("data.json", `{"a": 1e999999999}`), []string{"data.json", "out of range"}},
		{"YAMLDate", files("data.yaml", "a: 2026-03-05\n"), []string{"data.yaml", "quotes"}},
		{"YAMLKeyOfNoText", files("data.yaml", "1: a\n"), []string{"data.yaml", "quotes"}},
		{"YAMLInfinity", files("data.yaml", "a: .inf\n"), []string{"data.yaml", "out of range"}},
		{"AliasBomb", files("data.yaml", aliasBomb()), []string{"data.yaml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := bundles.Load(c.files)
			if err == nil {
				t.Fatal("loaded")
			}
			for _, want := range c.names {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not name %q: %v", want, err)
				}
			}
		})
	}
}

func aliasBomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	return b.String()
}

func FuzzLoadNeverPanics(f *testing.F) {
	f.Add(`{"a": {"b": 1}}`, "a: {c: 2}")
	f.Add(`{"a": 1, "a": 2}`, "a: &x [*x]")
	f.Fuzz(func(t *testing.T, j, y string) {
		src, err := bundles.Load(files("data.json", j, "d/data.yaml", y))
		if err == nil && src.Data == nil {
			t.Fatal("no data and no error")
		}
	})
}

func TestAPipeInThePolicyFolderIsRefusedNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"f.rego", "f_test.rego", "data.json"} {
		dir := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := bundles.Load(os.DirFS(dir))
		if _, wrong := bundles.LoadTests(os.DirFS(dir)); err == nil {
			err = wrong
		}
		if err == nil || !strings.Contains(err.Error(), name+" is no regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
