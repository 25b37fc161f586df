package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing/fstest"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/archive"
	"github.com/neosc/gate/policies"
)

// Bounds of a bundle with 10 MB of data: from the file to the first decision by
// it, with its signature verified and its tests run, and what the slowest
// decision meanwhile takes. No decision waits for an activation; this one shares
// its core with it.
const (
	maxActivate   = 3.0
	maxMeanwhile  = 20.0
	bundleTurns   = 3
	bundlePeople  = 90_000
	bundleDataLen = 10_000_000
)

// replayBundle activates bundles of the shipped rules and 10 MB of data while
// decisions are taken.
func replayBundle(ctx context.Context, r *report) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBundleBench(dir)
	if err != nil {
		return err
	}
	defer func() { _ = b.engine.Close(context.WithoutCancel(ctx)) }() // it keeps nothing
	if err := b.put(0); err != nil {
		return err
	}
	if err := b.manager.Reload(); err != nil {
		return err
	}
	var took, slowest []float64
	for turn := range bundleTurns {
		if err := b.put(turn + 1); err != nil {
			return err
		}
		seconds, longest, err := b.activate(ctx)
		if err != nil {
			return err
		}
		took, slowest = append(took, seconds), append(slowest, longest)
	}
	r.figure("bundle_10mb_activate", median(took), "s", maxActivate)
	r.figure("bundle_10mb_meanwhile", median(slowest), "ms/p999_decision", maxMeanwhile)
	return nil
}

type bundleBench struct {
	file    string
	key     archive.PrivateKey
	engine  *engine.Engine
	manager *bundles.Manager
	request *authz.Request
}

func newBundleBench(dir string) (b *bundleBench, err error) {
	b = &bundleBench{file: filepath.Join(dir, "policy.tar.gz"), request: bundleRequest()}
	private, public, err := archive.NewKey("ES256")
	if err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{"k.key": private, "k.pem": public} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	if b.key, err = archive.ReadPrivateKey(filepath.Join(dir, "k.key")); err != nil {
		return nil, err
	}
	keys, err := archive.ReadPublicKeys([]string{filepath.Join(dir, "k.pem")})
	if err != nil {
		return nil, err
	}
	if b.engine, err = engine.New(engine.Options{Machine: &engine.MachineOptions{Logger: slog.New(slog.DiscardHandler), Inputs: 500}}); err != nil {
		return nil, err
	}
	b.manager, err = bundles.New(bundles.Options{
		Engine: b.engine, Edge: benchEdge(), File: b.file, Kept: filepath.Join(dir, "kept"), Trust: &archive.Trust{Keys: keys},
		Timeout: time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	return b, err
}

func bundleRequest() *authz.Request {
	route := &authz.Route{Name: "portal", Policy: map[string]any{}}
	return &authz.Request{Time: time.Date(2026, 3, 5, 18, 0, 0, 0, time.UTC), Method: "GET", Scheme: "https", Host: "portal.kappa4.com", Path: "/", Protocol: "HTTP/2", Route: route, RouteName: "portal"}
}

// put makes and signs the bundle of a turn.
func (b *bundleBench) put(turn int) error {
	people := map[string]any{}
	for i := range bundlePeople {
		id := fmt.Sprintf("u-%06d", i)
		people[id] = map[string]any{"email": id + "@company.com", "teams": []string{"alpha", "beta"}, "seat": i, "note": "since 2024, with the customer", "turn": turn}
	}
	text, err := json.Marshal(map[string]any{"people": people})
	if err != nil {
		return err
	}
	if len(text) < bundleDataLen {
		return fmt.Errorf("the data has %d bytes only", len(text))
	}
	files := fstest.MapFS{
		"bench/data.json":        {Data: text},
		"bench/people_test.rego": {Data: []byte("package bench.people_test\n\ntest_people if count(data.bench.people) > 1000\n")},
	}
	err = fs.WalkDir(policies.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(policies.Files(), name)
		files[name] = &fstest.MapFile{Data: text}
		return err
	})
	if err != nil {
		return err
	}
	packed, err := archive.Build(files, archive.BuildOptions{Sequence: uint64(turn + 1)})
	if err != nil {
		return err
	}
	if packed, err = archive.Sign(packed, archive.SignOptions{Key: b.key, Now: time.Now()}); err != nil {
		return err
	}
	return os.WriteFile(b.file, packed, 0o600)
}

// activate reloads while one goroutine decides, and returns how many seconds it
// took and how many milliseconds one in a thousand decisions did at least.
func (b *bundleBench) activate(ctx context.Context) (seconds, slow float64, err error) {
	b.engine.Settled(ctx) // its comparison with OPA's evaluator is no part of it
	stop, done := make(chan struct{}), make(chan error, 1)
	var each []float64
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			start := time.Now()
			if _, err := b.engine.Decide(ctx, b.request); err != nil {
				done <- err
				return
			}
			each = append(each, float64(time.Since(start).Microseconds())/1000)
			time.Sleep(100 * time.Microsecond)
		}
	}()
	start := time.Now()
	err = b.manager.Reload()
	took := time.Since(start)
	close(stop)
	if e := <-done; err == nil {
		err = e
	}
	if err != nil {
		return 0, 0, err
	}
	slices.Sort(each)
	return took.Seconds(), each[len(each)-1-len(each)/1000], nil
}
