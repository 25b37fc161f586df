package main

import (
	"os"
	"syscall"
)

// fdatasync waits until a file's data is on disk.
func fdatasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
