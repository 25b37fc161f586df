package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/envoy"
)

func envoyCommand() command {
	c := verbs("envoy", "Render Envoy's configuration from the routes file, and judge configurations", []command{
		{"bootstrap", "print the hardened configuration that Envoy starts with", envoyBootstrap},
		{"files", "write the files that Envoy watches, for changes without a restart", envoyFiles},
		{"diff", "say what a change of the routes file does", envoyDiff},
		{"lint", "list what in an Envoy configuration lets a spoof or a bypass through", envoyLint},
	})
	c.short = "render Envoy's configuration from the routes file, and judge others"
	return c
}

func envoyBootstrap(ctx context.Context, args []string, s streams) int {
	const usage = "gate envoy bootstrap [-config gate.yaml] [-ads] [-o FILE]"
	fs := flagSet("envoy bootstrap", usage, "Prints the hardened static configuration for all routes of the routes file; with -ads one\nwhose routes and upstreams come from the running gate, at envoy.ads of gate.yaml.\nRun Envoy on it with --disable-hot-restart.", s)
	f := newEnvoyFlags(fs, "envoy-admin.sock beside listen.authz")
	ads := fs.Bool("ads", false, "routes and upstreams come from the running gate and change without a restart")
	out := fs.String("o", "", "write to `FILE` instead of standard output")
	secrets := fs.String("secrets", "", "absolute `folder` of files, written too, by which Envoy reads certificates again when they\nchange (default: they are read once)")
	if code, done := fs.parse(args, 0); done {
		return code
	}
	return fail(s.err, "envoy bootstrap", func() error {
		o, err := f.options()
		if err != nil {
			return err
		}
		o.Secrets, o.Files = *secrets, "" // everything in one file
		if !*ads {
			o.ADSSocket, o.ADS = "", nil
		} else if !o.Discovers() {
			return fmt.Errorf("%s has no envoy.ads, the socket at which the gate gives routes, and no listen.ads", *f.file)
		}
		b, err := renderEnvoy(o)
		if err == nil {
			err = envoy.WriteSecrets(o)
		}
		if err != nil {
			return err
		}
		if *out == "" {
			_, err = s.out.Write(b)
			return err
		}
		return os.WriteFile(*out, b, 0o600)
	}())
}

// envoyFlags are those of every command that renders Envoy's configuration.
type envoyFlags struct{ file, admin, accessLog, tlsCert, tlsKey *string }

func newEnvoyFlags(fs *flags, adminDefault string) envoyFlags {
	return envoyFlags{
		file:      fs.String("config", "gate.yaml", "configuration `file`"),
		admin:     fs.String("admin", "", "Unix `socket` of Envoy's admin interface (default: "+adminDefault+")"),
		accessLog: fs.String("access-log", "", "`file` of Envoy's access log (default: standard output)"),
		tlsCert:   fs.String("tls-cert", "", "PEM `file` of the certificate with which Envoy serves TLS (default: plain HTTP, for TLS that ends in front of Envoy)"),
		tlsKey:    fs.String("tls-key", "", "PEM `file` of its key"),
	}
}

// options are those of the configuration and its routes file, and of the flags.
func (f envoyFlags) options() (envoy.Options, error) {
	cfg, err := config.Load(*f.file, os.Environ())
	if err != nil {
		return envoy.Options{}, err
	}
	routes, err := loadRoutes(cfg)
	if err != nil {
		return envoy.Options{}, err
	}
	o, err := envoyOptions(cfg, routes)
	if *f.admin != "" {
		o.AdminSocket = *f.admin
	}
	o.AccessLogPath, o.TLSCert, o.TLSKey = *f.accessLog, *f.tlsCert, *f.tlsKey
	return o, err
}

// envoyOptions are what config and routes say of Envoy.
func envoyOptions(cfg *config.Config, f *route.File) (envoy.Options, error) {
	o := envoy.Options{Routes: f, AdminSocket: cfg.Envoy.Admin, Files: cfg.Envoy.Files}
	reach, err := cfg.Reach()
	if err != nil {
		return o, err
	}
	o.AuthzSocket, o.GateSocket, o.LeashSocket, o.ADSSocket = reach.Authz.Socket, reach.HTTP.Socket, reach.Leash.Socket, reach.ADS.Socket
	for _, x := range []struct {
		from []string
		to   *[]route.Endpoint
	}{{reach.Authz.Addresses, &o.Authz}, {reach.HTTP.Addresses, &o.Gate}, {reach.Leash.Addresses, &o.Leash}, {reach.ADS.Addresses, &o.ADS}} {
		for _, address := range x.from {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return o, err
			}
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				return o, err
			}
			*x.to = append(*x.to, route.Endpoint{Host: host, Port: uint16(n)})
		}
	}
	if t := &cfg.Envoy.TLS; reach.Networked() {
		o.GateTLS = &route.UpstreamTLS{CA: t.CA, Cert: t.Cert, Key: t.Key, SANs: t.Names()}
	}
	return o, nil
}

func renderEnvoy(o envoy.Options) ([]byte, error) {
	b, err := envoy.Bootstrap(o)
	if err != nil {
		return nil, err
	}
	return envoy.RenderYAML(b)
}

// checkEnvoy lets the real Envoy judge the rendered configuration.
func checkEnvoy(ctx context.Context, o envoy.Options) error {
	o.Files, o.ADSSocket, o.ADS, o.Secrets = "", "", nil, "" // Envoy would look for the files
	b, err := renderEnvoy(o)
	if err != nil {
		return err
	}
	binary, err := envoy.FindBinary()
	if err != nil {
		return fmt.Errorf("%w; without it the rendered configuration cannot be validated", err)
	}
	return envoy.Validate(ctx, binary, b)
}
