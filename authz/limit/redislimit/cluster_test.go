package redislimit_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit/redislimit"
	"github.com/neosc/gate/test/redistest"
)

// startCluster runs three masters that share the slots.
func startCluster(t *testing.T) (nodes []*redistest.Server, url string) {
	t.Helper()
	ctx := t.Context()
	const slots = 16384
	for i := range 3 {
		s, err := redistest.TCP("--cluster-enabled", "yes", "--cluster-port", "PORT+1", "--cluster-node-timeout", "2000")
		must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		nodes = append(nodes, s)
		c := client(t, s)
		must(t, c.ClusterAddSlotsRange(ctx, i*slots/3, (i+1)*slots/3-1).Err())
		must(t, c.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
		if i > 0 {
			must(t, c.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", nodes[0].Port, nodes[0].Port+1).Err())
		}
	}
	eventually(t, "the cluster agrees", func() bool {
		for _, s := range nodes {
			info, err := client(t, s).ClusterInfo(ctx).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3") {
				return false
			}
		}
		return true
	})
	return nodes, fmt.Sprintf("redis://%s?addr=%s", nodes[0].Addr, nodes[1].Addr)
}

func TestCluster(t *testing.T) {
	t.Parallel()
	nodes, url := startCluster(t)
	o := redislimit.Options{URL: url, Mode: redislimit.Cluster, Budget: time.Second}
	t.Run("ChargesUnderSeveralTags", func(t *testing.T) { severalTags(t, o, nodes) })
	t.Run("RefusalsPromiseForAllTags", func(t *testing.T) { promisesForAll(t, o) })
	t.Run("ThreeLimitersShareOneRate", func(t *testing.T) { exactly(t, o, time.Second) })
	o.Budget = redislimit.DefaultBudget
	t.Run("OneNodeGone", func(t *testing.T) { oneNodeGone(t, o, nodes[2]) })
}

// severalTags: all or nothing holds across nodes, and what was taken first is
// given back.
func severalTags(t *testing.T, o redislimit.Options, nodes []*redistest.Server) {
	l := newLimiter(t, o)
	principal := authz.Charge{Name: "user", Key: "p", Rate: 0.01, Burst: 2, Cost: 1}
	for i := range 40 { // addresses under many tags
		a := authz.Charge{Name: "address", Key: fmt.Sprint("192.0.2.", i), Rate: 0.01, Burst: 5, Cost: 1}
		s := spend(t, l, principal, a)
		if s.Allowed != (i < 2) || s.Limiting != 0 {
			t.Fatalf("request %d: %+v", i, s)
		}
		if i < 2 {
			continue
		}
		a.Cost = 0
		if s := spend(t, l, a); s.Remaining != 5 {
			t.Errorf("address %d has %d left, want 5", i, s.Remaining)
		}
	}
	// The memory of l refused those. A limiter without memory takes the address
	// first and gives it back.
	for i := range 10 {
		fresh := newLimiter(t, o)
		a := authz.Charge{Name: "address", Key: fmt.Sprint("198.51.100.", i), Rate: 0.01, Burst: 5, Cost: 2}
		if s := spend(t, fresh, principal, a); s.Allowed || s.Limiting != 0 {
			t.Fatalf("fresh %d: %+v", i, s)
		}
		a.Cost = 0
		eventually(t, "the address is given back", func() bool {
			s := spend(t, fresh, a)
			// All but what trickled back meanwhile: 5, less a few milliseconds' worth.
			return s.Remaining >= 4 && s.Reset < 10*time.Second
		})
	}
	used := 0
	for _, n := range nodes {
		if calls(t, n) > 0 {
			used++
		}
	}
	if used < 2 {
		t.Errorf("%d nodes were asked, want several", used)
	}
}

// promisesForAll: the time to wait holds for the charge that is judged last,
// too.
func promisesForAll(t *testing.T, o redislimit.Options) {
	first := authz.Charge{Name: "slow", Key: "first", Rate: 0.01, Burst: 1, Cost: 1}
	second := authz.Charge{Name: "fast", Key: "second", Rate: 0.1, Burst: 1, Cost: 1}
	l := newLimiter(t, o)
	spend(t, l, first)
	spend(t, l, second)
	if s := spend(t, newLimiter(t, o), first, second); s.Allowed || s.Limiting != 0 || s.RetryAfter < 90*time.Second {
		t.Errorf("%+v, want the slow limit's 100s", s)
	}
}

// oneNodeGone: the other nodes' tags go on, its own are taken over.
func oneNodeGone(t *testing.T, o redislimit.Options, gone *redistest.Server) {
	var ls []*redislimit.Limiter
	for range 5 {
		ls = append(ls, newLimiter(t, o))
	}
	must(t, gone.Stop())
	withinBudget(t, func() (longest time.Duration) {
		l := ls[0]
		ls = ls[1:]
		for i := range 300 {
			from := time.Now()
			if s := spend(t, l, user(fmt.Sprint("gone", len(ls), i))); !s.Allowed {
				t.Fatalf("request %d: %+v", i, s)
			}
			longest = max(longest, time.Since(from))
		}
		if l.Trouble() == nil {
			t.Error("no shard is passed by")
		}
		return longest
	})
}

// TestSentinelFailover: the master dies under load and its replica takes over.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	withinBudget(t, func() time.Duration { return failover(t) })
}

func failover(t *testing.T) (longest time.Duration) {
	master, err := redistest.TCP("--repl-diskless-sync-delay", "0")
	must(t, err)
	t.Cleanup(func() { _ = master.Close() })
	replica, err := redistest.TCP("--replicaof", "127.0.0.1 "+strconv.Itoa(master.Port), "--repl-diskless-sync-delay", "0")
	must(t, err)
	t.Cleanup(func() { _ = replica.Close() })
	m, r := client(t, master), client(t, replica)
	eventually(t, "the replica is in step", func() bool {
		return strings.Contains(m.Info(t.Context(), "replication").Val(), "state=online")
	})
	sentinel, err := redistest.Sentinel(master)
	must(t, err)
	t.Cleanup(func() { _ = sentinel.Close() })
	watch := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr})
	t.Cleanup(func() { _ = watch.Close() })
	eventually(t, "Sentinel knows the replica", func() bool {
		rs, err := watch.Replicas(t.Context(), "main").Result()
		return err == nil && len(rs) == 1 && rs[0]["flags"] == "slave"
	})
	o := redislimit.Options{URL: "redis://" + sentinel.Addr + "?master_name=main", Mode: redislimit.Sentinel}
	ls := []*redislimit.Limiter{newLimiter(t, o), newLimiter(t, o)}
	c := authz.Charge{Name: "user", Key: "a", Rate: 20, Burst: 10, Cost: 1}
	var a admissions
	stop := make(chan struct{})
	wg := a.load(ls, c, 10*time.Millisecond, stop)
	time.Sleep(200 * time.Millisecond) // load before the fault
	must(t, master.Stop())
	eventually(t, "the replica is master", func() bool {
		return strings.Contains(r.Info(context.Background(), "replication").Val(), "role:master")
	})
	before := calls(t, replica)
	eventually(t, "the limiters have found it", func() bool {
		return ls[0].Trouble() == nil && ls[1].Trouble() == nil && calls(t, replica) > before+4
	})
	time.Sleep(300 * time.Millisecond) // load after the fault
	close(stop)
	wg.Wait()
	// Both replicas of the gate may admit the rate while Redis is away.
	a.check(t, 2*c.Rate, 2*float64(c.Burst), 2*c.Rate*redislimit.DefaultBudget.Seconds())
	if len(a.errs) > 0 {
		t.Errorf("%d decisions lost: %v", len(a.errs), a.errs)
	}
	return a.longest
}
