package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/neosc/gate/authz/extauthz"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/cmd/gate/internal/procs"
	"github.com/neosc/gate/session/web"
)

// drainTime is how long a stopping gate lets checks and pages under way end.
const drainTime = 10 * time.Second

func serveCommand() command {
	return command{"serve", "decide for an Envoy, as gate.yaml says", runServe}
}

func runServe(ctx context.Context, args []string, s streams) int {
	fs := flagSet("serve", "gate serve [-config gate.yaml] [-replace]", "Answers Envoy's checks and serves the gate's own pages until it is told to stop.\nEnvoy's configuration comes from `gate envoy bootstrap`.\nSIGHUP reads policy and keys again; SIGUSR2 starts this program's file anew, as it is\nby then, in this gate's place.", s)
	file := fs.String("config", "gate.yaml", "configuration `file`")
	replace := fs.Bool("replace", false, "take the place of the gate that serves with this configuration; it loses no request,\ndrains and ends")
	if code, done := fs.parse(args, 0); done {
		return code
	}
	procs.Relax()
	cfg, err := config.Load(*file, os.Environ())
	if err == nil {
		err = serve(ctx, cfg, newLogger(cfg, s.err), s.out, *replace)
	}
	return fail(s.err, "serve", err)
}

// fail prints an error on one line that begins with the command, and returns
// the exit code.
func fail(w io.Writer, name string, err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(w, "gate %s: %v\n", name, err)
	return exitError
}

// newLogger writes structured lines to w at the configured level.
func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Log.Level)) // config has checked it
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// serve runs a gate until ctx is done, then drains it.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger, stdout io.Writer, replace bool) (err error) {
	tuneMemory()
	a, err := newApp(ctx, cfg, log, stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.teardown.Close()) }()
	before, err := askPredecessor(ctx, cfg.Listen.Admin, replace)
	if err != nil {
		return err
	}
	defer before.Close()
	failed, err := a.listen(ctx, before != nil)
	if err != nil {
		return err
	}
	if err := before.Taken(); err != nil {
		log.Error("the gate whose place this one takes cannot be told; end it by hand", "error", err)
	}
	tellServing(log)
	living, end := context.WithCancel(ctx)
	defer end()
	go watchdog(living, log, a.answers)
	log.Info("serving", "authz", cfg.Listen.Authz, "http", cfg.Listen.HTTP, "ops", a.opsAddr, "policy_revision", a.policy.Status().Revision)
	select {
	case <-ctx.Done():
		tellSystemd(log, daemon.SdNotifyStopping)
		a.health.Ending("stopping")
		log.Info("stopping")
		return nil
	case <-a.taken:
		return nil // drains; systemd has a new main process by now
	case err := <-failed:
		return err
	}
}

// listen opens every socket and serves on it. The returned channel gets the
// error of a server that ended by itself. Order of teardown is the reverse of
// the order here: checks drain first, while everything they need still stands.
// replaces says that it takes the place of a gate that still listens.
func (a *app) listen(ctx context.Context, replaces bool) (<-chan error, error) {
	sockets, err := newSockets(a, replaces)
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 6)
	run := func(name string, f func() error) {
		go func() {
			if err := f(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				failed <- fmt.Errorf("%s: %w", name, err)
			}
		}()
	}
	if err := a.watchRoutes(ctx); err != nil {
		return nil, err
	}
	a.inside = newInside()
	a.background(ctx)
	if err := a.listenOps(run); err != nil {
		return nil, err
	}
	admin, err := a.adminHandler(a.handover(run))
	if err != nil {
		return nil, err
	}
	l, err := listenUnix(a.cfg.Listen.Admin, 0o600)
	if err != nil {
		return nil, err
	}
	a.serveHTTP(run, "admin", l, web.Server(a.procs.Handler(admin), a.log))
	own, err := a.ownHandler()
	if err != nil {
		return nil, err
	}
	srv := web.Server(a.procs.Handler(own), a.log)
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true) // what Envoy speaks: a restart loses no request
	pages, err := sockets.open(ctx, a.cfg.Listen.HTTP, 0o660)
	if err != nil {
		return nil, err
	}
	a.serveHTTP(run, "http", pages, srv)
	if err := a.listenLeash(ctx, run, sockets); err != nil {
		return nil, err
	}
	if err := a.reload.listenADS(ctx, run, sockets); err != nil {
		return nil, err
	}
	return failed, a.listenAuthz(ctx, run, sockets)
}

// background starts what runs beside requests.
func (a *app) background(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{}, 6)
	go func() { a.procs.Run(ctx); done <- struct{}{} }()
	go func() { a.revoked.Run(ctx); done <- struct{}{} }()
	go func() { a.sessions.Run(ctx); done <- struct{}{} }()
	go func() { succeedOnSignal(ctx, a.log); done <- struct{}{} }()
	go func() { a.reloadOnHangup(ctx); done <- struct{}{} }()
	go func() {
		if err := a.policy.Run(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("the policy directory is no longer watched; restart the gate", "error", err)
		}
		done <- struct{}{}
	}()
	a.teardown.Add("background work", drainTime, func(limit context.Context) error {
		cancel()
		for range cap(done) {
			select {
			case <-done:
			case <-limit.Done():
				return limit.Err()
			}
		}
		return nil
	})
}

func (a *app) listenOps(run func(string, func() error)) error {
	l, err := net.Listen("tcp", a.cfg.Listen.Ops)
	if err != nil {
		return fmt.Errorf("listen.ops: %w (another gate? choose another address)", err)
	}
	addr, _ := l.Addr().(*net.TCPAddr)
	h, err := observe.OpsHandler(observe.OpsOptions{Health: a.health, Gatherer: a.registry, Profiles: addr != nil && addr.IP.IsLoopback()})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	srv := &http.Server{Handler: a.roomForMetrics(h), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	a.opsAddr = l.Addr().String()
	a.teardown.Add("ops server", drainTime, srv.Shutdown)
	a.freeOps = srv.Shutdown
	run("ops server", func() error { return srv.Serve(l) })
	return nil
}

// roomForMetrics serves metrics and profiles with all threads: to gather thousands
// of series takes milliseconds. Probes of health, which come each second, do
// without.
func (a *app) roomForMetrics(h http.Handler) http.Handler {
	all := a.procs.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "z") {
			h.ServeHTTP(w, r)
			return
		}
		all.ServeHTTP(w, r)
	})
}

func (a *app) serveHTTP(run func(string, func() error), name string, l net.Listener, srv *http.Server) {
	a.teardown.Add(name+" server", drainTime, srv.Shutdown)
	run(name+" server", func() error { return srv.Serve(l) })
}

func (a *app) listenAuthz(ctx context.Context, run func(string, func() error), sockets *sockets) error {
	s, err := a.checkServer()
	if err != nil {
		return err
	}
	l, err := sockets.open(ctx, a.cfg.Listen.Authz, 0o660)
	if err != nil {
		return err
	}
	g := extauthz.NewGRPCServer(s, sockets.grpcOptions()...)
	healthpb.RegisterHealthServer(g, health.NewServer()) // gRPC probes, and the watchdog
	a.teardown.Add("check server", drainTime, func(limit context.Context) error {
		stopped := make(chan struct{})
		go func() { g.GracefulStop(); close(stopped) }()
		select {
		case <-stopped:
			return nil
		case <-limit.Done():
			g.Stop()
			return limit.Err()
		}
	})
	run("check server", func() error { return g.Serve(extauthz.Gather(l)) })
	run("check server", func() error { return g.Serve(a.inside) })
	return nil
}
