//go:build !linux

package sqlstore

import "os"

func fdatasync(f *os.File) error { return f.Sync() }
