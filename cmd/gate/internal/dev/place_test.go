package dev

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTeardownRunsLastFirstAndGoesOn(t *testing.T) {
	t.Parallel()
	var ran []string
	deed := func(name string, err error) func(context.Context) error {
		return func(context.Context) error { ran = append(ran, name); return err }
	}
	hold := make(chan struct{})
	defer close(hold)
	var td Teardown
	td.Add("first", time.Second, deed("first", nil))
	td.Add("hangs", 10*time.Millisecond, func(context.Context) error { <-hold; return nil })
	td.Add("panics", time.Second, func(context.Context) error { panic("boom") })
	td.Add("fails", time.Second, deed("fails", os.ErrPermission))
	td.Add("last", time.Second, deed("last", nil))
	err := td.Close()
	if want := []string{"last", "fails", "first"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	if !errors.Is(err, os.ErrPermission) {
		t.Errorf("error %v lacks the cause", err)
	}
	wantText(t, err.Error(), "stopping hangs: not done within 10ms", "stopping panics: panic: boom")
	if err := td.Close(); err != nil || len(ran) != 3 {
		t.Errorf("a second Close did something: %v, %v", err, ran)
	}
	td.Add("late", time.Second, deed("late", nil))
	if !slices.Contains(ran, "late") {
		t.Error("what came after Close was left standing")
	}
}

func TestTeardownBoundsEachDeed(t *testing.T) {
	t.Parallel()
	var td Teardown
	td.Add("patient", 20*time.Millisecond, func(ctx context.Context) error { <-ctx.Done(); return nil })
	begin := time.Now()
	_ = td.Close()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

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
	if err := CheckPort("127.0.0.1", port); err != nil {
		t.Errorf("a free port: %v", err)
	}
	for _, bad := range []int{0, -1, 65536} {
		if err := CheckPort("127.0.0.1", bad); err == nil {
			t.Errorf("took port %d", bad)
		}
	}
}
