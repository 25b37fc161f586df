package main

import (
	"context"
	"runtime/debug"

	"github.com/neosc/gate/test/bench/limitbench"
)

// limitsArea measures the shared rate limiter against a plain script call a
// check, on a Redis of its own.
func limitsArea(ctx context.Context, r *report) error {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as gate serve does: the limiter runs in it
	res, err := limitbench.Run(ctx, limitbench.Options{})
	if err != nil {
		return err
	}
	us := func(f limitbench.Figure) (client, redis float64) {
		return float64(f.ClientCPU.Nanoseconds()) / 1e3, float64(f.RedisCPU.Nanoseconds()) / 1e3
	}
	client, redis := us(res.Batched)
	plainClient, plainRedis := us(res.Plain)
	r.figure("client_cpu@64", client, "µs/check", float64(limitbench.MaxClientCPU.Microseconds()))
	r.figure("redis_cpu@64", redis, "µs/check", float64(limitbench.MaxRedisCPU.Microseconds()))
	r.figure("plain_client_cpu@64", plainClient, "µs/check", 0)
	r.figure("plain_redis_cpu@64", plainRedis, "µs/check", 0)
	r.figure("client/plain_cpu@64", client/plainClient, "ratio", 0)
	r.figure("redis/plain_cpu@64", redis/plainRedis, "ratio", 0)
	r.figure("added_p50@1", float64(res.Alone)/float64(res.PlainAlone), "roundtrips", limitbench.MaxRoundTrips)
	return nil
}
