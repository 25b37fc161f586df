package redislimit_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
)

func TestAnswersMatchTheLimit(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, patient(startRedis(t)))
	slow := authz.Charge{Name: "user", Key: "a:b", Rate: 0.1, Burst: 20, Cost: 1} // 10 s a token
	for i := range 20 {
		s := spend(t, l, slow)
		if !s.Allowed || s.Remaining != 19-i || s.Limiting != 0 || s.RetryAfter != 0 {
			t.Fatalf("request %d: %+v", i, s)
		}
		if full := time.Duration(i+1) * 10 * time.Second; s.Reset > full || s.Reset < full-5*time.Second {
			t.Fatalf("request %d: full again in %v, want about %v", i, s.Reset, full)
		}
	}
	if s := spend(t, l, slow); s.Allowed || s.RetryAfter > 11*time.Second || s.RetryAfter < 5*time.Second {
		t.Errorf("request 21: %+v", s)
	}
	for _, other := range []authz.Charge{
		{Name: "user:a", Key: "b", Rate: 0.1, Burst: 20, Cost: 1},
		{Name: "user", Key: "a:b", Rate: 0.1, Burst: 19, Cost: 1},
		{Name: "user", Key: "a:b", Rate: 0.2, Burst: 20, Cost: 1},
		{Name: "use", Key: "r:a:b", Rate: 0.1, Burst: 20, Cost: 1},
	} {
		if s := spend(t, l, other); !s.Allowed || s.Remaining != other.Burst-1 {
			t.Errorf("%+v shares the bucket: %+v", other, s)
		}
	}
}

func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	l, fresh := newLimiter(t, patient(srv)), newLimiter(t, patient(srv))
	a := authz.Charge{Name: "user", Key: "a", Rate: 0.01, Burst: 20, Cost: 1}
	o := authz.Charge{Name: "org", Key: "o", Rate: 0.01, Burst: 3, Cost: 1}
	for i := range 5 {
		s := spend(t, l, a, o)
		if s.Allowed != (i < 3) || s.Limiting != 1 {
			t.Fatalf("request %d: %+v", i, s)
		}
	}
	// A limiter without memory asks Redis.
	if s := spend(t, fresh, a, o); s.Allowed || s.Limiting != 1 || s.RetryAfter < 90*time.Second || s.RetryAfter > 100*time.Second {
		t.Errorf("%+v, want the organization to refuse for 100s", s)
	}
	if s := spend(t, fresh, a); !s.Allowed || s.Remaining != 16 {
		t.Errorf("%+v, want 16 left: refused requests charged nothing", s)
	}
	double := a
	double.Cost = 9
	if s := spend(t, fresh, double, double); s.Allowed || s.RetryAfter < 190*time.Second {
		t.Errorf("two charges on one bucket: %+v, want refused for 200s", s)
	}
	peek := a
	peek.Cost = 0
	if s := spend(t, fresh, peek); !s.Allowed || s.Remaining != 16 {
		t.Errorf("a look: %+v, want 16 left", s)
	}
}

// TestThreeLimitersShareOneRate: 100 requests a second over three limiters get
// 20 + 10 a second, not one more or less.
func TestThreeLimitersShareOneRate(t *testing.T) {
	t.Parallel()
	exactly(t, patient(startRedis(t)), 2*time.Second)
}

func TestManyCallersShareCalls(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	l := newLimiter(t, patient(srv))
	c := authz.Charge{Name: "user", Key: "hot", Rate: 0.001, Burst: 500, Cost: 1}
	var admitted atomic.Int64
	var wg sync.WaitGroup
	before := calls(t, srv)
	for g := range 64 {
		wg.Go(func() {
			for i := range 50 {
				cs := []authz.Charge{c}
				if (g+i)%3 == 0 {
					cs = append(cs, user(fmt.Sprint(g, i)))
				}
				s, err := l.Spend(context.Background(), time.Time{}, cs)
				if err != nil {
					t.Error(err)
				}
				if s.Allowed {
					admitted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := admitted.Load(); n != 500 {
		t.Errorf("%d of 3200 admitted, want the burst of 500", n)
	}
	if n := calls(t, srv) - before; n > 1600 {
		t.Errorf("%d calls for 3200 requests; at 64 callers they should share", n)
	}
}

func TestDenialsAreRemembered(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	l := newLimiter(t, patient(srv))
	c := authz.Charge{Name: "user", Key: "a", Rate: 0.01, Burst: 2, Cost: 1}
	spend(t, l, c)
	spend(t, l, c)
	before := calls(t, srv)
	for range 101 {
		if s := spend(t, l, c); s.Allowed {
			t.Fatal("admitted")
		}
	}
	if n := calls(t, srv) - before; n != 0 {
		t.Errorf("%d calls for what was known, want none", n)
	}
	// What was promised holds, although it was not Redis that promised it.
	c.Rate = 2
	var s authz.Spent
	for s = spend(t, l, c); s.Allowed; {
		s = spend(t, l, c)
	}
	time.Sleep(s.RetryAfter)
	if s := spend(t, l, c); !s.Allowed {
		t.Errorf("after waiting as told: %+v", s)
	}
}

func TestTablesExpireAndCarryTags(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	l := newLimiter(t, patient(srv))
	spend(t, l, authz.Charge{Name: "user", Key: "alice", Rate: 0.1, Burst: 20, Cost: 1})
	c := client(t, srv)
	keys, err := c.Keys(t.Context(), "gate:limit:*user*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	var tag, half int
	if _, err := fmt.Sscanf(keys[0], "gate:limit:{%02d}10000000000:20:user:%d", &tag, &half); err != nil {
		t.Errorf("key %q: %v", keys[0], err)
	}
	if !c.HExists(t.Context(), keys[0], ".alice").Val() {
		t.Error("alice's bucket is not in it")
	}
	if ttl := c.PTTL(t.Context(), keys[0]).Val(); ttl > 600*time.Second || ttl < 400*time.Second {
		t.Errorf("expires in %v, want thrice the 200s that a bucket takes to fill", ttl)
	}
}

// TestOldHalvesAreDropped: a half that is two spans old is emptied, however long
// it would live by itself, and what the half before says still counts.
func TestOldHalvesAreDropped(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	c := client(t, srv)
	l := newLimiter(t, patient(srv))
	one := authz.Charge{Name: "n", Key: "k", Rate: 0.001, Burst: 2, Cost: 1} // a span of 2000 s
	spend(t, l, one)
	keys, _ := c.Keys(t.Context(), "gate:limit:*:n:*").Result()
	if len(keys) != 1 {
		t.Fatal(keys)
	}
	gen, err := c.HGet(t.Context(), keys[0], "g").Int64()
	must(t, err)
	other := keys[0][:len(keys[0])-1] + strconv.Itoa(int(gen+1)%2)
	// A span later: the other half comes into use, with stale things in it.
	must(t, c.HSet(t.Context(), other, "g", gen-3, ".stale", "x").Err())
	must(t, c.HSet(t.Context(), keys[0], "g", gen-1).Err())
	must(t, c.Rename(t.Context(), keys[0], "moved").Err())
	must(t, c.Rename(t.Context(), other, keys[0]).Err())
	must(t, c.Rename(t.Context(), "moved", other).Err())
	must(t, c.HSet(t.Context(), keys[0], "g", gen-2).Err())
	fresh := newLimiter(t, patient(srv))
	if s := spend(t, fresh, one); !s.Allowed || s.Remaining != 0 {
		t.Errorf("%+v, want the second and last token", s)
	}
	if c.HExists(t.Context(), keys[0], ".stale").Val() || !c.HExists(t.Context(), keys[0], ".k").Val() {
		t.Errorf("the half in use has %v", c.HKeys(t.Context(), keys[0]).Val())
	}
	if ttl := c.TTL(t.Context(), keys[0]).Val(); ttl < 4000*time.Second {
		t.Errorf("it lives for %v", ttl)
	}
}

func TestForeignValuesCountAsEmptyBuckets(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	c := client(t, srv)
	l := newLimiter(t, patient(srv))
	one := authz.Charge{Name: "n", Key: "k", Rate: 0.1, Burst: 2, Cost: 1}
	spend(t, l, one)
	keys, _ := c.Keys(t.Context(), "gate:limit:*:n:*").Result()
	if len(keys) != 1 {
		t.Fatal(keys)
	}
	for name, v := range map[string]string{"Text": "not eight", "FarFuture": "\xff\xff\xff\xff\x00\x00\x00\x00"} {
		if err := c.HSet(t.Context(), keys[0], ".k", v).Err(); err != nil {
			t.Fatal(err)
		}
		fresh := newLimiter(t, patient(srv))
		if s := spend(t, fresh, one); s.Allowed || s.RetryAfter > 10*time.Second {
			t.Errorf("%s: %+v, want refused for at most one token's time", name, s)
		}
	}
}
