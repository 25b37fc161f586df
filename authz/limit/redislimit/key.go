package redislimit

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
)

// tags is how many hash tags a cluster's keys carry.
const tags = 64

// tagOf is the same in every replica and version: it says where a bucket lies.
func tagOf(key string) int {
	h := uint32(2166136261) // FNV-1a
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return int(h % tags)
}

// table names the two hashes in which the buckets of one limit (and tag) lie.
type table struct {
	halves [2]string
	name   string // of the limit
	// span is how long one half is written to, in seconds: at least as long as
	// a bucket takes to fill, so that one which is in neither half is full.
	span int64
}

// minSpan is the shortest span of a table, in seconds.
const minSpan = 10

// limitID is what makes a table.
type limitID struct {
	name  string
	limit limit.Limit
	tag   int
}

func newTable(prefix string, id limitID) *table {
	d := append([]byte(prefix), '{', byte('0'+id.tag/10), byte('0'+id.tag%10), '}')
	d = strconv.AppendInt(d, int64(id.limit.Interval()), 10)
	d = append(d, ':')
	d = strconv.AppendInt(d, int64(id.limit.Burst()), 10)
	d = append(d, ':')
	d = append(d, id.name...)
	base := string(d)
	fill := (id.limit.Fill() + time.Second - 1) / time.Second
	return &table{halves: [2]string{base + ":0", base + ":1"}, name: id.name, span: max(minSpan, int64(fill))}
}

// names keeps the tables that requests ask for: naming each check's bucket in
// full made a tenth of its cost. It is read without a lock.
type names struct {
	prefix string
	// lanes is how many tags are told apart: 1 or tags.
	lanes int
	known atomic.Pointer[map[limitID]*table]
	mu    sync.Mutex
}

// maxNames bounds what is kept. A policy may invent limits; those beyond are
// named anew each time.
const maxNames = 1024

func (n *names) table(id limitID) *table {
	if m := n.known.Load(); m != nil {
		if t := (*m)[id]; t != nil {
			return t
		}
	}
	id.name = strings.Clone(id.name)
	t := newTable(n.prefix, id)
	n.mu.Lock()
	defer n.mu.Unlock()
	next := map[limitID]*table{id: t}
	if m := n.known.Load(); m != nil {
		if len(*m) >= maxNames {
			return t
		}
		for k, v := range *m {
			next[k] = v
		}
	}
	n.known.Store(&next)
	return t
}

// part is what a request asks of one bucket. It owns its strings: a request
// that has given up waiting may be gone while its part is on the way.
type part struct {
	table  *table
	field  string       // the key after a dot: no key is the table's own field
	charge authz.Charge // Key is part of field
	limit  limit.Limit
	cost   int64
	lead   int // index of the (first) charge
	tag    int
}

// part names c's bucket in Redis.
func (n *names) part(c *authz.Charge, l limit.Limit, lead int) part {
	tag := 0
	if n.lanes > 1 {
		tag = tagOf(c.Key)
	}
	p := part{
		table: n.table(limitID{c.Name, l, tag}), field: "." + c.Key,
		charge: *c, limit: l, cost: int64(c.Cost), lead: lead, tag: tag,
	}
	p.charge.Key = p.field[1:]
	p.charge.Name = p.table.name
	return p
}

// parts appends what charges, already found valid, ask of each bucket.
func (n *names) parts(dst []part, charges []authz.Charge) ([]part, error) {
next:
	for i := range charges {
		c := &charges[i]
		l, err := limit.Check(c)
		if err != nil {
			return dst, err
		}
		for j := range dst {
			if p := &dst[j]; p.limit == l && p.charge.Name == c.Name && p.charge.Key == c.Key {
				p.cost += int64(c.Cost)
				continue next
			}
		}
		dst = append(dst, n.part(c, l, i))
	}
	return dst, nil
}
