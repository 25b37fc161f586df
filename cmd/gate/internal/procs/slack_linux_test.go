package procs

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// relaxing has this program's tests be a program that relaxes and says how it is.
const relaxing = "PROCS_TEST_RELAXING"

func TestMain(m *testing.M) {
	if os.Getenv(relaxing) == "" {
		os.Exit(m.Run())
	}
	Relax()
	runtime.LockOSThread()
	got, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	fmt.Println(os.Getpid(), got, err, strings.Join(os.Args[1:], ","), os.Getenv(relaxed) != "")
}

func TestAServerBeginsAnewWithSlackInItsOwnPlace(t *testing.T) {
	t.Parallel()
	here, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env  string
		want int
	}{
		"once":                {"", max(here, int(slack))},
		"not if switched off": {relaxed + "=no", here},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "a", "b c")
			cmd.Env = append(os.Environ(), relaxing+"=1")
			if c.env != "" {
				cmd.Env = append(cmd.Env, c.env)
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if want := fmt.Sprintln(cmd.Process.Pid, c.want, nil, "a,b c", false); string(out) != want {
				t.Errorf("process, slack, error, arguments, mark:\n%swant\n%s", out, want)
			}
		})
	}
}
