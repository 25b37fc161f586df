package main

import "testing"

func TestMemoryAllowedIsPlausible(t *testing.T) {
	n := memoryAllowed()
	if n == 0 {
		t.Fatal("neither the cgroup's limit nor MemTotal could be read")
	}
	if n < 64<<20 || n > 1<<50 {
		t.Errorf("%d bytes", n)
	}
}
