package redislimit

import (
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
)

const (
	// maxKeys bounds a call: Lua's unpack takes some 8000, of which a
	// bucket needs two, and a call should
	// not hold Redis up for longer than a millisecond or so.
	maxKeys = 512
	// maxItems bounds a call too.
	maxItems = 1024
)

// batch is one call: the items it judges and the buckets they share.
type batch struct {
	items   []*item
	of      []*part // of[i] is a part that speaks of bucket i
	index   map[bucket]int32
	tables  []*table
	numbers map[string]int32 // of tables, by their first half
	taken   []int64          // what our own waiters got
	groups  []group
	// last is, by bucket, the last group that begins with it, -1 for none.
	last []int32
	wire wire
	// debts are, by bucket, what they owe after the call.
	debts []int64
}

// bucket is a table's number and a field in it.
type bucket struct {
	table int32
	field string
}

// group is a set of equal items.
type group struct {
	peek    bool
	members []*item
}

func newBatch() *batch {
	return &batch{index: make(map[bucket]int32), numbers: make(map[string]int32)}
}

// reset forgets everything but the memory.
func (b *batch) reset() {
	clear(b.items)
	clear(b.of)
	clear(b.tables)
	clear(b.index)
	clear(b.numbers)
	for i := range b.groups {
		clear(b.groups[i].members)
		b.groups[i].members = b.groups[i].members[:0]
	}
	b.items, b.of, b.tables, b.taken, b.last = b.items[:0], b.of[:0], b.tables[:0], b.taken[:0], b.last[:0]
	b.groups, b.debts = b.groups[:0], b.debts[:0]
	b.wire.reset()
}

// full says whether another item might be too much.
func (b *batch) full() bool {
	return len(b.items) >= maxItems || len(b.of)+limit.MaxCharges > maxKeys
}

// add puts an item in.
func (b *batch) add(it *item) {
	b.items = append(b.items, it)
	it.keys = it.keys[:0]
	for i := range it.parts {
		it.keys = append(it.keys, b.key(&it.parts[i]))
	}
	if it.kind == giveBack {
		return
	}
	first := it.keys[0]
	if g := b.last[first]; g >= 0 && b.groups[g].takes(it) {
		b.groups[g].members = append(b.groups[g].members, it)
		return
	}
	b.last[first] = int32(len(b.groups))
	if len(b.groups) < cap(b.groups) {
		b.groups = b.groups[:len(b.groups)+1]
	} else {
		b.groups = append(b.groups, group{})
	}
	g := &b.groups[len(b.groups)-1]
	g.peek, g.members = it.kind == look, append(g.members[:0], it)
}

// takes says whether it asks the same as the group's members.
func (g *group) takes(it *item) bool {
	m := g.members[0]
	if g.peek != (it.kind == look) || len(m.keys) != len(it.keys) {
		return false
	}
	for i := range m.keys {
		if m.keys[i] != it.keys[i] || m.parts[i].cost != it.parts[i].cost {
			return false
		}
	}
	return true
}

// key returns the number of p's bucket.
func (b *batch) key(p *part) int32 {
	id := bucket{b.number(p.table), p.field}
	if i, ok := b.index[id]; ok {
		return i
	}
	i := int32(len(b.of))
	b.index[id] = i
	b.of = append(b.of, p)
	b.wire.tableOf = append(b.wire.tableOf, id.table)
	b.taken = append(b.taken, 0)
	b.last = append(b.last, -1)
	return i
}

// number returns the number of a table, which may be there twice (see names).
func (b *batch) number(t *table) int32 {
	if len(b.tables) > 0 && b.tables[0] == t {
		return 0
	}
	n, ok := b.numbers[t.halves[0]]
	if !ok {
		n = int32(len(b.tables))
		b.numbers[t.halves[0]] = n
		b.tables = append(b.tables, t)
	}
	return n
}

// charge moves the debts on by what the item took.
func (it *item) charge(debts []int64) {
	for j, k := range it.keys {
		debts[k] += it.parts[j].cost * int64(it.parts[j].limit.Interval())
	}
}

// judge puts the answer together, from the debts after the item was judged.
func (it *item) judge(debts []int64, granted bool) {
	worst, wait := 0, int64(0)
	least, left := 0, -1
	for j, k := range it.keys {
		p := &it.parts[j]
		next := debts[k]
		if !granted {
			var retry int64
			if next, retry = p.limit.Take(0, debts[k], p.cost); retry > wait {
				worst, wait = j, retry
			}
		}
		if n := p.limit.Left(0, next); left < 0 || n < left {
			least, left = j, n
		}
	}
	at := least
	if wait > 0 {
		at = worst
	}
	p, debt := &it.parts[at], debts[it.keys[at]]
	it.spent = authz.Spent{
		Allowed:    granted || it.kind == look && wait == 0,
		Limiting:   p.lead,
		Remaining:  p.limit.Left(0, debt),
		RetryAfter: time.Duration(wait),
		Reset:      time.Duration(debt),
	}
}

// finish teaches the memory what the answer says, then wakes the waiters.
func (b *batch) finish(l *limit.Local, sent time.Time, slack time.Duration) {
	for _, it := range b.items {
		if it.kind == giveBack || !it.settle() || it.kind != take || !it.spent.Allowed {
			continue
		}
		for j, k := range it.keys {
			b.taken[k] += it.parts[j].cost
		}
	}
	short := false
	for i, p := range b.of {
		fits := int64(l.Learn(&p.charge, int(b.taken[i]), time.Duration(b.debts[i]), slack, sent))
		short = short || fits < b.taken[i]
		b.taken[i] = fits
	}
	if short {
		b.refuseMisfits()
	}
	// Nothing of b may be read once its items are woken: they are used again.
	for _, it := range b.items {
		if it.kind != giveBack && it.state.Load() == settled {
			it.done <- struct{}{}
		}
	}
}

// refuseMisfits takes back what Redis admitted although this replica remembers
// that the tokens are gone: Redis has lost them. taken is what fits.
func (b *batch) refuseMisfits() {
	for _, it := range b.items {
		if it.kind != take || !it.spent.Allowed || it.state.Load() != settled {
			continue
		}
		for j, k := range it.keys {
			p := &it.parts[j]
			if b.taken[k] < p.cost {
				wait := time.Duration(p.cost) * p.limit.Interval()
				it.spent = authz.Spent{Limiting: p.lead, RetryAfter: wait, Reset: p.limit.Fill()}
				break
			}
		}
		if it.spent.Allowed {
			for j, k := range it.keys {
				b.taken[k] -= it.parts[j].cost
			}
		}
	}
}
