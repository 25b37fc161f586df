package sqlstore

import (
	"os"
	"syscall"
)

// fdatasync spares the write of times that fsync adds.
func fdatasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}
