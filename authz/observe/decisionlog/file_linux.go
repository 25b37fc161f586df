package decisionlog

import (
	"os"

	"golang.org/x/sys/unix"
)

// uncache has the kernel forget what it keeps of a file that is on disk
// (posix_fadvise(2), POSIX_FADV_DONTNEED). Records are seldom read again, other
// files are; and the memory is at hand for the next records, while fresh memory of a
// virtual machine may have to be fetched from its host first: to append to a file
// that is kept took four times as long there as to write into pages that are there,
// a sixth of a whole check. An error changes nothing.
func uncache(f *os.File) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) { _ = unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED) })
}
