package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/cmd/gate/internal/dev"
	"github.com/neosc/gate/cmd/gate/internal/teardown"
	"github.com/neosc/gate/envoy"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/account"
)

// devDomain is the parent of the demo's hosts. Names below localhost resolve to
// loopback in browsers and curl, and a cookie may be set for this one.
const devDomain = "neosc.localhost"

// trustVariable is the setting by which upstreams are told whether to believe
// plain identity headers.
const trustVariable = "TRUST_POMERIUM_HEADERS"

// devOptions are gate dev's flags.
type devOptions struct {
	port          int
	state, policy string
	ops           string
	// providers is a file whose providers are added to gate.yaml.
	providers string
	// demo is a file with what demo sessions there are instead of the demo's own.
	demo string
	// trust says whether the demo's backend believes plain identity headers.
	trust bool
	// tls has Envoy speak it, by an authority of the demo's own.
	tls bool
}

func devCommand() command {
	return command{"dev", "run the whole demo: Envoy, gate, three upstreams, state under .state/", runDev}
}

func runDev(ctx context.Context, args []string, s streams) int {
	fs := flagSet("dev", "gate dev [-port 8080] [-tls] [-state .state] [-policy DIR] [-trust-headers=false]", "Runs Envoy, the gate and three small upstreams until Ctrl-C. Users, sessions and logs\nare kept in the state folder; gate.yaml there is what other commands take as -config.", s)
	var o devOptions
	fs.IntVar(&o.port, "port", 0, "port of the edge on 127.0.0.1 (default 8080, with -tls 8443)")
	fs.BoolVar(&o.tls, "tls", false, "speak TLS, with certificates of an authority made in the state folder")
	fs.StringVar(&o.state, "state", ".state", "`folder` of users, sessions and logs")
	fs.StringVar(&o.policy, "policy", "", "policy `folder` to watch instead of the built-in rules")
	fs.StringVar(&o.ops, "ops", "127.0.0.1:9464", "`address` of /metrics, /healthz and /readyz")
	fs.StringVar(&o.providers, "providers", "", "YAML `file` with the key providers, as in gate.yaml: where people may sign in besides")
	fs.StringVar(&o.demo, "demo", "", "YAML `file` with the key demo, as in gate.yaml: what demo sessions people can ask for")
	trust, err := strconv.ParseBool(cmp.Or(os.Getenv(trustVariable), "true"))
	fs.BoolVar(&o.trust, "trust-headers", trust, "let the backend believe plain identity headers; false, or "+trustVariable+"=false, makes it\nbelieve the signed assertion alone")
	if code, done := fs.parse(args, 0); done {
		return code
	}
	if err != nil {
		return fail(s.err, "dev", fmt.Errorf("%s must be true or false", trustVariable))
	}
	return fail(s.err, "dev", runDemo(ctx, o, s))
}

// demo is what gate dev has started.
type demo struct {
	o        devOptions
	down     teardown.Stack
	sockets  *dev.SocketDir
	upstream *dev.Upstreams
	envoy    *dev.Envoy
	app      *app
	failed   <-chan error
	// cert and key are Envoy's, and ca vouches for them; "" without -tls.
	ca, cert, key string
	config        string // Envoy's bootstrap
}

// runDemo starts everything or nothing, prints where to go, and stops
// everything when ctx is done or a part ends.
func runDemo(ctx context.Context, o devOptions, s streams) (err error) {
	if o.port == 0 {
		if o.port = 8080; o.tls {
			o.port = 8443
		}
	}
	d := &demo{o: o}
	defer func() { err = errors.Join(err, d.down.Close()) }()
	binary, err := envoy.FindBinary()
	if err != nil {
		return err
	}
	// Passwords are shown once: not before it is known that somebody can use them.
	if err := errors.Join(dev.CheckPort("127.0.0.1", o.port), dev.CheckOps(o.ops)); err != nil {
		return err
	}
	if err := d.prepare(); err != nil {
		return err
	}
	if err := d.startGate(ctx, s); err != nil {
		return err
	}
	if err := d.startEnvoy(ctx, binary); err != nil {
		return err
	}
	d.welcome(s.out)
	select {
	case <-ctx.Done():
		fmt.Fprintln(s.out, "\nStopping.")
		return nil
	case err := <-d.failed:
		return err
	case <-d.envoy.Done():
		return d.envoy.Err()
	}
}

// prepare makes the state folder, the sockets' folder and the upstreams.
func (d *demo) prepare() (err error) {
	if d.o.state, err = filepath.Abs(d.o.state); err != nil {
		return err
	}
	if err := os.MkdirAll(d.o.state, 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	unlock, err := lockFolder(d.o.state)
	if err != nil {
		return err
	}
	d.down.Add("state folder", time.Second, func(context.Context) error { return unlock() })
	if err := d.certify(time.Now()); err != nil {
		return err
	}
	if d.sockets, err = dev.NewSocketDir(); err != nil {
		return err
	}
	d.down.Add("sockets", time.Second, func(context.Context) error { return d.sockets.Close() })
	if d.upstream, err = dev.StartUpstreams(dev.UpstreamOptions{
		Origins: d.origins(), Logger: slog.New(slog.DiscardHandler), AssertionOnly: !d.o.trust,
	}); err != nil {
		return err
	}
	d.down.Add("upstreams", 5*time.Second, d.upstream.Close)
	return nil
}

func (d *demo) origins() dev.Origins {
	at := func(host string) string { return fmt.Sprintf("%s://%s.%s:%d", d.scheme(), host, devDomain, d.o.port) }
	return dev.Origins{Portal: at("portal"), API: at("api.portal"), Admin: at("admin.portal"), Workspace: at("workspace.portal"), Gate: at("gate"), CA: d.ca}
}

// startGate writes gate.yaml and routes.yaml into the state folder and serves
// by them, as gate serve would.
func (d *demo) startGate(ctx context.Context, s streams) error {
	cfg, err := d.configure()
	if err != nil {
		return err
	}
	if err := d.configureEnvoy(cfg); err != nil {
		return err
	}
	if d.app, err = newApp(ctx, cfg, newLogger(cfg, s.err), s.out); err != nil {
		return err
	}
	d.down.Add("gate", 30*time.Second, func(context.Context) error { return d.app.teardown.Close() })
	if err := dev.Seed(ctx, demoUsers{d.app.accounts}, devDomain, filepath.Join(d.o.state, "gate.yaml"), s.out); err != nil {
		return err
	}
	d.failed, err = d.app.listen(ctx, false)
	return err
}

func (d *demo) configure() (*config.Config, error) {
	var sockets [4]string
	for i, name := range []string{"authz.sock", "http.sock", "admin.sock", "envoy.sock"} {
		var err error
		if sockets[i], err = d.sockets.Socket(name); err != nil {
			return nil, err
		}
	}
	routes, err := dev.Routes(dev.RoutesOptions{Port: d.o.port, Cert: d.cert, Key: d.key, Listen: fmt.Sprintf("127.0.0.1:%d", d.o.port),
		Frontend: d.upstream.Frontend, Backend: d.upstream.Backend, KasmProxy: d.upstream.Kasm})
	if err != nil {
		return nil, err
	}
	policy := d.o.policy
	if policy != "" {
		if policy, err = filepath.Abs(policy); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Written by gate dev at each start; give it to other commands as -config.\nroutes: routes.yaml\n")
	fmt.Fprintf(&b, "listen: {authz: %q, http: %q, admin: %q, ops: %q}\n", sockets[0], sockets[1], sockets[2], d.o.ops)
	fmt.Fprintf(&b, "envoy: {admin: %q}\n", sockets[3])
	fmt.Fprintf(&b, "cookie: {domain: .%s, keys: cookie-keys.yaml, insecure: %t}\n", devDomain, !d.o.tls)
	fmt.Fprintf(&b, "session: {store: sqlite, path: gate.db}\npolicy: {path: %q}\nlog: {level: warn, access: access.log}\n", policy)
	passwords := config.PasswordsAuto
	if d.o.providers != "" {
		more, err := os.ReadFile(d.o.providers)
		if err != nil {
			return nil, fmt.Errorf("-providers: %w", err)
		}
		passwords = config.PasswordsOn
		b.Write(more)
	}
	sessions, err := d.o.demoYAML()
	if err != nil {
		return nil, err
	}
	b.WriteString(sessions)
	// The tour has nobody set up a second factor; who wants to sees it all the same.
	fmt.Fprintf(&b, "accounts: {passwords: %q, mfa: optional, registration: open, mail: {send: console}}\n", passwords)
	file := filepath.Join(d.o.state, "gate.yaml")
	if err := errors.Join(os.WriteFile(filepath.Join(d.o.state, "routes.yaml"), routes, 0o600), os.WriteFile(file, b.Bytes(), 0o600)); err != nil {
		return nil, err
	}
	return config.Load(file, os.Environ())
}

// configureEnvoy writes what Envoy starts with, and where the settings name a
// folder of watched files (GATE_ENVOY_FILES) these as well, before a gate that
// keeps them up to date looks for them.
func (d *demo) configureEnvoy(cfg *config.Config) error {
	f, err := loadRoutes(cfg)
	if err != nil {
		return err
	}
	o, err := envoyOptions(cfg, f)
	if err != nil {
		return err
	}
	o.AccessLogPath = filepath.Join(d.o.state, "edge.log")
	if o.Files != "" {
		files, err := envoy.NewFiles(o, nil)
		if err == nil {
			d.config, err = files.WriteAll()
		}
		return err
	}
	bootstrap, err := renderEnvoy(o)
	if err != nil {
		return err
	}
	d.config = filepath.Join(d.sockets.Path(), "envoy.yaml")
	return os.WriteFile(d.config, bootstrap, 0o600)
}

func (d *demo) startEnvoy(ctx context.Context, binary string) error {
	log, err := os.OpenFile(filepath.Join(d.o.state, "envoy.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	d.down.Add("Envoy's log", time.Second, func(context.Context) error { return log.Close() })
	d.envoy, err = dev.StartEnvoy(ctx, dev.EnvoyOptions{Path: binary, Args: envoy.Args(d.config, 2), AdminSocket: d.app.cfg.Envoy.Admin, Log: log})
	if err != nil {
		return err
	}
	d.down.Add("Envoy", 10*time.Second, d.envoy.Stop)
	return nil
}

func (d *demo) welcome(w io.Writer) {
	o := d.origins()
	fmt.Fprintf(w, `
Open     %s
also     %s  %s  %s
logs     %s (Envoy's, one line a request)  %s (the gate's)
metrics  http://%s/metrics
config   %s (give it to gate user, gate session, … as -config)
%s
Ctrl-C stops everything; users and sessions stay in %s.
`, o.Portal, o.API, o.Admin, o.Workspace, filepath.Join(d.o.state, "edge.log"), filepath.Join(d.o.state, "access.log"),
		d.app.opsAddr, filepath.Join(d.o.state, "gate.yaml"), d.trustWords(), d.o.state)
}

// demoUsers seeds into the account store.
type demoUsers struct{ store *account.Store }

func (u demoUsers) Exists(ctx context.Context, email string) (bool, error) {
	_, err := u.store.Get(ctx, email)
	if errors.Is(err, session.ErrNoUser) {
		return false, nil
	}
	return err == nil, err
}

func (u demoUsers) Add(ctx context.Context, s dev.SeedUser) error {
	x := account.User{Email: s.Email, Name: s.Name, Organization: s.Organization, Roles: s.Roles, EmailVerified: true, MFA: true}
	if s.WorkspaceType != "" {
		x.Demo = &account.DemoGrant{WorkspaceType: s.WorkspaceType, Seconds: s.DemoSeconds}
	}
	_, err := u.store.Add(ctx, x, s.Password)
	return err
}
