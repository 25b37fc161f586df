package bundles_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/neosc/gate/bundles/archive"
)

// entry is a file of a bundle that is made by hand.
type entry struct{ name, text string }

func tarOf(t testing.TB, all []entry) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, e := range all {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: e.name, Mode: 0o644, Size: int64(len(e.text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func quietLogger() *log.Logger { return slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) }

func renamed(from, to string) error { return os.Rename(from, to) }

// relinked puts a bundle at file as Kubernetes mounts one: file is a link into
// ..data, which is a link to a folder and is put elsewhere at once.
func relinked(t *testing.T, dir, file, folder string, packed []byte) error {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, folder, "policy.tar.gz"), packed, 0o600); err != nil {
		return err
	}
	if err := os.Symlink(folder, filepath.Join(dir, "..tmp")); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
		return err
	}
	if st, err := os.Lstat(file); err == nil && st.Mode()&os.ModeSymlink != 0 {
		return nil
	}
	if err := os.Symlink(filepath.Join("..data", "policy.tar.gz"), file+".link"); err != nil {
		return err
	}
	return os.Rename(file+".link", file)
}

// signedBy is a bundle with the signature of another key.
func signedBy(t *testing.T, private string, packed []byte) []byte {
	t.Helper()
	key, err := archive.ReadPrivateKey(private)
	if err != nil {
		t.Error(err)
		return nil
	}
	signed, err := archive.Sign(packed, archive.SignOptions{Key: key, Now: noon.Add(-time.Hour)})
	if err != nil {
		t.Error(err)
	}
	return signed
}
