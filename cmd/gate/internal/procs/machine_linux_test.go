package procs

import (
	"os"
	"runtime"
	"testing"
	"time"
)

func TestIdleTimeAsTheKernelWritesIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stat  string
		want  time.Duration
		known bool
	}{
		"of a machine":        {"cpu  10 20 30 400 50 0 0 0 0 0\ncpu0 1 2 3 4 5 6\n", 4500 * time.Millisecond, true},
		"of some containers":  {"cpu  0 0 0 0 0 0 0 0 0 0\n", 0, false},
		"something else":      {"gpu  10 20 30 400 50\n", 0, false},
		"cut":                 {"cpu  10 20 30", 0, false},
		"nothing":             {"", 0, false},
		"not numbers":         {"cpu a b c d e f\n", 0, false},
		"an old kernel's":     {"cpu 1 2 3 4\n", 0, false},
		"too large a number":  {"cpu 1 2 3 99999999999999999999 5\n", 0, false},
		"the shortest of use": {"cpu 1 2 3 4 5\n", 90 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, known := idleOf([]byte(c.stat)); known != c.known || known && got != c.want {
				t.Errorf("%v, %v", got, known)
			}
		})
	}
}

// TestThisProcessIsRead changes the number of threads of all tests of this
// package, so it is not parallel.
func TestThisProcessIsRead(t *testing.T) {
	stat, err := os.Open("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	defer stat.Close()
	m := this{stat}
	before := m.Used()
	for end := time.Now().Add(20 * time.Second); m.Used() == before; {
		if time.Now().After(end) {
			t.Fatal("the time that this process uses does not grow")
		}
	}
	if _, known := (this{}).Idle(); known {
		t.Error("idle time without /proc/stat")
	}
	if _, known := m.Idle(); !known {
		t.Error("no idle time in /proc/stat")
	}
	runtime.GC()
	if n := m.Live(); n == 0 || n > 1<<32 {
		t.Errorf("%d bytes live", n)
	}
	was := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
	m.Set(false)
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d threads", n)
	}
	m.Set(true)
	if n, want := runtime.GOMAXPROCS(0), min(was, runtime.NumCPU()); n < want {
		t.Errorf("%d threads, want %d", n, want)
	}
}

func TestGOMAXPROCSInTheEnvironmentWins(t *testing.T) {
	t.Setenv("GOMAXPROCS", "2")
	if This() != nil {
		t.Error("a number that was asked for is changed")
	}
}
