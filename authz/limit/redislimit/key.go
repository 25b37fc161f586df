package redislimit

import (
	"strconv"
	"strings"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
)

// tags is how many hash tags the keys carry.
const tags = 64

// tagOf is the same in every replica and version: it says where a bucket lies.
func tagOf(key string) int {
	h := uint32(2166136261) // FNV-1a
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return int(h % tags)
}

// part is what a request asks of one bucket. It owns its strings: a request
// that has given up waiting may be gone while its part is on the way.
type part struct {
	redisKey string
	charge   authz.Charge // Name and Key are parts of redisKey
	limit    limit.Limit
	cost     int64
	lead     int // index of the (first) charge
	tag      int
}

// newPart names c's bucket in Redis. The name's length makes it unambiguous.
func newPart(prefix string, c *authz.Charge, l limit.Limit, lead int) part {
	tag := tagOf(c.Key)
	var digits [64]byte
	d := append(digits[:0], '{', byte('0'+tag/10), byte('0'+tag%10), '}')
	d = strconv.AppendInt(d, int64(l.Interval()), 10)
	d = append(d, ':')
	d = strconv.AppendInt(d, int64(l.Burst()), 10)
	d = append(d, ':')
	d = strconv.AppendInt(d, int64(len(c.Name)), 10)
	d = append(d, ':')
	var b strings.Builder
	b.Grow(len(prefix) + len(d) + len(c.Name) + 1 + len(c.Key))
	b.WriteString(prefix)
	b.Write(d)
	b.WriteString(c.Name)
	b.WriteByte(':')
	b.WriteString(c.Key)
	p := part{redisKey: b.String(), charge: *c, limit: l, cost: int64(c.Cost), lead: lead, tag: tag}
	end := len(p.redisKey) - len(c.Key)
	p.charge.Key = p.redisKey[end:]
	p.charge.Name = p.redisKey[end-1-len(c.Name) : end-1]
	return p
}

// parts appends what charges, already found valid, ask of each bucket.
func parts(dst []part, prefix string, charges []authz.Charge) ([]part, error) {
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
		dst = append(dst, newPart(prefix, c, l, i))
	}
	return dst, nil
}
