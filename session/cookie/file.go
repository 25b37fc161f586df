package cookie

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// OpenRing reads the ring file at path, and writes one with a random key if
// there is none. Of several processes that do so at once all get the same
// file. Others than its owner must not be able to read it: with a key anybody
// makes any cookie, though not the session that it would have to name.
func OpenRing(path string) (*Ring, error) {
	r := &Ring{path: path}
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
	set, err := loadRing(r.path)
	if err != nil {
		return fmt.Errorf("cookie key ring %s: %w", r.path, err)
	}
	r.keys.Store(set)
	// After the store: a reader that sees the new generation sees the new keys.
	r.generation.Add(1)
	return nil
}

func loadRing(path string) (*keySet, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("has mode %#o, so others can use its keys; run: chmod 600 %s", st.Mode().Perm(), path)
	}
	return readRing(f)
}

// createRing writes a new file beside path and links it there, which fails if
// somebody else was first: theirs is then the ring.
func createRing(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var rf ringFile
	rf.add()
	body, err := yaml.Marshal(rf)
	if err != nil {
		return err
	}
	body = append([]byte("# Keys of the session cookie. The active one seals, all of them open.\n"), body...)

	tmp, err := os.CreateTemp(dir, ".ring-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(body)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
