package session

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ReadPrivate reads a file of keys of at most limit bytes. One that others can
// read, or that is no regular file, is an error that says so; errors leave the
// path to the caller.
func ReadPrivate(path string, limit int64) ([]byte, error) {
	// Nonblocking: opening a pipe that lies there would else wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, cause(err)
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, cause(err)
	case !st.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	case !Private(st):
		return nil, fmt.Errorf("has mode %#o, so others can use its keys; run: chmod 600 %s", st.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, cause(err)
	case int64(len(b)) > limit:
		return nil, fmt.Errorf("is larger than %d bytes", limit)
	}
	return b, nil
}

// cause takes the path out of an error, which its reader is told anyway.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// Private reports whether a file of keys is out of the reach of others: no mode
// bits but its owner's. One exception are secrets as orchestrators mount them
// (Kubernetes: volumes with fsGroup): a file of root's that nobody may write
// and the group may read, which is how a process that is not root gets it.
func Private(st fs.FileInfo) bool { return private(st, os.Geteuid()) }

func private(st fs.FileInfo, euid int) bool {
	mode := st.Mode().Perm()
	if mode&0o077 == 0 {
		return true
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	return ok && owner.Uid == 0 && euid != 0 && mode&^0o440 == 0
}
