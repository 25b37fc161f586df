package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// listenUnix binds a Unix socket at path with the given mode, in place of
// whatever socket stands there: it binds beside it and renames over it, so that
// callers find either the old server or this one and never none. The socket
// stays when the listener closes, since by then it may be a successor's.
func listenUnix(path string, mode fs.FileMode) (*net.UnixListener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("socket %s: cannot make its folder: %w", path, err)
	}
	if st, err := os.Lstat(path); err == nil && st.Mode()&fs.ModeSocket == 0 {
		return nil, fmt.Errorf("socket %s: something that is no socket stands there; move it away", path)
	}
	tmp := filepath.Join(dir, fmt.Sprintf(".%d.%s", os.Getpid(), filepath.Base(path)))
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	// bind(2) obeys the umask; until chmod the folder's 0750 keeps strangers out.
	if err := errors.Join(os.Chmod(tmp, mode), os.Rename(tmp, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("socket %s: %w", path, err), l.Close(), os.Remove(tmp))
	}
	return l, nil
}
