package machine

import "math/bits"

// Arithmetic is native on integers that do not overflow; OPA calculates the
// rest, with as many digits as it takes.
func (b *library) addArithmetic() {
	b.track("plus", plus)
	b.track("minus", minus)
	b.add("mul", func(f *Frame, a *operands) *Value {
		if !ints(a) {
			return decline
		}
		hi, lo := bits.Mul64(magnitude(a[0].n), magnitude(a[1].n))
		if hi != 0 || lo > 1<<62 {
			return decline
		}
		return f.integer(a[0].n * a[1].n)
	})
	b.add("rem", func(f *Frame, a *operands) *Value {
		if !ints(a) || a[1].n <= 0 {
			return decline
		}
		return f.integer(a[0].n % a[1].n)
	})
	b.add("div", func(f *Frame, a *operands) *Value {
		if !ints(a) || a[1].n <= 0 || a[0].n%a[1].n != 0 {
			return decline
		}
		return f.integer(a[0].n / a[1].n)
	})
	b.add("abs", func(f *Frame, a *operands) *Value {
		if !a[0].isNumber() || a[0].n < 0 {
			return decline
		}
		return a[0]
	})
	whole := func(f *Frame, a *operands) *Value {
		if !a[0].isNumber() {
			f.observe(a[0])
			return decline
		}
		return a[0]
	}
	b.track("floor", whole)
	b.track("ceil", whole)
	b.track("round", whole)
	b.add("to_number", func(f *Frame, a *operands) *Value {
		switch v := a[0]; v.kind {
		case Number:
			return v
		case Null:
			return f.integer(0)
		case Bool:
			if v.truth {
				return f.integer(1)
			}
			return f.integer(0)
		}
		return decline
	})
}

func (v *Value) isNumber() bool { return v.kind == Number && v.isInt }

func ints(a *operands) bool { return a[0].isNumber() && a[1].isNumber() }

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// plus keeps an instant that runs running.
func plus(f *Frame, a *operands) *Value {
	if !ints(a) {
		return f.still(a)
	}
	x, y := a[0], a[1]
	sum := x.n + y.n
	if (sum > x.n) != (y.n > 0) {
		return f.still(a)
	}
	switch {
	case x.clock == still && y.clock == still:
		return f.integer(sum)
	case x.clock == running && y.clock == still, x.clock == still && y.clock == running:
		return f.instant(sum)
	}
	f.still(a)
	return f.integer(sum)
}

func minus(f *Frame, a *operands) *Value {
	if !ints(a) {
		return f.still(a)
	}
	x, y := a[0], a[1]
	d := x.n - y.n
	if (d < x.n) != (y.n > 0) {
		return f.still(a)
	}
	switch {
	case x.clock == y.clock && x.clock != stepping: // two running ones keep their distance
		return f.integer(d)
	case x.clock == running && y.clock == still:
		return f.instant(d)
	}
	f.still(a)
	return f.integer(d)
}

// still observes both operands and declines.
func (f *Frame) still(a *operands) *Value {
	f.observe(a[0])
	f.observe(a[1])
	return decline
}

// instant makes an integer that runs with the clock.
func (f *Frame) instant(n int64) *Value {
	v := f.make(Number)
	v.isInt, v.n, v.clock = true, n, running
	return v
}
