package redislimit

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// wire is a call on the wire: what the script is asked and what it answers.
type wire struct {
	args    []any
	body    []byte
	ints    int
	tableOf []int32 // by bucket, its table's number
	// at is, by bucket, its number in the call, from 1: there the buckets of
	// one table lie together.
	at     []int32
	counts []int32
	reply  []int64
}

func (w *wire) reset() {
	clear(w.args)
	w.args, w.body, w.ints = w.args[:0], w.body[:0], 0
	w.tableOf, w.at, w.counts, w.reply = w.tableOf[:0], w.at[:0], w.counts[:0], w.reply[:0]
}

// The command and the script's name or text come first, see eval.
const (
	argCommand = iota
	argScript
	argKeys // how many
	argFirst
)

// encode returns the call's arguments but for the first two. Strings are passed
// by pointer: as values each would be copied to the heap.
func (b *batch) encode() []any {
	w := &b.wire
	b.order()
	w.args = append(w.args[:0], nil, nil, 2*len(b.tables))
	for _, t := range b.tables {
		w.args = append(w.args, &t.halves[0], &t.halves[1])
	}
	w.body = append(w.body[:0], 0xdd, 0, 0, 0, 0) // a msgpack array, length below
	w.ints = 0
	w.int(int64(len(b.tables)))
	body := len(w.args) // and the fields behind it
	w.args = append(w.args, make([]any, 1+len(b.of))...)
	limits := make([]*part, len(b.tables))
	for i, p := range b.of {
		limits[w.tableOf[i]] = p
		w.args[body+int(w.at[i])] = &p.field
	}
	for i, t := range b.tables {
		w.int(int64(limits[i].limit.Interval()))
		w.int(int64(limits[i].limit.Fill()))
		w.int(t.span)
		w.int(int64(w.counts[i]))
	}
	b.backs()
	for i := range b.groups {
		b.group(&b.groups[i])
	}
	binary.BigEndian.PutUint32(w.body[1:], uint32(w.ints))
	w.args[body] = w.body
	return w.args
}

// order numbers the buckets.
func (b *batch) order() {
	w := &b.wire
	w.counts = append(w.counts[:0], make([]int32, len(b.tables))...)
	for _, t := range w.tableOf {
		w.counts[t]++
	}
	next := make([]int32, len(b.tables))
	from := int32(1)
	for t, n := range w.counts {
		next[t], from = from, from+n
	}
	w.at = w.at[:0]
	for _, t := range w.tableOf {
		w.at = append(w.at, next[t])
		next[t]++
	}
}

func (b *batch) group(g *group) {
	w, m := &b.wire, g.members[0]
	if g.peek {
		w.int(0)
	} else {
		w.int(int64(len(g.members)))
	}
	w.int(int64(len(m.keys)))
	for j, k := range m.keys {
		w.int(int64(w.at[k]))
		w.int(m.parts[j].cost)
	}
}

func (b *batch) backs() {
	n, w := 0, &b.wire
	for _, it := range b.items {
		if it.kind == giveBack {
			n += len(it.parts)
		}
	}
	w.int(int64(n))
	for _, it := range b.items {
		if it.kind != giveBack {
			continue
		}
		for j, k := range it.keys {
			p := &it.parts[j]
			w.int(int64(w.at[k]))
			w.int(p.cost * int64(p.limit.Interval()))
			w.int(it.sec)
			w.int(it.nano)
		}
	}
}

// int appends a msgpack integer, n ≥ 0.
func (w *wire) int(n int64) {
	w.ints++
	if n < 128 {
		w.body = append(w.body, byte(n))
		return
	}
	w.body = append(w.body, 0xd3)
	w.body = binary.BigEndian.AppendUint64(w.body, uint64(n))
}

var errReply = errors.New("the script's answer makes no sense")

// read appends the integers of the script's answer, a msgpack array of what Lua
// counts: none is negative or above 2^53.
func read(dst []int64, reply string) ([]int64, error) {
	n, rest, ok := header(reply)
	for ; ok && n > 0; n-- {
		var x int64
		if x, rest, ok = integer(rest); ok {
			dst = append(dst, x)
		}
	}
	if !ok || rest != "" {
		return dst, fmt.Errorf("%w: it is no list of integers", errReply)
	}
	return dst, nil
}

// header reads the length of a msgpack array.
func header(s string) (n int, rest string, ok bool) {
	switch {
	case len(s) >= 1 && s[0]&0xf0 == 0x90:
		return int(s[0] & 0x0f), s[1:], true
	case len(s) >= 3 && s[0] == 0xdc:
		return int(s[1])<<8 | int(s[2]), s[3:], true
	}
	return 0, "", false // no call needs more than 65,535
}

// integer reads a msgpack integer that is not negative.
func integer(s string) (n int64, rest string, ok bool) {
	if s == "" {
		return 0, "", false
	}
	if s[0] < 128 {
		return int64(s[0]), s[1:], true
	}
	size := 0
	switch s[0] {
	case 0xcc:
		size = 1
	case 0xcd:
		size = 2
	case 0xce:
		size = 4
	case 0xcf, 0xd3:
		size = 8
	}
	if size == 0 || len(s) <= size {
		return 0, "", false
	}
	var u uint64
	for i := range size {
		u = u<<8 | uint64(s[1+i])
	}
	if u > 1<<53 {
		return 0, "", false
	}
	return int64(u), s[1+size:], true
}

// decode gives each item its answer, but wakes nobody.
func (b *batch) decode(reply string) (err error) {
	w := &b.wire
	if w.reply, err = read(w.reply[:0], reply); err != nil {
		return err
	}
	n := len(b.of)
	if len(w.reply) != 2+n+len(b.groups) {
		return fmt.Errorf("%w: %d numbers for %d buckets and %d groups", errReply, len(w.reply), n, len(b.groups))
	}
	granted := w.reply[2+n:]
	b.debts = b.debts[:0]
	for i, p := range b.of {
		debt := w.reply[1+w.at[i]]
		if debt > int64(p.limit.Fill()) {
			return fmt.Errorf("%w: a debt of %d", errReply, debt)
		}
		b.debts = append(b.debts, debt)
	}
	for i := range b.groups {
		if granted[i] > int64(len(b.groups[i].members)) {
			return fmt.Errorf("%w: %d admitted of %d", errReply, granted[i], len(b.groups[i].members))
		}
	}
	for i := range b.groups {
		for j, it := range b.groups[i].members {
			it.sec, it.nano = w.reply[0], w.reply[1]
			if int64(j) < granted[i] {
				it.charge(b.debts)
			}
			it.judge(b.debts, int64(j) < granted[i])
		}
	}
	return nil
}
