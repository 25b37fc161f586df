package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/neosc/gate/envoy"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gate": main})
}

// TestScripts runs the command line as people type it: testdata/script/*.txtar.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	binary, err := envoy.FindBinary()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("ROOT", root)
			e.Setenv("GATE_ENVOY", binary)
			e.Setenv("GATE_POLICY_TIMEOUT", "1s") // on a busy machine the first evaluation may take a quarter
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "freeport": freePort, "listen": listenAt, "await": await, "until": until, "replace": replace, "says": says, "decide": decide, "manual": manual, "prints": prints, "found": found,
		},
	})
}

// exits CODE COMMAND... runs a command and wants exactly that exit code.
func exits(s *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	s.Check(err)
	got := 0
	if err := s.Exec(args[1], args[2:]...); err != nil {
		x, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			s.Fatalf("%v", err)
		}
		got = x.ExitCode()
	}
	if got != want {
		s.Fatalf("%s ends with code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// ports are those that freeport gave to scripts.
var ports sync.Map

// freeport NAME sets a variable to a port on which nobody listens, below those
// that outgoing connections get.
func freePort(s *testscript.TestScript, _ bool, args []string) {
	for range 100 {
		port := fmt.Sprint(10_240 + rand.IntN(32_768-10_240))
		if _, given := ports.LoadOrStore(port, true); given { // to a script that has yet to listen there
			continue
		}
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			s.Check(l.Close())
			s.Setenv(args[0], port)
			return
		}
	}
	s.Fatalf("100 ports are all taken")
}

// listen NAME sets a variable to a port that is taken until the script ends.
func listenAt(s *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.Check(err)
	s.Defer(func() { _ = l.Close() })
	s.Setenv(args[0], fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
}

// await SOCKET... waits until somebody answers on each: a path or a port.
func await(s *testscript.TestScript, _ bool, args []string) {
	for _, a := range args {
		network, addr := "unix", s.MkAbs(a)
		if _, err := strconv.Atoi(a); err == nil {
			network, addr = "tcp", "127.0.0.1:"+a
		}
		eventually(s, a+" answers", func() bool {
			c, err := net.Dial(network, addr)
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
	}
}

// until STATUS URL waits until a GET is answered with that status.
func until(s *testscript.TestScript, _ bool, args []string) {
	client := http.Client{Timeout: 5 * time.Second}
	eventually(s, args[1]+" answers "+args[0], func() bool {
		resp, err := client.Get(args[1])
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return fmt.Sprint(resp.StatusCode) == args[0]
	})
}

func eventually(s *testscript.TestScript, what string, ok func() bool) {
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("not within a minute: %s", what)
		}
	}
}

// replace FILE OLD NEW changes the first occurrence in a file, at once: nobody who
// watches it sees half of it.
func replace(s *testscript.TestScript, _ bool, args []string) {
	file := s.MkAbs(args[0])
	b, err := os.ReadFile(file)
	s.Check(err)
	if !bytes.Contains(b, []byte(args[1])) {
		s.Fatalf("%s has no %q", args[0], args[1])
	}
	next := filepath.Join(s.Getenv("TMPDIR"), "next")
	s.Check(os.WriteFile(next, bytes.Replace(b, []byte(args[1]), []byte(args[2]), 1), 0o600))
	s.Check(os.Rename(next, file))
}

// TestEveryCommandExplainsItself asks each command for help, and gives each a
// flag that it does not have.
func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	for _, c := range commands() {
		for _, h := range []string{"-h", "--help"} {
			var out, errs bytes.Buffer
			code := run(t.Context(), []string{c.name, h}, streams{strings.NewReader(""), &out, &errs})
			if code != exitOK || errs.Len() > 0 || !strings.HasPrefix(out.String(), "Usage: gate "+c.name) || strings.Count(out.String(), "\n") < 3 {
				t.Errorf("gate %s %s: code %d, stderr %q, stdout\n%s", c.name, h, code, errs.String(), out.String())
			}
		}
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{c.name, "-frobnicate"}, streams{strings.NewReader(""), &out, &errs})
		if code != exitUsage || out.Len() > 0 || !strings.Contains(errs.String(), "frobnicate") {
			t.Errorf("gate %s -frobnicate: code %d, stdout %q, stderr\n%s", c.name, code, out.String(), errs.String())
		}
	}
}
