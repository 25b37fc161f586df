package bundles_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// What a child of the tests is told.
const (
	killedIn   = "BUNDLES_KILLED_IN"   // the folder that it works in
	killedAt   = "BUNDLES_KILLED_AT"   // the step, from 1, at which it is killed
	killedWhat = "BUNDLES_KILLED_WHAT" // offer or rollback
)

// TestKilledChild is the process that is killed; by itself it does nothing.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv(killedIn)
	if dir == "" {
		return
	}
	at, err := strconv.Atoi(os.Getenv(killedAt))
	if err != nil {
		t.Fatal(err)
	}
	s := newStandIn(t, dir, nil)
	s.must(s.Reload())
	s.decides("two")
	steps := 0
	s.SetStep(func(string) {
		if steps++; steps == at {
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			select {} // until the signal is there
		}
	})
	if os.Getenv(killedWhat) == "offer" {
		s.must(s.offer(s.bundle("three", 3)))
	} else if _, err := s.Rollback("one"); err != nil {
		t.Fatal(err)
	}
}

// A gate that is killed at any step of an activation or of going back starts
// again, with the policy before or with the one after, whole; and what was under
// way can be done then.
func TestAKillAtAnyStepLeavesAStateToStartFrom(t *testing.T) {
	t.Parallel()
	for what, after := range map[string]string{"offer": "three", "rollback": "one"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			s := newStandIn(t, base, nil)
			s.must(s.offer(s.bundle("one", 1)))
			s.must(s.offer(s.bundle("two", 2)))
			seen := map[string]int{}
			for at := 1; ; at++ {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
					t.Fatal(err)
				}
				killed := runKilled(t, dir, what, at)
				seen[survives(t, dir, what, after)]++
				if !killed {
					break // it came to its end: all steps have been tried
				}
			}
			if seen["two"] < 3 || seen[after] < 2 {
				t.Errorf("of the starts %v; were there kills before and after the state was written?", seen)
			}
		})
	}
}

// runKilled runs the child and reports whether it was killed.
func runKilled(t *testing.T, dir, what string, at int) bool {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
	c.Env = append(os.Environ(), killedIn+"="+dir, killedAt+"="+strconv.Itoa(at), killedWhat+"="+what)
	out, err := c.CombinedOutput()
	if err == nil {
		return false
	}
	x, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatal(err)
	}
	if st, ok := x.Sys().(syscall.WaitStatus); !ok || st.Signal() != syscall.SIGKILL {
		t.Fatalf("step %d: the child failed: %v\n%s", at, err, out)
	}
	return true
}

// survives starts from what a killed process left, and returns what it decides by.
func survives(t *testing.T, dir, what, after string) string {
	t.Helper()
	next := newStandIn(t, dir, nil)
	next.must(os.Remove(next.file)) // the source is away
	next.must(next.Reload())
	got := next.Status().Revision
	if got != "two" && got != after {
		t.Fatalf("starts with %q", got)
	}
	next.decides(got)
	if what == "offer" {
		next.must(next.offer(next.bundle("three", 3)))
	} else if got != after {
		if _, err := next.Rollback("one"); err != nil {
			t.Fatal(err)
		}
	}
	next.decides(after)
	if left, err := filepath.Glob(filepath.Join(dir, "kept", ".new-*")); err != nil || len(left) > 0 && got != after {
		t.Errorf("left behind: %s", strings.Join(left, " "))
	}
	return got
}
