package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/test/idp/hostile"
	"github.com/neosc/gate/test/kit"
	"github.com/neosc/gate/test/redistest"
)

// pair is two gates, behind an Envoy each, over one Redis and one cookie key
// file, with one provider.
type pair struct {
	edges   [2]*kit.Edge
	gates   [2]*kit.Server
	clients [2]*http.Client
	issuer  *hostile.Issuer
	ring    string
}

func startPair(t *testing.T) *pair {
	t.Helper()
	world := hostile.Start()
	t.Cleanup(world.Close)
	redis, err := redistest.Socket()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() })
	dir := filepath.Join(t.TempDir(), "policies")
	if err := kit.WritePolicies(dir); err != nil {
		t.Fatal(err)
	}
	p := &pair{issuer: world.Issuer("good")}
	for i := range p.edges {
		e := kit.StartEdge(t)
		e.Configure(t, fmt.Sprintf("policy: {path: %q}\nsession: {store: redis, redis: %q}\nproviders:\n%s", dir, redis.URL, p.issuer.Provider("")))
		file := filepath.Join(e.Dir, "cookie-keys.yaml")
		if i == 0 {
			p.ring = file
		} else if err := os.Symlink(p.ring, file); err != nil {
			t.Fatal(err)
		}
		p.edges[i], p.gates[i], p.clients[i] = e, e.Serve(t), e.Client(t)
	}
	return p
}

// load is traffic of three kinds at both gates: people who are signed in, access
// tokens, each new after a few requests, and sign-ins from the first step to the
// portal.
func (p *pair) load(t *testing.T, cookies []string) (x *traffic, signIns *[2]atomic.Int64, last *atomic.Pointer[string]) {
	ctx, cancel := context.WithCancel(t.Context())
	x, signIns, last = &traffic{end: cancel}, new([2]atomic.Int64), new(atomic.Pointer[string])
	t.Cleanup(x.stop)
	for g, e := range p.edges {
		ask := func(header, value string) {
			req, err := http.NewRequest(http.MethodGet, e.Origin("portal")+"/", nil)
			if err != nil {
				return
			}
			req.Header.Set(header, value)
			req.Header.Set("Accept", "application/json")
			x.one(p.clients[g], req)
		}
		x.all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				ask("Cookie", "_pomerium="+cookies[n%len(cookies)])
			}
		})
		x.all.Go(func() {
			for token, n := "", 0; ctx.Err() == nil; n++ {
				if n%4 == 0 {
					token = p.issuer.AccessToken(nil)
				}
				ask("Authorization", "Bearer "+token)
			}
		})
		x.all.Go(func() {
			for ctx.Err() == nil {
				v := newVisitor(t, e, p.clients[g])
				reply, err := v.signsIn(p.issuer, hostile.Person(nil))
				if err == nil && reply.StatusCode != http.StatusOK {
					err = fmt.Errorf("%s %.300s", reply.Status, reply.Text)
				}
				x.asked.Add(1)
				if err != nil {
					x.note("a sign-in: " + err.Error())
					continue
				}
				signIns[g].Add(1)
				value := v.session()
				last.Store(&value)
				ask("Cookie", "_pomerium="+value)
			}
		})
	}
	return x, signIns, last
}

// TestKeysRotateUnderLoad: the provider's and the cookie's, twice each. Nobody
// is refused a request, and nobody is logged out.
func TestKeysRotateUnderLoad(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	var cookies []string
	for i := range 8 {
		v := newVisitor(t, p.edges[i%2], p.clients[i%2])
		if reply, err := v.signsIn(p.issuer, hostile.Person(map[string]any{"sub": fmt.Sprint("early", i)})); err != nil || reply.StatusCode != http.StatusOK {
			t.Fatalf("%v %+v", err, reply)
		}
		cookies = append(cookies, v.session())
	}
	x, signIns, last := p.load(t, cookies)
	x.more(t, 50)
	const pause = 11 * time.Second // unknown keys are asked for at most every ten
	quiet := time.Now().Add(pause)
	for round := range 2 {
		key, err := cookie.Rotate(p.ring, time.Now(), time.Now().Add(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range p.gates {
			g.Hangup(t)
		}
		within(t, time.Minute, "new sessions are sealed with the new cookie key", func() bool {
			v := last.Load()
			return v != nil && strings.HasPrefix(*v, "v1."+key.ID+".")
		})
		within(t, 30*time.Second, "the provider's keys may be asked for again", func() bool { return time.Now().After(quiet) })
		before := p.issuer.Calls("keys")
		p.issuer.Rotate(1)
		now := [2]int64{signIns[0].Load(), signIns[1].Load()}
		within(t, time.Minute, "people sign in at both gates under the new key", func() bool {
			return signIns[0].Load() >= now[0]+3 && signIns[1].Load() >= now[1]+3
		})
		x.more(t, 100)
		quiet = time.Now().Add(pause)
		// Each of two gates has two uses for keys, and asks once for each.
		if n := p.issuer.Calls("keys") - before; n < 2 || n > 4 {
			t.Errorf("round %d: the keys were fetched %d times, want 2 to 4", round, n)
		}
	}
	x.stop()
	if len(x.wrong) > 0 || x.late.Load() > x.mostLate() {
		t.Errorf("%d of %d requests failed and %d waited too long: %s", len(x.wrong), x.asked.Load(), x.late.Load(), x.wrong)
	}
	for i, value := range cookies {
		v := newVisitor(t, p.edges[i%2], p.clients[i%2])
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.e.Origin("portal")+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", "_pomerium="+value)
		if reply, err := read(v.Do(req)); err != nil || reply.StatusCode != http.StatusOK {
			t.Errorf("a session of before the rotations: %v %+v", err, reply)
		}
	}
	t.Logf("%d requests, %d sign-ins, none failed", x.asked.Load(), signIns[0].Load()+signIns[1].Load())
}
