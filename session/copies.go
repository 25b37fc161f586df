package session

import (
	"sync"
	"sync/atomic"
)

// copyShards splits a cache's lock, so that cores rarely meet. A power of two.
const copyShards = 64

// copies is a bounded concurrent cache. Each shard evicts by CLOCK: an entry
// that was read since the hand last passed is spared once, and reading costs
// one flag instead of a list that has to be locked.
//
// Each shard has an epoch that forget moves on. Whoever fills the cache reads
// the epoch before it asks the store and hands it to put, which drops the
// entry if the epoch moved: a fill that races an invalidation loses.
type copies[K comparable, V marked] struct {
	hash   func(K) uint64
	shards [copyShards]copyShard[K, V]
}

// mark is what a cache keeps in each of its values. Whoever holds a value
// apart from the cache may go on using it while held is true, and sets used.
type mark struct {
	held atomic.Bool // it is in the cache and was not forgotten
	used atomic.Bool // it was read since the hand last passed
}

func (m *mark) marks() *mark { return m }

// use spares the value once. The flag is only written when it changes, so that
// readers on many cores share its cache line.
func (m *mark) use() {
	if !m.used.Load() {
		m.used.Store(true)
	}
}

type marked interface {
	comparable
	marks() *mark
}

type copyShard[K comparable, V marked] struct {
	mu    sync.RWMutex
	index map[K]int32
	slots []copySlot[K, V]
	free  []int32
	hand  int
	limit int
	epoch atomic.Uint64
	_     [64]byte // keeps neighbours' locks off this cache line
}

type copySlot[K comparable, V marked] struct {
	key   K
	value V // the zero V if the slot is free
}

// set puts a value into the slot, or takes what is there out.
func (s *copySlot[K, V]) set(k K, v V) {
	var none V
	if s.value != none {
		s.value.marks().held.Store(false)
	}
	s.key, s.value = k, v
	if v != none {
		v.marks().held.Store(true)
	}
}

func (s *copySlot[K, V]) clear() {
	var noKey K
	var none V
	s.set(noKey, none)
}

// newCopies returns a cache of at most about size entries (at least one in
// each shard).
func newCopies[K comparable, V marked](size int, hash func(K) uint64) *copies[K, V] {
	c := &copies[K, V]{hash: hash}
	for i := range c.shards {
		c.shards[i].index = make(map[K]int32)
		c.shards[i].limit = max(1, (size+copyShards-1)/copyShards)
	}
	return c
}

func (c *copies[K, V]) shard(k K) *copyShard[K, V] {
	return &c.shards[c.hash(k)%copyShards]
}

func (c *copies[K, V]) get(k K) (V, bool) {
	s := c.shard(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, ok := s.index[k]
	if !ok {
		var none V
		return none, false
	}
	v := s.slots[i].value
	v.marks().use()
	return v, true
}

// epoch returns the epoch to hand to put later.
func (c *copies[K, V]) epoch(k K) uint64 { return c.shard(k).epoch.Load() }

// put keeps v for k, unless something in k's shard was forgotten since epoch
// was read.
func (c *copies[K, V]) put(k K, v V, epoch uint64) bool {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch.Load() != epoch {
		return false
	}
	i, ok := s.index[k]
	if !ok {
		i = s.room()
		s.index[k] = i
	}
	s.slots[i].set(k, v)
	return true
}

// room returns a slot that is free, and evicts for it when there is none.
func (s *copyShard[K, V]) room() int32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	if len(s.slots) < s.limit {
		s.slots = append(s.slots, copySlot[K, V]{})
		return int32(len(s.slots) - 1)
	}
	for {
		i := s.hand
		s.hand = (s.hand + 1) % len(s.slots)
		if !s.slots[i].value.marks().used.Swap(false) {
			delete(s.index, s.slots[i].key)
			return int32(i)
		}
	}
}

// forget drops k, and every fill of its shard that is under way.
func (c *copies[K, V]) forget(k K) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch.Add(1)
	if i, ok := s.index[k]; ok {
		delete(s.index, k)
		s.slots[i].clear()
		s.free = append(s.free, i)
	}
}

// forgetAll drops everything, and every fill that is under way.
func (c *copies[K, V]) forgetAll() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.epoch.Add(1)
		clear(s.index)
		for j := range s.slots {
			s.slots[j].clear()
		}
		s.slots, s.free, s.hand = nil, nil, 0
		s.mu.Unlock()
	}
}

func (c *copies[K, V]) size() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		n += len(s.index)
		s.mu.RUnlock()
	}
	return n
}
