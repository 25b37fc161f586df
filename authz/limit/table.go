package limit

import "sync"

// bucketID names a bucket.
type bucketID struct {
	name, key string
	limit     Limit
}

// slot holds one bucket.
type slot struct {
	id    bucketID
	tat   int64
	slack int64
	used  bool
}

// table is one shard of the buckets. Buckets lie in slots, found through an
// index: an update then touches no map key, so updates never keep a caller's
// string (assigning to a present map key would).
type table struct {
	mu sync.Mutex
	// clock is the latest instant this shard has seen. It never goes back:
	// neither a clock that is set back nor the drop of a full bucket can then
	// admit more.
	clock int64
	index map[bucketID]int32
	slots []slot
	free  []int32
	max   int
	// hand is where the search for full buckets goes on.
	hand int
	// fullUntil is the instant before which no bucket of a full table can be
	// dropped: a flood of new keys costs one sweep, not one each.
	fullUntil int64
	_         [64]byte // keeps neighbours' locks off this cache line
}

// sweepStep is how many slots each new bucket looks at for one to drop: two a
// birth keep the table at about the number of live buckets.
const sweepStep = 2

// find returns the slot of a bucket, -1 if it is not there.
func (t *table) find(name, key string, l Limit) int32 {
	if i, ok := t.index[bucketID{name, key, l}]; ok {
		return i
	}
	return -1
}

// room makes sure that n new buckets can be put in. To that end it may drop
// all that are full, and says so.
func (t *table) room(n int) (ok, swept bool) {
	if len(t.index)+n <= t.max {
		return true, false
	}
	if t.clock < t.fullUntil {
		return false, false
	}
	next := int64(1<<63 - 1)
	for i := range t.slots {
		if s := &t.slots[i]; s.used && s.tat > t.clock {
			next = min(next, s.tat)
		} else if s.used {
			t.drop(int32(i))
		}
	}
	if len(t.index)+n <= t.max {
		return true, true
	}
	t.fullUntil = next
	return false, true
}

// put adds a bucket and keeps its strings; room must have said that there is
// room.
func (t *table) put(id bucketID, tat int64) int32 {
	for range min(sweepStep, len(t.slots)) {
		t.hand = (t.hand + 1) % len(t.slots)
		if s := &t.slots[t.hand]; s.used && s.tat <= t.clock {
			t.drop(int32(t.hand))
		}
	}
	var i int32
	if n := len(t.free); n > 0 {
		i, t.free = t.free[n-1], t.free[:n-1]
	} else {
		i = int32(len(t.slots))
		t.slots = append(t.slots, slot{})
	}
	t.slots[i] = slot{id: id, tat: tat, used: true}
	t.index[id] = i
	return i
}

func (t *table) drop(i int32) {
	delete(t.index, t.slots[i].id)
	t.slots[i] = slot{}
	t.free = append(t.free, i)
}
