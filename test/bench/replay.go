package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/observe/decisionlog"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/replay"
	"github.com/neosc/gate/policies"
)

// Bounds of replaying, in CPU time of one record: 30,000 a second and core from
// the file, 150,000 decoded.
const (
	maxFromFile = 1e6 / 30_000
	maxDecoded  = 1e6 / 150_000
	logMay      = 1.1 // times the bounds of a check may be what a gate that logs every decision takes
	replayed    = 40_000
	replayTurns = 5
)

// replayParts measure what it costs to decide recorded requests anew, and to
// record them.
func replayParts() []part {
	return []part{{"records", replayRecords}, {"bundle", replayBundle}, {"log", onStand(replayLog)}, {"shadow", onStand(shadowPart)}}
}

// replayRecords replays a log of the kinds of requests that the engine's area
// has, in CPU time of the process: reading is one core's work, deciding all's.
func replayRecords(ctx context.Context, r *report) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	j, err := shippedJudge()
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "decisions.ndjson")
	if err := writeDecisions(ctx, j, file); err != nil {
		return err
	}
	var whole, decoded []float64
	for range replayTurns {
		took, err := cpuTime(func() error {
			out, err := replay.Log(ctx, replay.Options{Judge: j}, file)
			if err == nil && (out.Same != replayed || out.Records != replayed) {
				err = fmt.Errorf("of %d records %d are the same", out.Records, out.Same)
			}
			return err
		})
		if err != nil {
			return err
		}
		whole = append(whole, took/replayed)
		if took, err = decodedTime(ctx, j, file); err != nil {
			return err
		}
		decoded = append(decoded, took)
	}
	r.figure("file", median(whole), "µs_cpu/record", maxFromFile)
	r.figure("decoded", median(decoded), "µs_cpu/record", maxDecoded)
	return nil
}

// cpuTime returns the microseconds of CPU that the process takes for f.
func cpuTime(f func() error) (float64, error) {
	used := func() (t time.Duration, err error) {
		var u syscall.Rusage
		err = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
	}
	before, err := used()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := used()
	return float64((after - before).Nanoseconds()) / 1000, err
}

// decodedTime replays records that are read already.
func decodedTime(ctx context.Context, j *engine.Judge, file string) (float64, error) {
	var records []*decisionlog.Record
	shared := decisionlog.NewShared()
	err := decisionlog.Scan(ctx, file, func(l decisionlog.Line) error {
		if len(records) == 4096 {
			return nil
		}
		x, err := shared.Parse(string(l.Text))
		records = append(records, x)
		return errors.Join(err, l.Err)
	})
	if err != nil {
		return 0, err
	}
	p := replay.NewPlayer(j)
	took, err := cpuTime(func() error {
		for range 5 {
			for _, x := range records {
				if changes, missing := p.Play(ctx, x); len(changes) > 0 || missing != "" {
					return fmt.Errorf("decided otherwise: %v, %s", changes, missing)
				}
			}
		}
		return nil
	})
	return took / float64(5*len(records)), err
}

func shippedJudge() (*engine.Judge, error) {
	src, err := bundles.Load(policies.Files())
	if err != nil {
		return nil, err
	}
	src.Timeout = time.Second
	p, err := engine.Compile(src, benchEdge())
	if err != nil {
		return nil, err
	}
	j := engine.NewJudge(p)
	if why := j.Slow(); why != "" {
		return nil, errors.New(why)
	}
	return j, nil
}

func benchEdge() engine.Edge {
	return engine.Edge{
		SessionCookie: "_pomerium", IdentityPrefix: "x-pomerium-", Forwarded: []string{"accept", "cookie", "origin", "access-control-request-method", "x-*"},
		Settable: []string{"x-pomerium-*", "x-session-id", "x-user-email", "x-workspace-type", "x-neosc-*"}, ResponseSettable: []string{"x-*"},
	}
}

// writeDecisions has decisions logged as a gate does, with the headers that a
// browser sends.
func writeDecisions(ctx context.Context, j *engine.Judge, file string) error {
	sink, err := decisionlog.NewFile(decisionlog.FileOptions{Path: file, MaxBytes: 1 << 30})
	if err != nil {
		return err
	}
	log, err := decisionlog.New(decisionlog.Options{Sink: sink, Allows: 1, Buffer: 256 << 20, Entrypoint: policies.Entrypoint, IdentityPrefix: "x-pomerium-", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	who := person{cookie: "_pomerium=x", email: email(1)}
	kinds := engineRequests()
	for i := range replayed {
		q := *kinds[i%len(kinds)].request
		q.Headers = nil
		for _, h := range who.headers(i, q.Host) {
			q.Headers = append(q.Headers, authz.Header{Name: strings.ToLower(h[0]), Value: h[1]})
		}
		d, err := j.Decide(ctx, &q)
		if err != nil {
			return err
		}
		o := &authz.Outcome{Verdict: authz.Denied, Status: 403, Reasons: d.Reasons, Decision: d, Session: q.Session}
		if d.Allowed {
			o.Verdict, o.Status = authz.Allowed, 200
		}
		log.Observe(&q, o, time.Microsecond)
	}
	return log.Close(ctx)
}

// replayLog measures a gate that logs each decision to a file against the stock
// no-op, by the bounds of a check and a tenth, and against a gate that does not.
func replayLog(ctx context.Context, r *report, s *stand) error {
	plain, err := s.startGate(ctx, gateOptions{name: "plain"})
	if err != nil {
		return err
	}
	logged, err := s.startGate(ctx, gateOptions{name: "logged", more: "decisions: {file: decisions.ndjson}\n"})
	if err != nil {
		return err
	}
	noop, err := s.startStock(ctx, "noop", plain.people)
	if err != nil {
		return err
	}
	if err := logRuns(ctx, r, noop, plain, logged); err != nil {
		return err
	}
	if err := withMaps(ctx, &noop, &plain, &logged); err != nil {
		return err
	}
	return logRuns(ctx, r, noop, plain, logged)
}

func logRuns(ctx context.Context, r *report, noop, plain, logged *contender) error {
	for _, callers := range []int{1, manyCallers, 64} {
		if err := logRun(ctx, r, noop, plain, logged, callers); err != nil {
			return err
		}
	}
	return nil
}

func logRun(ctx context.Context, r *report, noop, plain, logged *contender, callers int) error {
	m, err := interleave(blocks, []*contender{noop, plain, logged}, func(c *contender) (*burst, error) {
		return c.client.run(ctx, c.calls, callers, blockTime)
	})
	if err != nil {
		return fmt.Errorf("at %d callers: %w", callers, err)
	}
	most, p99 := boundsOf(callers)
	m.costs(r, callers)
	m.cost(r, callers, logged, noop, logMay*most)
	m.times(r, callers, logged, noop, 0, logMay*p99)
	m.cost(r, callers, logged, plain, 0)
	m.times(r, callers, logged, plain, 0, 0)
	return nil
}
