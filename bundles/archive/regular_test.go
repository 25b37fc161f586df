package archive_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/neosc/gate/bundles/archive"
)

// A pipe that nobody writes into would hold who opens it for good.
func TestOnlyRegularFilesAreReadIntoABundle(t *testing.T) {
	t.Parallel()
	for want, put := range map[string]func(name string) error{
		"f.rego is no regular file; take it out of the folder": func(name string) error { return syscall.Mkfifo(name, 0o600) },
		"f.rego is a link that cannot be followed":             func(name string) error { return os.Symlink("/etc/passwd", name) },
		"f.rego is a link": func(name string) error { return os.Symlink("none.rego", name) },
		"":                 func(name string) error { return os.Symlink("a.rego", name) },
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.rego"), []byte("package a\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := put(filepath.Join(dir, "f.rego")); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if _, err = archive.Build(root.FS(), archive.BuildOptions{}); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
