package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/test/idp/hostile"
	"github.com/neosc/gate/test/redistest"
)

const (
	signInBlocks    = 21 // the first is for warming up
	signInBlockTime = 500 * time.Millisecond
	// signInCallers are as many as are under way at 500 a second where a provider
	// and a browser take their usual tenth of a second.
	signInCallers = 32
	// signInCPU in µs is 500 sign-ins a second of one core.
	signInCPU = 2000
)

// measureSignIns has people sign in at a provider, through Envoy, at a gate with
// Redis, from the first address to the session cookie, and takes the CPU time of
// the gate's process alone, both Checks of Envoy's included. The provider, which
// signs with ES256, and the browsers are this process; Envoy and Redis are their
// own: none of their time counts.
func measureSignIns(ctx context.Context, r *report) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	redis, err := redistest.Socket()
	if err != nil {
		return err
	}
	defer func() { _ = redis.Close() }()
	world := hostile.Start()
	defer world.Close()
	issuer := world.Issuer("bench")
	bin, err := build(ctx, dir, "gate", "./cmd/gate")
	if err != nil {
		return err
	}
	if err := writeWorld(dir); err != nil {
		return err
	}
	ops, err := freeAddr()
	if err != nil {
		return err
	}
	config := fmt.Sprintf("cookie: {domain: .kappa4.com}\nlisten: {ops: %q}\nsession: {store: redis, redis: %q}\npolicy: {path: policies}\nlog: {level: error, access: log/access.log}\nproviders:\n%s", ops.String(), redis.URL, issuer.Provider(""))
	if err := os.WriteFile(filepath.Join(dir, "gate.yaml"), []byte(config), 0o600); err != nil {
		return err
	}
	// Where logs are written the gate would be told of each line, as it watches the
	// folder of its routes.
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o700); err != nil {
		return err
	}
	p, err := start(ctx, "gate-serve", dir, bin, "serve", "-config", "gate.yaml")
	if err != nil {
		return err
	}
	defer p.stop()
	g := &contender{process: p, name: "gate", dir: dir, socket: filepath.Join(dir, "run", "authz.sock"), stats: tcpClient(ops.String())}
	if err := waitFor(ctx, p, "unix", g.socket); err != nil {
		return err
	}
	// What a gate compares when it starts takes a core for seconds, once.
	if err := g.waitMachine(ctx); err != nil {
		return err
	}
	e, err := startEdge(ctx, dir, g)
	if err != nil {
		return err
	}
	defer e.stop()
	var cost []float64
	for block := range signInBlocks {
		before, err := p.cpu()
		if err != nil {
			return err
		}
		n, err := e.signIns(ctx, issuer)
		if err != nil {
			return err
		}
		after, err := p.cpu()
		if err != nil {
			return err
		}
		if block > 0 {
			cost = append(cost, float64((after-before).Nanoseconds())/1e3/float64(n))
		}
	}
	// What else the machine does can only make a block dearer.
	best := slices.Min(cost)
	r.figure("signin_cpu", best, "µs/sign-in", signInCPU)
	r.figure("signin_cpu_median", median(cost), "µs/sign-in", 0)
	r.figure("signins", 1e6/best, "sign-ins/s/core", 0)
	return nil
}

// signIns signs people in without pause for a block's time and returns how many
// it were.
func (e *edge) signIns(ctx context.Context, issuer *hostile.Issuer) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var done atomic.Int64
	var all sync.WaitGroup
	end := time.Now().Add(signInBlockTime)
	for c := range signInCallers {
		all.Go(func() {
			for n := 0; time.Now().Before(end) && ctx.Err() == nil; n++ {
				who := hostile.Person(map[string]any{"sub": fmt.Sprint("s", c, "-", n), "email": email(n)})
				if err := e.signIn(ctx, issuer, who); err != nil {
					cancel(fmt.Errorf("a sign-in: %w", err))
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return done.Load(), context.Cause(ctx)
}

func (e *edge) signIn(ctx context.Context, issuer *hostile.Issuer, who map[string]any) error {
	out, err := e.navigate(ctx, "https://gate.kappa4.com/oauth2/sign_in?"+url.Values{"provider": {issuer.ID}, "rd": {"https://portal.kappa4.com/"}}.Encode(), nil)
	if err != nil {
		return err
	}
	callback, err := issuer.Authorize(out.Header.Get("Location"), who)
	if err != nil {
		return err
	}
	back, err := e.navigate(ctx, callback, out.Cookies())
	if err != nil {
		return err
	}
	for _, c := range back.Cookies() {
		if c.Name == "_pomerium" && c.Value != "" && back.StatusCode == http.StatusSeeOther {
			return nil
		}
	}
	return errors.New("the callback answered " + back.Status)
}

// navigate asks as a browser does that holds some cookies. Envoy is asked in
// plain HTTP, whatever the address says.
func (e *edge) navigate(ctx context.Context, address string, cookies []*http.Cookie) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http"+strings.TrimPrefix(address, "https"), nil)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"} {
		req.Header.Set(name, value)
	}
	for _, c := range cookies {
		req.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}
