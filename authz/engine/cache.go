package engine

import (
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/neosc/gate/authz"
)

// cache holds decisions of one program of one activation until their horizon:
// what it gives is what evaluating again would give. Nobody waits for anybody:
// each place is one pointer.
type cache struct {
	seed   maphash.Seed
	places []atomic.Pointer[kept] // in rows of ways
	rows   uint64
	limit  int64 // bytes
	used   atomic.Int64
}

// kept is a decision and for what and when it is one.
type kept struct {
	hash        uint64
	key         string
	from, until int64 // nanoseconds since 1970
	decision    *authz.Decision
	blank       *blank // beside it, in a cache of those
	size        int64
}

const (
	// ways is how many places a key may be kept in.
	ways = 4
	// usualEntry is the size that the number of places goes by.
	usualEntry = 2 << 10
	// leastCache is the least that a cache takes, in bytes.
	leastCache = 64 << 10
	// maxKey is the longest key that is worth keeping.
	maxKey = 16 << 10
)

// newCache returns a cache of at most limit bytes, nil for less than 64 KiB.
func newCache(limit int64) *cache {
	rows := uint64(1)
	if limit < leastCache {
		return nil
	}
	for 2*rows*ways*usualEntry <= uint64(limit) {
		rows *= 2
	}
	return &cache{seed: maphash.MakeSeed(), places: make([]atomic.Pointer[kept], rows*ways), rows: rows, limit: limit}
}

// get returns the decision for a key at an instant, nil if there is none. It is
// shared: not to be changed.
func (c *cache) get(hash uint64, key []byte, now int64) *authz.Decision {
	if e := c.find(hash, key, now); e != nil {
		return e.decision
	}
	return nil
}

func (c *cache) find(hash uint64, key []byte, now int64) *kept {
	row := c.row(hash)
	for i := range row {
		// The whole key is compared: two keys of one hash are two keys.
		if e := row[i].Load(); e != nil && e.hash == hash && e.key == string(key) {
			if e.from <= now && now < e.until {
				return e
			}
			return nil
		}
	}
	return nil
}

func (c *cache) row(hash uint64) []atomic.Pointer[kept] {
	at := (hash % c.rows) * ways
	return c.places[at : at+ways]
}

// put keeps a copy of a decision that was taken at from and holds until until.
func (c *cache) put(hash uint64, key []byte, d *authz.Decision, from, until int64) {
	if len(key) <= maxKey {
		c.keep(&kept{hash: hash, key: string(key), from: from, until: until, decision: ownDecision(d)})
	}
}

// keep is put of an entry that shares nothing with a request.
func (c *cache) keep(e *kept) {
	e.size = int64(len(e.key)) + decisionSize(e.decision) + e.blank.size()
	if len(e.key) > maxKey || e.size > c.limit/ways {
		return
	}
	hash := e.hash
	row := c.row(hash)
	at := c.choose(row, e)
	old := row[at].Swap(e)
	grown := e.size
	if old != nil {
		grown -= old.size
	}
	if c.used.Add(grown) > c.limit {
		c.shrink(hash)
	}
}

// choose returns the place of the same key, an empty one, or that of the entry
// which ends first; of those that end alike, any.
func (c *cache) choose(row []atomic.Pointer[kept], e *kept) int {
	best, end := int(e.hash>>60)%ways, int64(math.MaxInt64)
	for i := range row {
		old := row[i].Load()
		if old == nil || old.hash == e.hash && old.key == e.key {
			return i
		}
		if old.until < end {
			best, end = i, old.until
		}
	}
	return best
}

// shrink empties rows, from one that is as good as drawn, until there is room.
func (c *cache) shrink(hash uint64) {
	for i := uint64(1); i <= c.rows && c.used.Load() > c.limit; i++ {
		row := c.row(hash/c.rows + i)
		for j := range row {
			if old := row[j].Swap(nil); old != nil {
				c.used.Add(-old.size)
			}
		}
	}
}

func (c *cache) clear() {
	for i := range c.places {
		if old := c.places[i].Swap(nil); old != nil {
			c.used.Add(-old.size)
		}
	}
}

// ownDecision copies a decision and all its texts, which are else parts of the
// request's.
func ownDecision(d *authz.Decision) *authz.Decision {
	c := *d
	c.Body = strings.Clone(d.Body)
	c.Reasons = ownTexts(d.Reasons)
	c.RemoveRequestHeaders = ownTexts(d.RemoveRequestHeaders)
	c.QueryRemove = ownTexts(d.QueryRemove)
	c.Headers, c.ResponseHeaders = ownHeaders(d.Headers), ownHeaders(d.ResponseHeaders)
	c.QuerySet = slices.Clone(d.QuerySet)
	for i, q := range c.QuerySet {
		c.QuerySet[i] = authz.QueryParameter{Name: strings.Clone(q.Name), Value: strings.Clone(q.Value)}
	}
	c.Charges = slices.Clone(d.Charges)
	for i := range c.Charges {
		c.Charges[i].Name, c.Charges[i].Key = strings.Clone(c.Charges[i].Name), strings.Clone(c.Charges[i].Key)
	}
	if d.Metadata != nil {
		c.Metadata, _ = ownJSON(d.Metadata).(map[string]any)
	}
	return &c
}

func ownTexts(list []string) []string {
	out := slices.Clone(list)
	for i := range out {
		out[i] = strings.Clone(out[i])
	}
	return slices.Clip(out)
}

func ownHeaders(list []authz.Header) []authz.Header {
	out := slices.Clone(list)
	for i := range out {
		out[i] = authz.Header{Name: strings.Clone(out[i].Name), Value: strings.Clone(out[i].Value)}
	}
	return slices.Clip(out)
}

func ownJSON(x any) any {
	switch x := x.(type) {
	case string:
		return strings.Clone(x)
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = ownJSON(x[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, v := range x {
			out[strings.Clone(k)] = ownJSON(v)
		}
		return out
	}
	return x
}

// decisionSize is about how many bytes a kept decision takes, with its place.
func decisionSize(d *authz.Decision) int64 {
	n := 512 + len(d.Body) + 160*len(d.Charges) + 32*len(d.QuerySet)
	for _, list := range [][]string{d.Reasons, d.RemoveRequestHeaders, d.QueryRemove} {
		for _, s := range list {
			n += 24 + len(s)
		}
	}
	for _, list := range [][]authz.Header{d.Headers, d.ResponseHeaders} {
		for _, h := range list {
			n += 40 + len(h.Name) + len(h.Value)
		}
	}
	for _, q := range d.QuerySet {
		n += len(q.Name) + len(q.Value)
	}
	for _, c := range d.Charges {
		n += len(c.Name) + len(c.Key)
	}
	return int64(n) + jsonSize(d.Metadata)
}

func jsonSize(x any) int64 {
	n := int64(16)
	switch x := x.(type) {
	case string:
		n += int64(len(x))
	case []any:
		for _, e := range x {
			n += jsonSize(e)
		}
	case map[string]any:
		for k, e := range x {
			n += 48 + int64(len(k)) + jsonSize(e)
		}
	}
	return n
}
