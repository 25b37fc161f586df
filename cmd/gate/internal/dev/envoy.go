package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// EnvoyOptions say how to run the Envoy child.
type EnvoyOptions struct {
	// Path is the Envoy binary.
	Path string
	// Args are its arguments. The caller puts --disable-hot-restart among them:
	// two Envoys on one machine share memory by base id otherwise.
	Args []string
	// AdminSocket is the Unix socket of the admin interface that Args configure.
	AdminSocket string
	// Stdout gets what Envoy writes there (its access log), Log what it writes
	// to stderr. nil discards.
	Stdout, Log io.Writer
	// ReadyTimeout bounds the wait for readiness; 0 means 20 s.
	ReadyTimeout time.Duration
	// StopTimeout is how long Envoy may take to end by itself; 0 means 5 s.
	StopTimeout time.Duration
}

// Envoy is a running, ready child. It ends with this process: by Stop, or by
// the kernel (Linux) if this process is killed. Safe for concurrent use.
type Envoy struct {
	cmd     *exec.Cmd
	stop    time.Duration
	tail    *tail
	asked   chan struct{} // closed when Stop was called
	askOnce sync.Once
	exited  chan struct{} // closed when the child is gone
	waitErr error         // set before exited is closed
}

// StartEnvoy starts Envoy and returns once its admin interface says that it is
// ready. On any error nothing is left running, and the error is one line that
// says what Envoy complained about.
func StartEnvoy(ctx context.Context, o EnvoyOptions) (*Envoy, error) {
	if o.ReadyTimeout <= 0 {
		o.ReadyTimeout = time.Minute // a second, but for machines that do much else
	}
	if o.StopTimeout <= 0 {
		o.StopTimeout = 5 * time.Second
	}
	if err := checkBinary(o.Path); err != nil {
		return nil, err
	}
	e := &Envoy{
		cmd: exec.Command(o.Path, o.Args...), stop: o.StopTimeout,
		tail: newTail(o.Log), asked: make(chan struct{}), exited: make(chan struct{}),
	}
	e.cmd.Stdout, e.cmd.Stderr = o.Stdout, e.tail
	// A descendant that outlives Envoy holds the pipe open; do not wait for it.
	e.cmd.WaitDelay = 2 * time.Second
	e.cmd.SysProcAttr = childAttr()
	if err := e.start(); err != nil {
		return nil, fmt.Errorf("envoy %s does not start: %w", o.Path, err)
	}
	if err := e.awaitReady(ctx, o); err != nil {
		return nil, errors.Join(err, e.Stop(context.Background()))
	}
	return e, nil
}

func checkBinary(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("envoy is not at %q; `make run` installs the pinned one, or set GATE_ENVOY to the path of another", path)
	case err != nil:
		return fmt.Errorf("envoy: %w", err)
	case info.IsDir() || info.Mode()&0o111 == 0:
		return fmt.Errorf("envoy at %q is not a program; set GATE_ENVOY to the path of the binary", path)
	}
	return nil
}

// start runs the child from a thread of its own, kept for as long as the child
// lives: the kernel sends the parent-death signal when the *thread* that forked
// ends, and the Go runtime ends idle threads at will (go.dev/issue/27505).
func (e *Envoy) start() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := e.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		e.waitErr = e.cmd.Wait()
		close(e.exited)
	}()
	return <-started
}

// awaitReady asks the admin interface until it says 200, the child is gone, or
// time is up.
func (e *Envoy) awaitReady(ctx context.Context, o EnvoyOptions) error {
	ctx, cancel := context.WithTimeout(ctx, o.ReadyTimeout)
	defer cancel()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", o.AdminSocket)
		},
	}}
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		if adminReady(ctx, client) {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-e.exited:
			timer.Stop()
			return e.ended("stopped before it was ready")
		case <-ctx.Done():
			timer.Stop()
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fmt.Errorf("envoy was not ready within %s%s", o.ReadyTimeout, e.tail.because())
		}
	}
}

func adminReady(ctx context.Context, c *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy/ready", nil)
	if err != nil {
		return false
	}
	res, err := c.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 4096))
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// ended is the error for a child that is gone though nobody asked it to go.
func (e *Envoy) ended(what string) error {
	state := "exit status 0"
	if e.waitErr != nil {
		state = e.waitErr.Error()
	}
	return fmt.Errorf("envoy %s (%s)%s", what, state, e.tail.because())
}

// PID returns the child's process id.
func (e *Envoy) PID() int { return e.cmd.Process.Pid }

// Done is closed when the child is gone, for whatever cause.
func (e *Envoy) Done() <-chan struct{} { return e.exited }

// Err waits for the child's end and returns nil if Stop asked for it, else why
// it ended. It is not restarted: a developer should see that it crashed.
func (e *Envoy) Err() error {
	<-e.exited
	select {
	case <-e.asked:
		return nil
	default:
		return e.ended("stopped by itself")
	}
}

// Stop ends the child: SIGTERM first, SIGKILL to its process group when it has
// not gone after StopTimeout or when ctx ends. It returns once it is gone; a
// later call returns at once.
func (e *Envoy) Stop(ctx context.Context) error {
	select {
	case <-e.exited:
		return nil
	default:
	}
	e.askOnce.Do(func() { close(e.asked) })
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping envoy: %w", err)
	}
	timer := time.NewTimer(e.stop)
	defer timer.Stop()
	select {
	case <-e.exited:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	_ = killGroup(e.cmd.Process.Pid, syscall.SIGKILL)
	<-e.exited
	return nil
}

// killGroup signals a process group. The child leads one of its own, so that
// Ctrl-C in the terminal reaches only us and everything ends in order.
func killGroup(pid int, sig syscall.Signal) error { return syscall.Kill(-pid, sig) }
