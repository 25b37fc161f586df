package redislimit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
)

const (
	// maxKeys bounds a call: Lua's unpack takes some 8000, and a call should
	// not hold Redis up for longer than a millisecond or so.
	maxKeys = 512
	// maxItems bounds a call too.
	maxItems = 1024
)

// batch is one call: the items it judges and the buckets they share.
type batch struct {
	items  []*item
	keys   []string
	of     []*part // of[i] is a part that speaks of keys[i]
	index  map[string]int32
	taken  []int64 // what our own waiters got
	groups []group
	// last is, by key, the last group that begins with it, -1 for none.
	last []int32
	ints int
	body []byte
}

// group is a set of equal items.
type group struct {
	peek    bool
	members []*item
}

func newBatch() *batch { return &batch{index: make(map[string]int32)} }

// reset forgets everything but the memory.
func (b *batch) reset() {
	clear(b.items)
	clear(b.of)
	clear(b.keys)
	clear(b.index)
	for i := range b.groups {
		clear(b.groups[i].members)
		b.groups[i].members = b.groups[i].members[:0]
	}
	b.items, b.of, b.keys, b.taken, b.last = b.items[:0], b.of[:0], b.keys[:0], b.taken[:0], b.last[:0]
	b.groups, b.body, b.ints = b.groups[:0], b.body[:0], 0
}

// full says whether another item might be too much.
func (b *batch) full() bool {
	return len(b.items) >= maxItems || len(b.keys)+limit.MaxCharges > maxKeys
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

func (b *batch) key(p *part) int32 {
	if i, ok := b.index[p.redisKey]; ok {
		return i
	}
	i := int32(len(b.keys))
	b.index[p.redisKey] = i
	b.keys = append(b.keys, p.redisKey)
	b.of = append(b.of, p)
	b.taken = append(b.taken, 0)
	b.last = append(b.last, -1)
	return i
}

// encode returns the script's argument.
func (b *batch) encode() []byte {
	b.body = append(b.body[:0], 0xdd, 0, 0, 0, 0) // a msgpack array, length below
	b.ints = 0
	for _, p := range b.of {
		b.int(int64(p.limit.Interval()))
		b.int(int64(p.limit.Fill()))
	}
	b.backs()
	for i := range b.groups {
		g := &b.groups[i]
		m := g.members[0]
		if g.peek {
			b.int(0)
		} else {
			b.int(int64(len(g.members)))
		}
		b.int(int64(len(m.keys)))
		for j, k := range m.keys {
			b.int(int64(k) + 1)
			b.int(m.parts[j].cost)
		}
	}
	binary.BigEndian.PutUint32(b.body[1:], uint32(b.ints))
	return b.body
}

func (b *batch) backs() {
	n := 0
	for _, it := range b.items {
		if it.kind == giveBack {
			n += len(it.parts)
		}
	}
	b.int(int64(n))
	for _, it := range b.items {
		if it.kind != giveBack {
			continue
		}
		for j, k := range it.keys {
			p := &it.parts[j]
			b.int(int64(k) + 1)
			b.int(p.cost * int64(p.limit.Interval()))
			b.int(it.sec)
			b.int(it.nano)
		}
	}
}

// int appends a msgpack integer, n ≥ 0.
func (b *batch) int(n int64) {
	b.ints++
	if n < 128 {
		b.body = append(b.body, byte(n))
		return
	}
	b.body = append(b.body, 0xd3)
	b.body = binary.BigEndian.AppendUint64(b.body, uint64(n))
}

var errReply = errors.New("the script's answer makes no sense")

// decode gives each item its answer, but wakes nobody.
func (b *batch) decode(reply []int64) error {
	if len(reply) != 2+len(b.keys)+len(b.groups) {
		return fmt.Errorf("%w: %d numbers for %d keys and %d groups", errReply, len(reply), len(b.keys), len(b.groups))
	}
	debts, granted := reply[2:2+len(b.keys)], reply[2+len(b.keys):]
	for i, p := range b.of {
		if debts[i] < 0 || debts[i] > int64(p.limit.Fill()) {
			return fmt.Errorf("%w: a debt of %d", errReply, debts[i])
		}
	}
	for i := range b.groups {
		if granted[i] < 0 || granted[i] > int64(len(b.groups[i].members)) {
			return fmt.Errorf("%w: %d admitted of %d", errReply, granted[i], len(b.groups[i].members))
		}
	}
	for i := range b.groups {
		for j, it := range b.groups[i].members {
			it.sec, it.nano = reply[0], reply[1]
			if int64(j) < granted[i] {
				it.charge(debts)
			}
			it.judge(debts, int64(j) < granted[i])
		}
	}
	return nil
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

// finish teaches the memory what the answer says, then wakes the waiters. debts
// are those that decode left.
func (b *batch) finish(l *limit.Local, debts []int64, sent time.Time, slack time.Duration) {
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
		fits := int64(l.Learn(&p.charge, int(b.taken[i]), time.Duration(debts[i]), slack, sent))
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
