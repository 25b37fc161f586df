package procs

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// slack is how late the kernel may wake a thread whose time to sleep is over.
//
// The runtime's own watch (sysmon) sleeps for 20 µs at a time whenever threads have
// begun and ended to wait, which they do for each few checks: with the kernel's
// 50 µs it takes 14% of all samples at 16 callers. With 500 a check takes 0.88 to
// 0.91 of the CPU (make bench ONLY=check/cpu, 80 blocks of either). What is as late
// at most: timers, whose wait has whole milliseconds anyway, and a goroutine that
// one thread is to take over from another.
const slack = 500 * time.Microsecond

// relaxed is set in the environment of the program that Relax begins anew; who
// sets it leaves the slack as it is.
const relaxed = "GATE_TIMER_SLACK"

// Relax begins this program anew, in the same process, with the threads' timer
// slack (prctl(2), PR_SET_TIMERSLACK) raised to half a millisecond. A thread has it
// from the one that made it, the runtime's watch is made before any code of ours
// runs, and only execve(2) keeps it beyond: so it is to be called first of all, while
// nothing is open. It returns where the slack is as large already, which whoever
// starts the program may see to (systemd.exec(5), TimerSlackNSec), where
// GATE_TIMER_SLACK is in the environment, or where the kernel refuses: slower is no
// reason not to serve.
func Relax() {
	if os.Getenv(relaxed) != "" {
		_ = os.Unsetenv(relaxed) // not for what this program starts
		return
	}
	file, err := os.Executable()
	if err != nil {
		return
	}
	runtime.LockOSThread() // the slack is a thread's own
	defer runtime.UnlockOSThread()
	if got, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err != nil || got >= int(slack) {
		return
	}
	if unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0) != nil {
		return
	}
	_ = syscall.Exec(file, os.Args, append(os.Environ(), relaxed+"=set"))
}
