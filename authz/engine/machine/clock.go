package machine

import (
	"math"
	"time"
)

// clock says how a value depends on the instant of the evaluation.
type clock uint8

const (
	// still: not at all.
	still clock = iota
	// running: an integer that moves with the clock, a nanosecond each.
	running
	// stepping: unchanged until the instant Value.until, then anything.
	stepping
)

// forever is a horizon that never comes.
const forever = math.MaxInt64

// Horizon is until when a result holds, if all slots stay as they are.
type Horizon struct {
	// Until is the first instant, in nanoseconds since the epoch, at which the
	// result may be another; math.MaxInt64 if the clock has no part in it. It is
	// not after the evaluation's own instant when the result depends on the
	// clock in a way that was not followed.
	Until int64
	// ReadsClock: time.now_ns was called.
	ReadsClock bool
	// Volatile: something else than slots, data and clock had a part in it
	// (randomness, or a clock that the machine does not hold): never cache.
	Volatile bool
}

// Cacheable reports whether the result holds for any time after now.
func (h Horizon) Cacheable(now time.Time) bool { return !h.Volatile && h.Until > now.UnixNano() }

// moving reports whether v or something in it depends on the clock.
func (v *Value) moving() bool { return v.clock != still || v.moves }

// until narrows the horizon.
func (f *Frame) narrow(instant int64) {
	f.horizon.Until = min(f.horizon.Until, instant)
}

// observe says that the evaluation took a way that depends on all of v.
func (f *Frame) observe(v *Value) {
	switch {
	case v.clock == running:
		f.narrow(f.now)
	case v.clock == stepping:
		f.narrow(v.until)
	case v.moves: // only values hold what moves, neither keys nor sets
		for _, x := range v.elems {
			f.observe(x)
		}
	}
}

// edge says that the evaluation depends on whether the running value a is less
// than, equal to or greater than the integer c. That changes when the clock has
// moved c-a further, and once more a nanosecond later.
func (f *Frame) edge(a, c int64) {
	switch {
	case a < c:
		if left := c - a; left > 0 { // else it overflowed: too far to matter
			f.narrow(later(f.now, left))
		}
	case a == c:
		f.narrow(later(f.now, 1))
	}
}

func later(t, d int64) int64 {
	if t > forever-d {
		return forever
	}
	return t + d
}

// order compares two values and narrows the horizon to as long as the outcome
// stays. Elements after the one that decides are not looked at: 12:30:15 is
// after 08:00:00 until the hour changes.
func (f *Frame) order(a, b *Value) int {
	if !a.moving() && !b.moving() {
		return compare(a, b)
	}
	if a.kind != b.kind {
		return compare(a, b)
	}
	switch {
	case a.kind == Number:
		f.edges(a, b)
	case a.wall && f.orderWall(a, b), b.wall && f.orderWall(b, a):
	case a.kind == Array:
		for i := range min(len(a.elems), len(b.elems)) {
			if c := f.order(a.elems[i], b.elems[i]); c != 0 {
				return c
			}
		}
		return len(a.elems) - len(b.elems)
	default:
		f.observe(a)
		f.observe(b)
	}
	return compare(a, b)
}

// orderWall says that the evaluation depends on how the wall clock a compares to
// a time of the day: that changes when it comes, once more a second later, and
// at midnight. It is false if b is none. Element by element, business hours from
// 8 to 20 would be uncertain after an hour, and for the first minutes after a
// second.
func (f *Frame) orderWall(a, b *Value) bool {
	if b.moving() || len(b.elems) != 3 {
		return false
	}
	at := int64(0)
	for i, below := range [3]int64{24, 60, 60} {
		x := b.elems[i]
		if !x.isNumber() || x.n < 0 || x.n >= below {
			return false
		}
		at = at*60 + x.n
	}
	const second = int64(time.Second)
	at *= second
	f.narrow(a.until)
	switch {
	case a.n < at:
		f.narrow(later(f.now, at-a.n))
	case a.n < at+second:
		f.narrow(later(f.now, at+second-a.n))
	}
	return true
}

func (f *Frame) edges(a, b *Value) {
	switch {
	case a.clock == running && b.clock == still && b.isInt:
		f.edge(a.n, b.n)
	case b.clock == running && a.clock == still && a.isInt:
		f.edge(b.n, a.n)
	case a.clock == running && b.clock == running: // both move alike
	default:
		f.observe(a)
		f.observe(b)
	}
}

// same is order(a, b) == 0, faster where nothing moves.
func (f *Frame) same(a, b *Value) bool {
	if a.moving() || b.moving() {
		return f.order(a, b) == 0
	}
	return equal(a, b)
}
