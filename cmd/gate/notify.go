package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// tellSystemd sends a state (sd_notify(3)); without systemd it does nothing.
func tellSystemd(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd cannot be told", "state", state, "error", err)
	}
}

// tellServing says that this process serves, and that it is the unit's main one,
// which a successor is not by itself.
func tellServing(log *slog.Logger) {
	tellSystemd(log, fmt.Sprintf("MAINPID=%d\n%s", os.Getpid(), daemon.SdNotifyReady))
}

// watchdog tells systemd every half of the unit's WatchdogSec that this process
// is alive, as long as alive says so: a gate that hangs is restarted.
func watchdog(ctx context.Context, log *slog.Logger, alive func(context.Context) error) {
	interval := watchdogInterval(os.Getenv)
	if interval == 0 {
		return
	}
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		limit, cancel := context.WithTimeout(ctx, interval/2)
		err := alive(limit)
		cancel()
		if err == nil {
			tellSystemd(log, daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			log.Error("this gate does not answer itself; systemd's watchdog is not fed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchdogInterval is WatchdogSec, or 0. WATCHDOG_PID is not compared: a
// successor is fed for from the moment it is the main process.
func watchdogInterval(env func(string) string) time.Duration {
	us, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64)
	if err != nil || us < 1000 || us > int64(24*time.Hour/time.Microsecond) {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

// succeedOnSignal starts a successor with the same arguments at each SIGUSR2,
// from the file that this program was started from, as it is by then.
func succeedOnSignal(ctx context.Context, log *slog.Logger) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGUSR2)
	defer signal.Stop(ch)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ch:
			if err := startSuccessor(log); err != nil {
				log.Error("no successor could be started; this gate goes on", "error", err)
			}
		}
	}
}

func startSuccessor(log *slog.Logger) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := slices.Clone(os.Args[1:])
	if !slices.Contains(args, "-replace") && !slices.Contains(args, "--replace") {
		args = append(args, "-replace")
	}
	// It is meant to outlive this process, so no context ends it.
	cmd := exec.Command(self, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	log.Info("successor started", "pid", cmd.Process.Pid)
	go func() {
		if err := cmd.Wait(); err != nil {
			log.Error("the successor ended; this gate goes on", "error", err)
		}
	}()
	return nil
}

// answers asks this gate's own check server, by gRPC's health protocol, whether
// it answers.
func (a *app) answers(ctx context.Context) error {
	c, err := grpc.NewClient("passthrough:inside", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return a.inside.dial(ctx) }))
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = healthpb.NewHealthClient(c).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
	return err
}
