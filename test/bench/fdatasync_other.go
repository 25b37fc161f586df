//go:build !linux

package main

import "os"

// fdatasync waits until a file's data is on disk.
func fdatasync(f *os.File) error { return f.Sync() }
