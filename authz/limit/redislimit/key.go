package redislimit

import (
	"hash/fnv"
	"io"
	"strconv"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
)

// tags is how many hash tags the keys carry.
const tags = 64

// tagOf is the same in every replica and version: it says where a bucket lies.
func tagOf(key string) int {
	h := fnv.New32a()
	_, _ = io.WriteString(h, key)
	return int(h.Sum32() % tags)
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
	b := make([]byte, 0, len(prefix)+len(c.Name)+len(c.Key)+40)
	b = append(b, prefix...)
	b = append(b, '{', byte('0'+tag/10), byte('0'+tag%10), '}')
	b = strconv.AppendInt(b, int64(l.Interval()), 10)
	b = append(b, ':')
	b = strconv.AppendInt(b, int64(l.Burst()), 10)
	b = append(b, ':')
	b = strconv.AppendInt(b, int64(len(c.Name)), 10)
	b = append(b, ':')
	b = append(b, c.Name...)
	b = append(b, ':')
	b = append(b, c.Key...)
	p := part{redisKey: string(b), charge: *c, limit: l, cost: int64(c.Cost), lead: lead, tag: tag}
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
