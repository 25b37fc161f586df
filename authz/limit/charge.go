package limit

import (
	"fmt"
	"time"

	"github.com/neosc/gate/authz"
)

const (
	// MaxCharges is how many charges one request may bring.
	MaxCharges = 16
	// MaxName is how many bytes a charge's Name, and its Key, may have.
	MaxName = 256
)

// Check says whether a charge is valid and returns its limit. The error wraps
// ErrInvalid and names the limit, never the key: keys name people.
func Check(c *authz.Charge) (Limit, error) {
	if c.Name == "" || len(c.Name) > MaxName {
		return Limit{}, fmt.Errorf("%w: a name has 1..%d bytes, this one has %d", ErrInvalid, MaxName, len(c.Name))
	}
	if len(c.Key) > MaxName {
		return Limit{}, fmt.Errorf("%w: limit %q: a key has at most %d bytes, this one has %d", ErrInvalid, c.Name, MaxName, len(c.Key))
	}
	l, err := NewLimit(c.Rate, c.Burst)
	if err != nil {
		return Limit{}, fmt.Errorf("limit %q: %w", c.Name, err)
	}
	if c.Cost < 0 || c.Cost > c.Burst {
		return Limit{}, fmt.Errorf("%w: limit %q: a cost of %d is not in 0..%d, the burst", ErrInvalid, c.Name, c.Cost, c.Burst)
	}
	return l, nil
}

// step is one charge on its way through a limiter.
type step struct {
	limit Limit
	// lead is the index of the first charge of the request on the same bucket,
	// which stands for all of them: its cost is their sum.
	lead  int
	cost  int64
	shard uint32
	slot  int32 // -1: the bucket is not there, hence full
	tat   int64
	// slack is how much later than tat says the bucket may really fill.
	slack int64
}

// plan is the charges of one request. It lives on the stack.
type plan struct {
	n int
	// scale multiplies costs, up to the burst; 0 is 1.
	scale int64
	steps [MaxCharges]step
}

// read fills the plan, putting charges on the same bucket together.
func (p *plan) read(charges []authz.Charge) error {
	if len(charges) > MaxCharges {
		return fmt.Errorf("%w: %d charges, a request may bring %d", ErrInvalid, len(charges), MaxCharges)
	}
	p.n = len(charges)
	for i := range charges {
		c, s := &charges[i], &p.steps[i]
		l, err := Check(c)
		if err != nil {
			return err
		}
		s.limit, s.lead, s.cost = l, i, int64(c.Cost)
		for j := range i {
			if p.steps[j].limit == l && charges[j].Name == c.Name && charges[j].Key == c.Key {
				s.lead = p.steps[j].lead
				p.steps[s.lead].cost += s.cost
				break
			}
		}
		if first := &p.steps[s.lead]; first.cost > l.burst {
			return fmt.Errorf("%w: limit %q: the charges of one request on one bucket come to %d, more than its burst of %d",
				ErrInvalid, c.Name, first.cost, l.burst)
		}
	}
	if p.scale > 1 {
		for i := range p.n {
			s := &p.steps[i]
			s.cost = min(s.cost*p.scale, s.limit.burst)
		}
	}
	return nil
}

// judge computes the answer from the states of the buckets at clock. Times in
// the answer count from now, the caller's clock, which may be behind: what it
// promises must hold for the caller.
func (p *plan) judge(now, clock int64) authz.Spent {
	refused, worst := -1, int64(0)
	least, left := -1, 0
	for i := range p.n {
		s := &p.steps[i]
		if s.lead != i {
			continue
		}
		next, retry := s.limit.Take(clock, s.tat, s.cost)
		if retry > worst {
			refused, worst = i, retry
		}
		if n := s.limit.Left(clock, next); least < 0 || n < left {
			least, left = i, n
		}
	}
	if refused >= 0 {
		s := &p.steps[refused]
		return authz.Spent{
			Limiting:   refused,
			Remaining:  s.limit.Left(clock, s.tat),
			RetryAfter: time.Duration(worst + clock - now + s.slack),
			Reset:      time.Duration(max(0, s.tat-now)),
		}
	}
	s := &p.steps[least]
	next, _ := s.limit.Take(clock, s.tat, s.cost)
	return authz.Spent{Allowed: true, Limiting: least, Remaining: left, Reset: time.Duration(max(0, next-now))}
}
