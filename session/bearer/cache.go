package bearer

import (
	"sync"
	"sync/atomic"

	"github.com/neosc/gate/session"
)

// cacheShards splits the cache's lock, so that cores rarely meet. A power of two.
const cacheShards = 64

// entry is a token that was verified, or one that its provider disowned
// (session is nil). What is not atomic never changes.
type entry struct {
	token   string
	session *session.Session
	until   int64 // unix ns: to be verified anew from then on
	issued  int64 // unix ns
	weight  int64

	keys *keys // nil for an opaque token
	key  *publicKey
	// set is the last key set that was seen to have key.
	set atomic.Pointer[keySet]

	id    tokenID
	hasID bool
	// generation is that of the denials by which the token was judged.
	generation atomic.Uint64
	// marks is the generation of the marks by which it was judged.
	marks atomic.Uint64
	used  atomic.Bool // it was read since the hand last passed
}

// cache is bounded by entries and by weight. Entries are found by a seeded hash
// of the token and the whole token is compared. Each shard evicts by CLOCK, as
// reading then costs one flag.
type cache struct {
	shards [cacheShards]cacheShard
}

type cacheShard struct {
	mu          sync.RWMutex
	index       map[uint64]int32
	slots       []*entry // nil if free
	hashes      []uint64 // of the entry at the same place
	free        []int32
	hand        int
	limit       int
	weight      int64
	weightLimit int64
	_           [64]byte // keeps neighbours' locks off this cache line
}

func newCache(size int, weight int64) *cache {
	c := &cache{}
	for i := range c.shards {
		s := &c.shards[i]
		s.index = make(map[uint64]int32)
		s.limit = max(1, size/cacheShards)
		s.weightLimit = max(1, weight/cacheShards)
	}
	return c
}

// shard is chosen by high bits: a map uses the low ones.
func (c *cache) shard(hash uint64) *cacheShard { return &c.shards[hash>>32%cacheShards] }

// get returns the entry of a token, or nil.
func (c *cache) get(hash uint64, token string) *entry {
	s := c.shard(hash)
	s.mu.RLock()
	var e *entry
	if i, ok := s.index[hash]; ok {
		e = s.slots[i]
	}
	s.mu.RUnlock()
	if e == nil || e.token != token {
		return nil
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e
}

// put keeps an entry, in the place of any other of the same hash. One that
// weighs more than a shard may hold is not kept.
func (c *cache) put(hash uint64, e *entry) {
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.weight > s.weightLimit {
		return
	}
	if i, ok := s.index[hash]; ok {
		s.take(i)
	}
	for s.weight+e.weight > s.weightLimit || len(s.index) >= s.limit {
		s.evict()
	}
	var i int32
	if n := len(s.free); n > 0 {
		i = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		i = int32(len(s.slots))
		s.slots, s.hashes = append(s.slots, nil), append(s.hashes, 0)
	}
	s.slots[i], s.hashes[i] = e, hash
	s.index[hash] = i
	s.weight += e.weight
}

// evict takes out the next entry that was not read since the hand last passed.
func (s *cacheShard) evict() {
	for {
		i := s.hand
		s.hand = (s.hand + 1) % len(s.slots)
		if e := s.slots[i]; e != nil && !e.used.Swap(false) {
			s.take(int32(i))
			return
		}
	}
}

func (s *cacheShard) take(i int32) {
	s.weight -= s.slots[i].weight
	delete(s.index, s.hashes[i])
	s.slots[i] = nil
	s.free = append(s.free, i)
}

// drop takes an entry out, if it is still the one there.
func (c *cache) drop(hash uint64, e *entry) {
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.index[hash]; ok && s.slots[i] == e {
		s.take(i)
	}
}

// size returns how many entries there are and what they weigh.
func (c *cache) size() (n int, weight int64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		n, weight = n+len(s.index), weight+s.weight
		s.mu.RUnlock()
	}
	return n, weight
}
