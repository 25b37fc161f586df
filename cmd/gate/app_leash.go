package main

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/neosc/gate/authz/leash"
)

// leashLinger is how long a stopping gate lets streams end by themselves before
// it cuts them: plain answers on routes without a timeout are done by then.
const leashLinger = drainTime / 2

// tickets are what the check gives a stream for the leash. Their keys come from
// the cookie's ring, which all gates behind an Envoy share.
func (a *app) tickets() (*leash.Tickets, error) {
	return leash.NewTickets(a.cfg.Cookie.Name, func() ([][]byte, error) { return a.ring.DeriveKeys("leash tickets") })
}

// listenLeash holds live streams. It stops after the checks, which may still
// open streams, and before all that it watches over them with.
func (a *app) listenLeash(ctx context.Context, run func(string, func() error), sockets *sockets) error {
	tickets, err := a.tickets()
	if err != nil {
		return err
	}
	s, err := leash.New(leash.Options{
		Sessions: a.sessions, Judge: a.decider, Routes: a.live, Lists: a.revoked.Changes, Tickets: tickets, Logger: a.log,
		Revision: func() string { return a.policy.Status().Revision },
		Grace:    a.cfg.Session.StaleGrace, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
	})
	if err != nil {
		return err
	}
	l, err := sockets.open(ctx, a.cfg.Listen.Leash, 0o660)
	if err != nil {
		s.Close()
		return err
	}
	watching, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() { s.Run(watching); close(watched) }()
	a.teardown.Add("leash", time.Second, func(limit context.Context) error {
		s.Close()
		cancel()
		select {
		case <-watched:
			return nil
		case <-limit.Done():
			return limit.Err()
		}
	})
	g := leash.NewGRPCServer(s, grpc.ConnectionTimeout(handshakeTime))
	a.teardown.Add("live streams", drainTime, func(limit context.Context) error { return s.Stop(limit, g, leashLinger) })
	run("leash", func() error { return g.Serve(l) })
	return nil
}
