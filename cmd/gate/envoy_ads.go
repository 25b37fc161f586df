package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/envoy"
)

// openADS makes the discovery service ready, from which Envoys have their routes.
func (r *routesReload) openADS(o envoy.Options) (err error) {
	r.ads, err = envoy.NewADS(envoy.ADSOptions{Options: o, Logger: r.a.log, Server: discoveryOptions(len(o.ADS) > 0), Refused: func(err error) {
		r.total.WithLabelValues("refused_by_envoy").Inc()
		r.a.log.Error("an Envoy goes on with other routes than the gate's", "error", err)
	}})
	if err != nil {
		return err
	}
	r.edge = r.ads
	return r.a.registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: r.a.cfg.Metrics.Prefix + "discovery_envoys", Help: "Envoys that have their routes from this gate over envoy.ads.",
	}, func() float64 { return float64(r.ads.Connected()) }))
}

// discoveryGrace is how long an Envoy has to ask on another connection.
const discoveryGrace = 5 * time.Second

// discoveryOptions are those of connections over the network: an Envoy whose
// machine went away is no longer waited for, and none goes on by a certificate
// that has ended.
func discoveryOptions(networked bool) []grpc.ServerOption {
	opts := []grpc.ServerOption{grpc.ConnectionTimeout(handshakeTime)}
	if networked {
		opts = append(opts, grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: discoveryGrace, Time: 10 * time.Second, Timeout: 5 * time.Second,
		}))
	}
	return opts
}

// listenADS serves Envoys, if they have their routes that way. A successor takes
// the socket over; the Envoys turn to it when this gate ends.
func (r *routesReload) listenADS(ctx context.Context, run func(string, func() error), sockets *sockets) error {
	if r.ads == nil {
		return nil
	}
	l, err := sockets.open(ctx, cmp.Or(r.a.cfg.Listen.ADS, r.a.cfg.Envoy.ADS), 0o660)
	if err != nil {
		return err
	}
	r.a.teardown.Add("discovery", 2*time.Second, func(context.Context) error {
		r.ads.Close()
		return nil
	})
	run("discovery", func() error { return r.ads.Serve(l) })
	return nil
}

// explained adds to an Envoy's refusal its reason, where an Envoy is at hand that
// can be asked for one: watched files have no way back for it.
func (r *routesReload) explained(ctx context.Context, refusal error, next *route.File) error {
	if !errors.Is(refusal, envoy.ErrUnexplained) {
		return refusal
	}
	o, err := envoyOptions(r.a.cfg, next)
	if err != nil {
		return refusal
	}
	if _, err := envoy.FindBinary(); err != nil {
		return refusal
	}
	if err := checkEnvoy(ctx, o); err != nil {
		return fmt.Errorf("%w; asked for its reason, %w", refusal, err)
	}
	return refusal
}
