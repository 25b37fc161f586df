package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever can write to a socket can ask at it: the admin socket is its owner's
// alone, whatever the umask, and what is no socket is not replaced.
func TestASocketHasItsModeAndTakesTheOldOnesPlace(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "s") // a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "run", "admin.sock")
	for _, mode := range []fs.FileMode{0o660, 0o600} { // the second takes the place of the first
		l, err := listenUnix(path, mode)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != mode || st.Mode().Type() != fs.ModeSocket {
			t.Errorf("the socket is %v, want %v: %v", st.Mode(), mode, err)
		}
	}
	if st, err := os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm()&0o007 != 0 {
		t.Errorf("strangers get into its folder: %v, %v", st.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the socket are %v, %v", left, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(file, 0o600); err == nil || !strings.Contains(err.Error(), "something that is no socket stands there") {
		t.Errorf("a file gave way to a socket: %v", err)
	}
}
