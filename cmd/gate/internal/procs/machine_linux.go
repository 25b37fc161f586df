package procs

import (
	"bytes"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"syscall"
	"time"
)

// This returns the machine and process that the program runs in, nil where there
// is nothing to choose: with one core, or with GOMAXPROCS in the environment,
// which wins.
func This() Machine {
	if runtime.GOMAXPROCS(0) == 1 || os.Getenv("GOMAXPROCS") != "" {
		return nil
	}
	stat, _ := os.Open("/proc/stat") // nil where there is none: Idle says so
	return this{stat}
}

// this reads files that stay open: to open one anew costs four calls of the
// kernel more.
type this struct{ stat *os.File }

func (this) Used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tick is what /proc/stat counts in: 1/100 s for programs, on every architecture
// that Go knows (proc_stat(5), USER_HZ).
const tick = 10 * time.Millisecond

// Idle reads the first line of /proc/stat (proc_stat(5)): idle is the fourth of
// its numbers and what waits for a disk the fifth. Some containers have zeros.
func (m this) Idle() (time.Duration, bool) {
	var head [512]byte
	n, _ := m.stat.ReadAt(head[:], 0) // an error leaves nothing to read
	return idleOf(head[:n])
}

func idleOf(stat []byte) (time.Duration, bool) {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 6 || string(fields[0]) != "cpu" {
		return 0, false
	}
	var idle int64
	for _, f := range fields[4:6] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, false
		}
		idle += n
	}
	return time.Duration(idle) * tick, idle > 0
}

func (this) Live() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}

// Set has the runtime find out anew how many threads are all: a container's limit
// may have changed.
func (this) Set(all bool) {
	if all {
		runtime.SetDefaultGOMAXPROCS()
		return
	}
	runtime.GOMAXPROCS(1)
}
