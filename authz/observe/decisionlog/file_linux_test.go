package decisionlog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is on disk does not stay in memory, where a file system knows the
// difference: one that is memory (tmpfs) keeps all either way.
func TestRecordsThatAreOnDiskLeaveMemory(t *testing.T) {
	t.Parallel()
	dir, line := t.TempDir(), append(bytes.Repeat([]byte{'x'}, 1<<20-1), '\n')
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, line, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	before := resident(t, plain)
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	want := resident(t, plain)
	if before < 256 {
		t.Fatalf("%d pages of a file that was just written are in memory", before)
	}

	now := time.Now()
	path := filepath.Join(dir, "decisions")
	s, err := NewFile(FileOptions{Path: path, MaxBytes: 2 << 20, Sync: time.Second, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), line); err != nil {
		t.Fatal(err)
	}
	if n := resident(t, path); n < 256 {
		t.Errorf("%d pages are in memory before they are on disk", n)
	}
	now = now.Add(time.Second)
	if s.Idle(); resident(t, path) > want {
		t.Errorf("%d pages are in memory after a sync, want %d", resident(t, path), want)
	}
	for range 2 { // the second turns the file over
		if err := s.Write(t.Context(), line); err != nil {
			t.Fatal(err)
		}
	}
	if n := resident(t, path+".1"); n > 2*want {
		t.Errorf("%d pages of a file that is full are in memory", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := resident(t, path); n > want {
		t.Errorf("%d pages are in memory after the end", n)
	}
}

// resident is how many pages of a file are in memory (mincore(2)).
func resident(t *testing.T, path string) (n int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(b) }()
	list := make([]byte, (len(b)+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&list[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range list {
		n += int(p & 1)
	}
	return n
}
