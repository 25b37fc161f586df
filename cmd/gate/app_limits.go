package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/neosc/gate/authz/limit"
	"github.com/neosc/gate/authz/limit/redislimit"
	"github.com/neosc/gate/authz/observe"
)

// openLimits opens the rate limiter and, with the same guarantees, the budgets
// for guessing passwords.
func (a *app) openLimits(ctx context.Context, _ io.Writer) error {
	c := a.cfg.Limits
	if c.Store == "redis" {
		return a.openRedisLimits(ctx)
	}
	local, err := limit.NewLocal(limit.Options{MaxKeys: c.MaxKeys, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix})
	if err != nil {
		return err
	}
	// Apart from the rest: a flood of other keys must not fill what holds the
	// budgets, which would refuse every sign-in.
	guesses, err := limit.NewLocal(limit.Options{MaxKeys: c.MaxKeys, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix, Name: "guesses"})
	if err != nil {
		return err
	}
	a.limiter, a.guesses = local, limit.NewGuesses(guesses)
	return nil
}

// openRedisLimits does not need Redis to answer at the start: the limiter has
// its own way while it is away, and says so.
func (a *app) openRedisLimits(ctx context.Context) error {
	c := a.cfg.Limits
	redislimit.RouteClientLog(a.log)
	conf, err := redisTLS("limits", c.RedisTLS, a.log)
	if err != nil {
		return err
	}
	l, err := redislimit.New(redislimit.Options{
		URL: c.Redis, TLS: conf, Mode: redislimit.Mode(c.Mode), Budget: c.Budget, OnError: redislimit.OnError(c.OnError), Replicas: c.Replicas,
		MaxKeys: c.MaxKeys, Log: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
	})
	if err != nil {
		return fmt.Errorf("limits.redis: %w", err)
	}
	a.teardown.Add("limits", 5*time.Second, func(context.Context) error { return l.Close() })
	a.health.Add("limits", func(context.Context) error { return observe.Degraded(l.Trouble()) })
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := l.Ping(ctx); err != nil {
		a.log.Warn("limits are not shared yet: Redis does not answer", "on_error", c.OnError, "error", err)
	}
	a.limiter, a.guesses = l, limit.NewGuesses(l)
	return nil
}
