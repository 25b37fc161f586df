package dev

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary stand for a child process: the supervisor is
// tested with real processes, signals and sockets.
func TestMain(m *testing.M) {
	if role := os.Getenv("DEV_TEST_CHILD"); role != "" {
		os.Exit(child(role))
	}
	os.Exit(m.Run())
}

// child behaves as the role says; its last argument is the admin socket.
func child(role string) int {
	socket := os.Args[len(os.Args)-1]
	switch role {
	case "broken":
		fmt.Fprintln(os.Stderr, "[2026-03-05 10:15:30.123][42][info][main] [source/server/server.cc:400] initializing")
		fmt.Fprintln(os.Stderr, "[2026-03-05 10:15:30.124][42][critical][main] [source/server/server.cc:432] error initializing config 'x.json': no such field: 'lisener'")
		fmt.Fprintln(os.Stderr, "[2026-03-05 10:15:30.125][42][info][main] [source/server/server.cc:1000] exiting")
		return 1
	case "parent":
		return parentOfEnvoy(socket)
	}
	term := make(chan os.Signal, 1)
	if role == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(term, syscall.SIGTERM)
	}
	_ = os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	calls := 0
	quit := make(chan struct{})
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls++
			switch {
			case r.URL.Path == "/crash":
				fmt.Fprintln(os.Stderr, "[2026-03-05 10:15:31.000][42][critical][backtrace] [source/server/backtrace.h:1] Caught Segmentation fault")
				close(quit)
			case role == "never" || calls < 3:
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
	}()
	select {
	case <-term:
		return 0
	case <-quit:
		return 139
	}
}

// parentOfEnvoy starts a child of its own, prints its id, and waits to be killed.
func parentOfEnvoy(socket string) int {
	os.Setenv("DEV_TEST_CHILD", "good")
	e, err := StartEnvoy(context.Background(), EnvoyOptions{Path: os.Args[0], Args: []string{socket}, AdminSocket: socket})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	fmt.Println(e.PID())
	time.Sleep(5 * time.Minute)
	return 0
}

// wantText fails unless s has every one of the texts.
func wantText(t *testing.T, s string, texts ...string) {
	t.Helper()
	for _, x := range texts {
		if !strings.Contains(s, x) {
			t.Errorf("%q lacks %q", s, x)
		}
	}
}
