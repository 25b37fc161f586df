package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/neosc/gate/cmd/provisioner/internal/config"
	"github.com/neosc/gate/cmd/provisioner/internal/docker"
	"github.com/neosc/gate/cmd/provisioner/internal/ended"
	"github.com/neosc/gate/cmd/provisioner/internal/netbird"
	"github.com/neosc/gate/cmd/provisioner/internal/webhook"
)

// serve runs until ctx ends; messages that are being dealt with are answered
// first.
func serve(ctx context.Context, c *config.Config, log *slog.Logger) (err error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	journal, err := ended.Open(c.State, time.Now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	engine := docker.NewClient(c.Docker.Socket)
	defer engine.Close()
	handler, err := newHandler(c, engine, journal, reg, log)
	if err != nil {
		return err
	}
	hooks, err := listen(c)
	if err != nil {
		return err
	}
	ops, err := net.Listen("tcp", c.Listen.Ops)
	if err != nil {
		return errors.Join(fmt.Errorf("listen.ops: %w", err), hooks.Close())
	}
	servers := []*http.Server{
		// A message is small, and is answered within its timeout.
		server(handler, c.Timeout+10*time.Second, log), server(opsMux(engine, reg), 10*time.Second, log),
	}
	failed := make(chan error, len(servers))
	for i, l := range []net.Listener{hooks, ops} {
		go func() { failed <- servers[i].Serve(l) }()
	}
	log.Info("provisioner serves", "hooks", c.Listen.Hooks, "ops", ops.Addr().String(), "workspace_types", len(c.Workspaces), "netbird", c.NetBird.URL != "")
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Timeout+time.Second)
	defer cancel()
	for _, s := range servers {
		err = errors.Join(err, s.Shutdown(stop))
	}
	log.Info("provisioner ends")
	return err
}

func newHandler(c *config.Config, engine *docker.Client, journal *ended.Journal, reg prometheus.Registerer, log *slog.Logger) (http.Handler, error) {
	secrets, err := c.ReadSecrets()
	if err != nil {
		return nil, err
	}
	steps := map[string]webhook.Step{}
	o := docker.Options{Client: engine, Instance: c.Docker.Instance, Kinds: map[string]docker.Spec{}, Most: c.Docker.Most, Grace: c.Docker.Grace}
	for kind, w := range c.Workspaces {
		o.Kinds[kind] = w.Spec()
	}
	if c.NetBird.URL != "" {
		token, err := c.ReadToken()
		if err != nil {
			return nil, err
		}
		base, err := url.Parse(c.NetBird.URL)
		if err != nil {
			return nil, err
		}
		network := netbird.NewStep(netbird.NewClient(base, token, nil), c.NetBird.Group, time.Now)
		steps["network"] = network
		o.Enrol = func(ctx context.Context, g webhook.Grant) ([]string, error) {
			if !c.Workspaces[g.WorkspaceType].Enrol {
				return nil, nil
			}
			key, err := network.Enrol(ctx, g)
			return []string{"NB_SETUP_KEY=" + key}, err
		}
	}
	steps["container"] = docker.NewStep(o)
	return webhook.New(webhook.Options{
		Secrets: secrets, Steps: steps, Ended: journal, Timeout: c.Timeout, Parallel: c.Parallel,
		Logger: log, Registerer: reg, Now: time.Now,
	})
}

func server(h http.Handler, write time.Duration, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: write,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// opsMux answers those who watch: alive, ready when the engine answers, metrics.
func opsMux(engine *docker.Client, reg *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := engine.Ping(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	return mux
}

// listen opens what the gate's messages come in by.
func listen(c *config.Config) (net.Listener, error) {
	network, address := c.Hooks()
	if network == "unix" {
		return listenUnix(address)
	}
	t, err := tlsConfig(c.Listen)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen.hooks: %w", err)
	}
	if t != nil {
		l = tls.NewListener(l, t)
	}
	return l, nil
}

// listenUnix binds beside the path and renames over it: a socket that a killed
// process left is no hindrance, and callers never find none.
func listenUnix(path string) (net.Listener, error) {
	if st, err := os.Lstat(path); err == nil && st.Mode()&fs.ModeSocket == 0 {
		return nil, fmt.Errorf("listen.hooks: something that is no socket is at %s; move it away", path)
	}
	tmp := filepath.Join(filepath.Dir(path), ".new")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen.hooks: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen.hooks: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(tmp, 0o660), os.Rename(tmp, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("listen.hooks: %w", err), l.Close())
	}
	return l, nil
}

func tlsConfig(l config.Listen) (*tls.Config, error) {
	if l.Cert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(l.Cert, l.Key)
	if err != nil {
		return nil, fmt.Errorf("listen.cert: %w", err)
	}
	t := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}
	if l.ClientCA != "" {
		pem, err := os.ReadFile(l.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("listen.client_ca: %w", err)
		}
		t.ClientCAs, t.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !t.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("listen.client_ca: %s holds no certificate", l.ClientCA)
		}
	}
	return t, nil
}
