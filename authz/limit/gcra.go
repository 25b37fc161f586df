package limit

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Bounds of a limit.
const (
	// MaxRate is the highest rate, in tokens per second.
	MaxRate = 1e6
	// MaxBurst is the largest bucket, in tokens.
	MaxBurst = 1_000_000
	// MaxFill is the longest that an empty bucket may take to fill. In
	// nanoseconds it stays below 2^53, so that Redis' Lua, which counts in
	// doubles, computes exactly what this package does.
	MaxFill = 90 * 24 * time.Hour
)

// ErrInvalid marks a charge that no limiter accepts: the policy that asked for
// it is wrong, and the request is to be refused.
var ErrInvalid = errors.New("invalid rate limit charge")

// Limit is a rate and a burst in integers. All times are nanoseconds.
//
// The interval between two tokens is rounded up to a nanosecond: the rate that
// holds is never above the one asked for and at most 0.1% below it (at 1e6/s;
// one part in 10^8 at 10/s).
//
// Overflow: interval·burst ≤ MaxFill < 2^53, and clocks are kept within ±2^61,
// so no sum here leaves int64.
type Limit struct {
	interval int64 // ns a token takes to come back
	burst    int64 // tokens
}

// NewLimit returns the limit of rate tokens per second (0 < rate ≤ MaxRate) and
// a bucket of burst tokens (1..MaxBurst), which must fill within MaxFill. The
// error wraps ErrInvalid.
func NewLimit(rate float64, burst int) (Limit, error) {
	if !(rate > 0 && rate <= MaxRate) { // also refuses NaN
		return Limit{}, fmt.Errorf("%w: rate %v is not in (0, %g] tokens per second", ErrInvalid, rate, MaxRate)
	}
	if burst < 1 || burst > MaxBurst {
		return Limit{}, fmt.Errorf("%w: burst %d is not in 1..%d", ErrInvalid, burst, MaxBurst)
	}
	interval := math.Ceil(1e9 / rate)
	// The quotient was rounded; FMA is exact in sign. Without this a rate could
	// be exceeded by one part in 2^53.
	if math.FMA(interval, rate, -1e9) < 0 {
		interval++
	}
	if interval*float64(burst) > float64(MaxFill) {
		return Limit{}, fmt.Errorf("%w: a burst of %d at %v per second fills in more than %d days; raise the rate or lower the burst",
			ErrInvalid, burst, rate, MaxFill/(24*time.Hour))
	}
	return Limit{interval: int64(interval), burst: int64(burst)}, nil
}

// Interval is how long one token takes to come back.
func (l Limit) Interval() time.Duration { return time.Duration(l.interval) }

// Burst is the size of the bucket in tokens.
func (l Limit) Burst() int { return int(l.burst) }

// Fill is how long an empty bucket takes to be full again, at most MaxFill.
func (l Limit) Fill() time.Duration { return time.Duration(l.tolerance()) }

func (l Limit) tolerance() int64 { return l.interval * l.burst }

// Take is GCRA. The state of a bucket is its theoretical arrival time tat: the
// instant at which it will be full again. A bucket whose tat is at or before
// now is full.
//
// Cost tokens (0..burst) are there if tat, moved on by cost intervals, is at
// most one fill time after now. Then retry is 0 and next the state after taking
// them; else retry is how long until they would be there (> 0, exact to the
// nanosecond) and next equals tat. A cost of 0 is always there.
//
// Take never admits more because now is earlier than it was in another call.
func (l Limit) Take(now, tat, cost int64) (next, retry int64) {
	if cost == 0 {
		return tat, 0
	}
	start := max(now, tat)
	next = start + cost*l.interval
	if over := next - now - l.tolerance(); over > 0 {
		return tat, over
	}
	return next, 0
}

// Left is how many whole tokens a bucket of state tat holds at now.
func (l Limit) Left(now, tat int64) int {
	left := (now + l.tolerance() - max(now, tat)) / l.interval
	return int(max(0, left))
}
