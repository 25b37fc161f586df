package cookie

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/neosc/gate/session"
)

// OpenRing reads the ring file at path, and writes one with a random key if
// there is none. Of several processes that do so at once all get the same
// file. Others than its owner must not be able to read it: with a key anybody
// makes any cookie, though not the session that it would have to name.
func OpenRing(path string) (*Ring, error) {
	r := &Ring{path: path, now: time.Now}
	err := r.Reload()
	if errors.Is(err, fs.ErrNotExist) {
		if err = createRing(path); err != nil {
			return nil, fmt.Errorf("cookie key ring %s: %w", path, err)
		}
		err = r.Reload()
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Reload reads the ring's file again. Cookies under keys that are no longer
// there stop opening at once. On an error the keys in use stay; a ring that
// lives in memory has nothing to reload.
func (r *Ring) Reload() error {
	if r.path == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := loadRing(r.path)
	var set *keySet
	if err == nil {
		set, err = f.parse()
	}
	if err != nil {
		return fmt.Errorf("cookie key ring %s: %w", r.path, err)
	}
	r.keys.Store(set)
	// After the store: a reader that sees the new generation sees the new keys.
	r.generation.Add(1)
	return nil
}

func loadRing(path string) (ringFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return ringFile{}, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return ringFile{}, err
	}
	if !st.Mode().IsRegular() {
		return ringFile{}, errors.New("is not a regular file")
	}
	if !session.Private(st) {
		return ringFile{}, fmt.Errorf("has mode %#o, so others can use its keys; run: chmod 600 %s", st.Mode().Perm(), path)
	}
	return readRing(f)
}

// createRing writes a new file beside path and links it there, which fails if
// somebody else was first: theirs is then the ring.
func createRing(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	var rf ringFile
	now := time.Now()
	rf.Active = rf.add(now, now)
	err := rf.write(path, os.Link)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// write puts the file in place with move, which links or renames. The owner of
// a file that it replaces stays who it was: a key that root has added must not
// be lost to the gate.
func (f *ringFile) write(path string, move func(from, to string) error) error {
	dir := filepath.Dir(path)
	body, err := yaml.Marshal(f)
	if err != nil {
		return err
	}
	body = append([]byte("# Keys of the session cookie. The active one seals until another's active_from; all of them open.\n"), body...)
	tmp, err := os.CreateTemp(dir, ".ring-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(body)
	if err == nil {
		err = keepOwner(tmp, path)
	}
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := move(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// keepOwner gives tmp the owner of the file that it replaces, if there is one.
func keepOwner(tmp *os.File, path string) error {
	old, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	st, ok := old.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return tmp.Chown(int(st.Uid), int(st.Gid))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
