// Package limitbench measures what a rate limit check against Redis costs: CPU
// of this process and of Redis per check, and time. It runs a Redis of its own.
// The bench command and a test use it.
package limitbench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit/redislimit"
	"github.com/neosc/gate/test/redistest"
)

// The bounds that the figures must keep at 64 callers.
const (
	MaxClientCPU = 10 * time.Microsecond
	MaxRedisCPU  = 10 * time.Microsecond
	// MaxRoundTrips is how many round trips of a plain script call a lone check
	// may take at the median.
	MaxRoundTrips = 2
)

// Options say what to measure. Zero values take the defaults.
type Options struct {
	// Callers ask at once, each as soon as it has its answer; 64.
	Callers int
	// Users are the buckets, drawn evenly; 20,000.
	Users int
	// Block is how long each of the two is run in turn; 250 ms.
	Block time.Duration
	// Blocks is how many pairs of blocks there are; 20.
	Blocks int
}

// Figure is what one way of checking costs, as medians over the blocks (the
// times of single checks: over all).
type Figure struct {
	Checks    int
	PerSecond float64
	// ClientCPU and RedisCPU are per check.
	ClientCPU, RedisCPU time.Duration
	P50, P99            time.Duration
}

// String is one line.
func (f Figure) String() string {
	return fmt.Sprintf("%8.0f checks/s  client %6.2f µs  redis %6.2f µs  p50 %v  p99 %v",
		f.PerSecond, micros(f.ClientCPU), micros(f.RedisCPU), f.P50.Round(time.Microsecond), f.P99.Round(time.Microsecond))
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// Result compares a plain EVALSHA per check with the limiter.
type Result struct {
	Plain, Batched Figure
	// RoundTrip is the median of a lone PING.
	RoundTrip time.Duration
	// PlainAlone and Alone are the medians with a single caller.
	PlainAlone, Alone time.Duration
}

// Check returns an error that names every bound that r breaks. It means
// something for 64 callers on a machine with nothing else to do.
func (r Result) Check() error {
	var errs []error
	if r.Batched.ClientCPU > MaxClientCPU {
		errs = append(errs, fmt.Errorf("client CPU per check is %v, the bound %v", r.Batched.ClientCPU, MaxClientCPU))
	}
	if r.Batched.RedisCPU > MaxRedisCPU {
		errs = append(errs, fmt.Errorf("redis CPU per check is %v, the bound %v", r.Batched.RedisCPU, MaxRedisCPU))
	}
	if most := MaxRoundTrips * r.PlainAlone; r.Alone > most {
		errs = append(errs, fmt.Errorf("a lone check takes %v, the bound is %d script calls or %v", r.Alone, MaxRoundTrips, most))
	}
	return errors.Join(errs...)
}

// String is a table.
func (r Result) String() string {
	return fmt.Sprintf("plain   %s\nbatched %s\nround trip %v, a lone check: plain %v, batched %v\n", r.Plain, r.Batched,
		r.RoundTrip.Round(time.Microsecond), r.PlainAlone.Round(time.Microsecond), r.Alone.Round(time.Microsecond))
}

// plainScript is GCRA for one key as one would write it first: times in µs.
const plainScript = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local every, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local tat = tonumber(redis.call('GET', KEYS[1]) or now)
if tat < now then tat = now end
local over = tat + every - now - most
if over > 0 then return {0, over} end
tat = tat + every
redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000))
return {1, math.floor((now + most - tat) / every)}
`

// check is one check of a user's bucket. It must be admitted.
type check func(ctx context.Context, user int) error

// Run measures. Every check must be admitted: limits are charged, not reached.
func Run(ctx context.Context, o Options) (Result, error) {
	o = o.defaults()
	srv, err := redistest.Socket()
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = srv.Close() }()
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: srv.Addr, PoolSize: o.Callers + 1, Protocol: 2, MaxRetries: -1})
	defer func() { _ = rdb.Close() }()
	l, err := redislimit.New(redislimit.Options{URL: "unix://" + srv.Addr, Budget: time.Second})
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = l.Close() }()
	plain, err := plainCheck(ctx, rdb, o.Users)
	if err != nil {
		return Result{}, err
	}
	batched := batchedCheck(l, o.Users)
	m := meter{rdb: rdb, o: o}
	var a, b samples
	for range o.Blocks {
		if err := m.block(ctx, plain, o.Callers, &a); err != nil {
			return Result{}, fmt.Errorf("plain: %w", err)
		}
		if err := m.block(ctx, batched, o.Callers, &b); err != nil {
			return Result{}, fmt.Errorf("batched: %w", err)
		}
	}
	ping := func(ctx context.Context, _ int) error { return rdb.Ping(ctx).Err() }
	var medians [3]time.Duration
	for i, f := range []check{ping, plain, batched} {
		var lone samples
		if err := m.block(ctx, f, 1, &lone); err != nil {
			return Result{}, err
		}
		medians[i] = lone.figure().P50
	}
	return Result{Plain: a.figure(), Batched: b.figure(), RoundTrip: medians[0], PlainAlone: medians[1], Alone: medians[2]}, nil
}

func (o Options) defaults() Options {
	if o.Callers == 0 {
		o.Callers = 64
	}
	if o.Users == 0 {
		o.Users = 20_000
	}
	if o.Block == 0 {
		o.Block = 250 * time.Millisecond
	}
	if o.Blocks == 0 {
		o.Blocks = 20
	}
	return o
}

// The limit of the measurement: it fills at once and holds enough.
const (
	rate  = 1000.0
	burst = 10_000
)

func plainCheck(ctx context.Context, rdb *redis.Client, users int) (check, error) {
	sha, err := rdb.ScriptLoad(ctx, plainScript).Result()
	if err != nil {
		return nil, err
	}
	keys := make([]string, users)
	for i := range keys {
		keys[i] = "plain:user:" + userKey(i)
	}
	every, most := strconv.Itoa(int(1e6/rate)), strconv.Itoa(int(1e6/rate*burst))
	return func(ctx context.Context, user int) error {
		reply, err := rdb.EvalSha(ctx, sha, []string{keys[user]}, every, most).Int64Slice()
		if err == nil && reply[0] != 1 {
			err = fmt.Errorf("refused: %v", reply)
		}
		return err
	}, nil
}

func batchedCheck(l *redislimit.Limiter, users int) check {
	charges := make([][]authz.Charge, users)
	for i := range charges {
		charges[i] = []authz.Charge{{Name: "user", Key: userKey(i), Rate: rate, Burst: burst, Cost: 1}}
	}
	return func(ctx context.Context, user int) error {
		s, err := l.Spend(ctx, time.Time{}, charges[user])
		if err == nil && !s.Allowed {
			err = fmt.Errorf("refused: %+v", s)
		}
		return err
	}
}

func userKey(i int) string { return fmt.Sprintf("0190a6c2-7d1e-7000-8000-%012x", i) }

// samples are the blocks of one way.
type samples struct {
	checks              int
	client, redis, rate []float64
	times               []time.Duration
}

func (s *samples) figure() Figure {
	slices.Sort(s.times)
	at := func(p float64) time.Duration { return s.times[int(float64(len(s.times)-1)*p)] }
	return Figure{
		Checks: s.checks, PerSecond: median(s.rate), ClientCPU: time.Duration(median(s.client)),
		RedisCPU: time.Duration(median(s.redis)), P50: at(.5), P99: at(.99),
	}
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

type meter struct {
	rdb *redis.Client
	o   Options
}

// block runs callers for a block's time and adds what it cost to s.
func (m meter) block(ctx context.Context, f check, callers int, s *samples) error {
	redis0, err := m.redisCPU(ctx)
	if err != nil {
		return err
	}
	client0, from := clientCPU(), time.Now()
	var stop atomic.Bool
	timer := time.AfterFunc(m.o.Block, func() { stop.Store(true) })
	defer timer.Stop()
	var wg sync.WaitGroup
	times, errs := make([][]time.Duration, callers), make([]error, callers)
	for i := range callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), uint64(from.UnixNano())))
			for !stop.Load() && errs[i] == nil {
				t := time.Now()
				errs[i] = f(ctx, r.IntN(m.o.Users))
				times[i] = append(times[i], time.Since(t))
			}
		})
	}
	wg.Wait()
	took, client1 := time.Since(from), clientCPU()
	redis1, err := m.redisCPU(ctx)
	if err != nil {
		return err
	}
	n := 0
	for i := range callers {
		if errs[i] != nil {
			return errs[i]
		}
		n += len(times[i])
		s.times = append(s.times, times[i]...)
	}
	s.checks += n
	s.client = append(s.client, float64(client1-client0)/float64(n))
	s.redis = append(s.redis, float64(redis1-redis0)/float64(n))
	s.rate = append(s.rate, float64(n)/took.Seconds())
	return nil
}

func clientCPU() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func (m meter) redisCPU(ctx context.Context) (time.Duration, error) {
	info, err := m.rdb.InfoMap(ctx, "cpu").Result()
	if err != nil {
		return 0, err
	}
	total := 0.0
	for _, k := range []string{"used_cpu_user", "used_cpu_sys"} {
		v, err := strconv.ParseFloat(info["CPU"][k], 64)
		if err != nil {
			return 0, fmt.Errorf("INFO cpu: %s: %w", k, err)
		}
		total += v
	}
	return time.Duration(total * 1e9), nil
}
