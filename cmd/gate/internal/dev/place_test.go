package dev

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
)

func TestSocketDirIsPrivateShortAndGoes(t *testing.T) {
	t.Parallel()
	d, err := NewSocketDir()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(d.Path())
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	p, err := d.Socket("authz.sock")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", p)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	for _, name := range []string{"", "a/b", "..", ".x"} {
		if _, err := d.Socket(name); err == nil {
			t.Errorf("took %q", name)
		}
	}
	_, err = d.Socket(strings.Repeat("x", 108))
	if err == nil {
		t.Fatal("took a path over 107 bytes")
	}
	wantText(t, err.Error(), "at most 107", "TMPDIR")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Error("the folder is still there")
	}
}

func TestCheckPortFindsTakenOnesBeforehand(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	err = CheckPort("127.0.0.1", port)
	if err == nil {
		t.Fatal("took a taken port")
	}
	wantText(t, err.Error(), "is taken", "-port N")
	_ = l.Close()
	// Another program may take a port in the instant in which it is free.
	for tries := 0; err != nil && tries < 20; tries++ {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		port = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		err = CheckPort("127.0.0.1", port)
	}
	if err != nil {
		t.Errorf("a free port: %v", err)
	}
	for _, bad := range []int{0, -1, 65536} {
		if err := CheckPort("127.0.0.1", bad); err == nil {
			t.Errorf("took port %d", bad)
		}
	}
}
