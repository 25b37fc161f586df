package redislimit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
	"github.com/neosc/gate/test/redistest"
)

// rig is a real Redis to run the script on.
type rig struct {
	run runner
	c   *redis.Client
	n   int
}

func newRig(t *testing.T) *rig {
	srv, err := redistest.Socket()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	run, err := connect(Options{URL: "unix://" + srv.Addr, Budget: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Close() })
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: srv.Addr})
	t.Cleanup(func() { _ = c.Close() })
	return &rig{run: run, c: c}
}

func drawPart(t *rapid.T, prefix string) part {
	rate := rapid.OneOf(rapid.Float64Range(0.001, 1e6), rapid.SampledFrom([]float64{1.0 / 7, 3, 999_999, 1e6})).Draw(t, "rate")
	burst := rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, limit.MaxBurst)).Draw(t, "burst")
	l, err := limit.NewLimit(rate, burst)
	if err != nil { // it would fill too slowly
		rate, burst = 1, 1
		if l, err = limit.NewLimit(rate, burst); err != nil {
			t.Fatal(err)
		}
	}
	c := authz.Charge{Name: "n", Key: rapid.StringMatching(`[a-z:{}]{0,6}`).Draw(t, "key"), Rate: rate, Burst: burst}
	return (&names{prefix: prefix, lanes: 1}).part(&c, l, 0)
}

// TestScriptIsGCRA: on batches of requests with several charges, over buckets in
// arbitrary states, the script admits what limit.Take admits one by one, and
// leaves the states that it leaves.
func TestScriptIsGCRA(t *testing.T) {
	r := newRig(t)
	rapid.Check(t, func(t *rapid.T) {
		r.n++
		prefix := fmt.Sprintf("t%d:", r.n)
		pool := make([]part, rapid.IntRange(1, 4).Draw(t, "buckets"))
		for i := range pool {
			pool[i] = drawPart(t, prefix)
			r.preset(t, pool[i])
		}
		b := newBatch()
		for range rapid.IntRange(1, 12).Draw(t, "items") {
			b.add(drawItem(t, pool))
		}
		text, err := r.run.run(context.Background(), b.encode())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.decode(text); err != nil {
			t.Fatal(err)
		}
		reply, debts := b.wire.reply, make([]int64, len(b.of))
		for i := range b.of {
			debts[i] = reply[1+b.wire.at[i]]
		}
		for _, g := range b.groups {
			for _, it := range g.members {
				checkItem(t, it, debts)
			}
		}
		for i, p := range b.of {
			r.checkState(t, p, reply[0], reply[1], debts[i])
		}
	})
}

// preset puts a bucket into some state: absent, full long ago, or with a debt;
// in this generation of its table, the one before, or in one to come, as after
// the clock was set back.
func (r *rig) preset(t *rapid.T, p part) {
	fill := int64(p.limit.Fill())
	debt := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(-1e9, fill), rapid.Int64Range(max(0, fill-3*int64(p.limit.Interval())), fill)).Draw(t, "debt")
	if debt == 0 {
		return
	}
	now := time.Now()
	gen := now.Unix() / p.table.span
	if in := now.Unix() % p.table.span; in > 0 && in < p.table.span-1 { // it will not end before the script has run
		gen += int64(rapid.SampledFrom([]int{0, 0, 0, -1, 1, 2, 3, 1000}).Draw(t, "generation"))
	}
	tat := now.UnixNano() + debt
	v := binary.BigEndian.AppendUint32(nil, uint32(tat/1e9))
	v = binary.BigEndian.AppendUint32(v, uint32(tat%1e9))
	if err := r.c.HSet(context.Background(), p.table.halves[gen%2], "g", gen, p.field, v).Err(); err != nil {
		t.Fatal(err)
	}
}

func drawItem(t *rapid.T, pool []part) *item {
	it := &item{kind: rapid.SampledFrom([]kind{take, take, take, look}).Draw(t, "kind")}
	seen := map[string]bool{}
	for range rapid.IntRange(1, len(pool)).Draw(t, "parts") {
		p := pool[rapid.IntRange(0, len(pool)-1).Draw(t, "bucket")]
		if name := p.table.halves[0] + p.field; seen[name] {
			continue
		} else {
			seen[name] = true
		}
		p.lead = len(it.parts)
		p.cost = int64(rapid.OneOf(rapid.IntRange(0, min(3, p.limit.Burst())), rapid.IntRange(0, p.limit.Burst())).Draw(t, "cost"))
		it.parts = append(it.parts, p)
	}
	return it
}

// checkItem judges one item with limit.Take and moves the debts on.
func checkItem(t *rapid.T, it *item, debts []int64) {
	var wait int64
	for j, k := range it.keys {
		_, retry := it.parts[j].limit.Take(0, debts[k], it.parts[j].cost)
		wait = max(wait, retry)
	}
	if it.spent.Allowed != (wait == 0) || int64(it.spent.RetryAfter) != wait {
		t.Fatalf("the script says %+v, GCRA says wait %d", it.spent, wait)
	}
	least := -1
	for j, k := range it.keys {
		p := &it.parts[j]
		if wait == 0 && it.kind == take {
			debts[k] += p.cost * int64(p.limit.Interval())
		}
		if left := p.limit.Left(0, debts[k]); least < 0 || left < least {
			least = left
		}
	}
	if wait == 0 && it.kind == take && it.spent.Remaining != least {
		t.Fatalf("%d left, GCRA says %d", it.spent.Remaining, least)
	}
}

// checkState reads a bucket back, from the newer half of its table. The server's
// clock may have run on.
func (r *rig) checkState(t *rapid.T, p *part, sec, nano, debt int64) {
	var v string
	newest := int64(-1)
	for _, half := range p.table.halves {
		m, err := r.c.HGetAll(context.Background(), half).Result()
		if err != nil {
			t.Fatal(err)
		}
		if gen, err := strconv.ParseInt(m["g"], 10, 64); err == nil && m[p.field] != "" && gen > newest {
			newest, v = gen, m[p.field]
		}
		if ttl := r.c.TTL(context.Background(), half).Val(); len(m) > 0 && newest >= 0 && ttl > time.Duration(3*p.table.span)*time.Second {
			t.Fatalf("half a table lives for %v, its span is %d s", ttl, p.table.span)
		}
	}
	if v == "" && debt == 0 {
		return
	}
	if len(v) != 8 {
		t.Fatalf("a debt of %d is kept as %q", debt, v)
	}
	got := (int64(binary.BigEndian.Uint32([]byte(v)))-sec)*1e9 + int64(binary.BigEndian.Uint32([]byte(v)[4:])) - nano
	if max(0, got) != debt {
		t.Fatalf("the bucket's debt is %d, want %d", got, debt)
	}
}

// TestGiveBackNeverMakesRoom: what is given back is what was taken, less what
// has trickled back since.
func TestGiveBackNeverMakesRoom(t *testing.T) {
	r := newRig(t)
	c := authz.Charge{Name: "n", Key: "k", Rate: 10, Burst: 20}
	l, err := limit.NewLimit(c.Rate, c.Burst)
	if err != nil {
		t.Fatal(err)
	}
	judge := func(items ...*item) []int64 {
		t.Helper()
		b := newBatch()
		for _, it := range items {
			b.add(it)
		}
		reply, err := r.run.run(t.Context(), b.encode())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.decode(reply); err != nil {
			t.Fatal(err)
		}
		return b.wire.reply
	}
	p := (&names{prefix: "g:", lanes: 1}).part(&c, l, 0)
	p.cost = 20
	taken := &item{kind: take, parts: []part{p}}
	reply := judge(taken)
	if !taken.spent.Allowed {
		t.Fatalf("%+v", taken.spent)
	}
	at := time.Unix(reply[0], reply[1])
	after := judge(
		&item{kind: giveBack, parts: []part{p}, sec: reply[0], nano: reply[1]},
		&item{kind: look, parts: []part{p}})
	since := time.Unix(after[0], after[1]).Sub(at)
	// 2 s were taken; what trickled back is in the debt already, so it must not
	// be given back again: the bucket is full but for that.
	if debt := time.Duration(after[2]); debt != 0 && debt > since {
		t.Errorf("%v of debt are left %v after all was given back", debt, since)
	}
	// Long after, nothing is left to give back.
	p.cost = 1
	one := &item{kind: take, parts: []part{p}}
	again := judge(one)
	late := judge(
		&item{kind: giveBack, parts: []part{p}, sec: reply[0] - 3, nano: reply[1]},
		&item{kind: look, parts: []part{p}})
	since = time.Unix(late[0], late[1]).Sub(time.Unix(again[0], again[1]))
	if debt := time.Duration(late[2]); debt < 100*time.Millisecond-since {
		t.Errorf("a late give-back left a debt of %v, another's charge of 100ms is lost", debt)
	}
}

func TestAbsurdRepliesAreErrors(t *testing.T) {
	c := authz.Charge{Name: "n", Key: "k", Rate: 10, Burst: 20}
	for name, reply := range map[string]string{
		"Empty":        "",
		"NoInts":       "\x90",
		"Short":        "\x93\x01\x02\x00",
		"NegativeDebt": "\x94\x01\x02\xff\x01",
		"HugeDebt":     "\x94\x01\x02\xce\x77\x35\x94\x01\x01",
		"BeyondDouble": "\x94\x01\x02\xcf\x80\x00\x00\x00\x00\x00\x00\x00\x01",
		"Negative":     "\x94\x01\x02\x00\xff",
		"TooMany":      "\x94\x01\x02\x00\x02",
		"Cut":          "\x94\x01\x02\x00\xcd\x01",
		"CutLength":    "\xdc\x00",
		"More":         "\x94\x01\x02\x00\x01\x00",
		"Float":        "\x94\x01\x02\x00\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",
	} {
		l, err := limit.NewLimit(c.Rate, c.Burst)
		if err != nil {
			t.Fatal(err)
		}
		b := newBatch()
		b.add(&item{parts: []part{(&names{lanes: 1}).part(&c, l, 0)}})
		b.encode()
		if err := b.decode(reply); !errors.Is(err, errReply) {
			t.Errorf("%s: %v, want errReply", name, err)
		}
	}
}

// TestBatchesAreBounded: however much waits, a call stays within what Redis
// takes at once, and a batch that is used again remembers nothing.
func TestBatchesAreBounded(t *testing.T) {
	r := newRig(t)
	b, ns := newBatch(), &names{prefix: "b:", lanes: 1}
	for round := range 2 {
		items := 0
		for i := 0; !b.full(); i++ {
			it := &item{kind: take}
			for j := range limit.MaxCharges {
				c := authz.Charge{Name: "n", Key: fmt.Sprint(round, i, j), Rate: 10, Burst: 20}
				l, err := limit.NewLimit(c.Rate, c.Burst)
				if err != nil {
					t.Fatal(err)
				}
				p := ns.part(&c, l, j)
				p.cost = 1
				it.parts = append(it.parts, p)
			}
			b.add(it)
			items++
		}
		if len(b.of) > maxKeys || items < maxKeys/limit.MaxCharges-1 {
			t.Errorf("%d buckets of %d items", len(b.of), items)
		}
		reply, err := r.run.run(t.Context(), b.encode())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.decode(reply); err != nil {
			t.Fatal(err)
		}
		for _, it := range b.items {
			if !it.spent.Allowed || it.spent.Remaining != 19 {
				t.Fatalf("round %d: %+v", round, it.spent)
			}
		}
		b.reset()
	}
}
