package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/archive"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/envoy"
	"github.com/neosc/gate/policies"
)

func checkCommand() command {
	return command{"check", "validate config, routes, policies and Envoy's config; start nothing", runCheck}
}

func runCheck(ctx context.Context, args []string, s streams) int {
	fs := flagSet("check", "gate check [-config gate.yaml] [-online | -ready]", "Validates gate.yaml, the routes file, the policies and the Envoy configuration made\nof them, and starts nothing. Every problem is shown, not only the first.", s)
	file := fs.String("config", "gate.yaml", "configuration `file`")
	online := fs.Bool("online", false, "ask the identity providers too whether they would let people sign in")
	ready := fs.Bool("ready", false, "ask the gate that runs with this configuration whether it is ready, and nothing else")
	if code, done := fs.parse(args, 0); done {
		return code
	}
	cfg, err := config.Load(*file, os.Environ())
	if err != nil {
		return fail(s.err, "check", err)
	}
	if *ready {
		return checkReady(ctx, cfg, s)
	}
	f, err := loadRoutes(cfg)
	if err != nil {
		return fail(s.err, "check", err)
	}
	fmt.Fprintf(s.out, "config    ok  %s\n", *file)
	fmt.Fprintf(s.out, "routes    ok  %s: %d hosts, routes %s\n", cfg.Routes, len(f.Hosts()), strings.Join(f.RouteNames(), ", "))
	fmt.Fprintf(s.out, "shields   ok  %s\n", f.Shields())
	sayPublic(s.out, f)
	revision, perr := compilePolicy(cfg, edge(cfg, f))
	if perr == nil {
		fmt.Fprintf(s.out, "policies  ok  %s\n", revision)
	}
	return fail(s.err, "check", errors.Join(perr, checkEdge(ctx, cfg, f, s.out), checkRevoked(cfg.Routes, f, s.out), checkListenTLS(cfg, s.out), checkMail(cfg, s.out), checkDemo(cfg, s.out), checkProviders(ctx, cfg, f.GateOrigin(), *online, s.out)))
}

// checkEdge has Envoy judge what is rendered for it. A gate that only others'
// Envoys ask over the network has none of its own.
func checkEdge(ctx context.Context, cfg *config.Config, f *route.File, w io.Writer) error {
	if _, tcp := config.TCP(cfg.Listen.Authz); tcp && cfg.Envoy.TLS == (config.EnvoyTLS{}) {
		fmt.Fprintln(w, "envoy     --  not rendered: envoy.tls is empty, so that only others' Envoys ask this gate")
		return nil
	}
	o, err := envoyOptions(cfg, f)
	if err == nil {
		err = checkEnvoy(ctx, o)
	}
	if err == nil {
		fmt.Fprintf(w, "envoy     ok  accepted by Envoy %s\n", envoy.Version)
	}
	return err
}

// checkListenTLS reads the certificates of the TCP listeners.
func checkListenTLS(cfg *config.Config, w io.Writer) error {
	conf, err := listenTLS(cfg, slog.New(slog.DiscardHandler))
	if err == nil && conf != nil {
		fmt.Fprintf(w, "tls       ok  %s; open to %s\n", cfg.Listen.TLS.Cert, strings.Join(cfg.Listen.TLS.ClientNames(), ", "))
	}
	return err
}

// sayPublic names every path that is open to everybody, unasked.
func sayPublic(w io.Writer, f *route.File) {
	for _, h := range f.Hosts() {
		for _, e := range h.Entries {
			if e.Public {
				fmt.Fprintf(w, "public    !!  %s: %s %s, open to everybody: nobody is asked\n", e.Route.Name, h.Origin, e.Match)
			}
		}
	}
}

// compilePolicy does what activation does, short of activating.
func compilePolicy(cfg *config.Config, e engine.Edge) (revision string, err error) {
	p, err := configuredPolicy(cfg, e, nil)
	if err != nil {
		return "", err
	}
	return p.Revision(), nil
}

// policySet reads the policy that the config names, or the built-in one. Of a
// bundle server it is the bundle that was active here last.
func policySet(cfg *config.Config) (engine.Source, error) {
	place := cfg.Policy.Path
	if cfg.Policy.Bundle.URL != "" {
		var err error
		if place, err = bundles.KeptActive(keptBundles(cfg)); err != nil {
			return engine.Source{}, err
		}
		if place == "" {
			return engine.Source{}, fmt.Errorf("policy.bundle.url: no bundle of %s was active here yet; start the gate once, or name a policy file", cfg.Policy.Bundle.URL)
		}
	}
	if place == "" {
		return bundles.Load(policies.Files())
	}
	o, err := bundles.Open(place)
	if err != nil {
		return engine.Source{}, fmt.Errorf("policy.path: %w", err)
	}
	t, err := bundleTrust(cfg)
	if err == nil && t != nil {
		if _, err = o.Verified(t, time.Now()); cfg.Policy.Bundle.URL != "" && errors.Is(err, archive.ErrExpired) {
			err = nil // it held when it was activated
		}
	}
	return o.Source, err
}
