package redislimit

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/authz"
)

// kind is what an item asks of its buckets.
type kind uint8

const (
	take kind = iota
	// look asks what take would, and takes nothing.
	look
	// giveBack returns what an earlier take got; nobody waits for it.
	giveBack
)

// The states of an item, which its waiter and its lane settle between them.
const (
	waiting   int32 = iota
	settled         // by the lane: the answer is there
	abandoned       // by the waiter, or by its deadline: the answer will be dropped
)

// item is the part of a request that one call judges.
type item struct {
	kind  kind
	parts []part
	state atomic.Int32
	done  chan struct{}
	// deadline is when the waiter is let go, see lane.expire. Zero: nobody waits.
	deadline time.Time

	// The answer. sec and nano are Redis' time.
	spent     authz.Spent
	err       error
	sec, nano int64
	// keys are the indices of parts in the batch.
	keys []int32
}

var items = sync.Pool{New: func() any { return &item{done: make(chan struct{}, 1)} }}

// newItem comes from a pool: with 64 callers, allocating its channel anew would
// be a third of a check's cost. An item that was abandoned is left to the
// garbage collector.
func newItem(k kind) *item {
	it := items.Get().(*item)
	it.kind, it.err, it.spent = k, nil, authz.Spent{}
	it.state.Store(waiting)
	return it
}

func (it *item) recycle() {
	clear(it.parts)
	it.parts, it.keys = it.parts[:0], it.keys[:0]
	items.Put(it)
}

// settle claims the item for its answer; false if nobody waits for it any more.
func (it *item) settle() bool {
	return it.state.CompareAndSwap(waiting, settled)
}

// abandon gives up waiting; false if the answer is there, or about to be.
func (it *item) abandon() bool {
	return it.state.CompareAndSwap(waiting, abandoned)
}

func (it *item) fail(err error) {
	if it.kind != giveBack && it.settle() {
		it.err = err
		it.done <- struct{}{}
	}
}
