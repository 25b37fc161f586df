package machine

import "slices"

func (b *library) addArrays() {
	b.track("array.concat", func(f *Frame, a *operands) *Value {
		x, y := a[0], a[1]
		switch {
		case x.kind != Array || y.kind != Array:
			return f.still(a)
		case len(x.elems) == 0:
			return y
		case len(y.elems) == 0:
			return x
		case !f.room(len(x.elems) + len(y.elems)):
			return nil
		}
		v := f.make(Array)
		v.elems = append(append(v.elems, x.elems...), y.elems...)
		v.moves = x.moves || y.moves
		return v
	})
	b.add("array.slice", func(f *Frame, a *operands) *Value {
		if a[0].kind != Array || !a[1].isNumber() || !a[2].isNumber() {
			return decline
		}
		to := min(max(a[2].n, 0), int64(len(a[0].elems)))
		from := min(max(a[1].n, 0), to)
		if !f.room(int(to - from)) {
			return nil
		}
		v := f.make(Array)
		v.elems = append(v.elems, a[0].elems[from:to]...)
		return v
	})
	b.add("array.reverse", func(f *Frame, a *operands) *Value {
		if a[0].kind != Array {
			return decline
		}
		if !f.room(len(a[0].elems)) {
			return nil
		}
		v := f.make(Array)
		v.elems = append(v.elems, a[0].elems...)
		slices.Reverse(v.elems)
		return v
	})
	b.add("sort", func(f *Frame, a *operands) *Value {
		if a[0].kind != Array && a[0].kind != Set {
			return decline
		}
		if len(a[0].elems) == 0 {
			return emptyArray
		}
		if !f.room(8 * len(a[0].elems)) {
			return nil
		}
		a[0].sort()
		v := f.make(Array)
		v.elems = append(v.elems, a[0].elems...)
		if !slices.IsSortedFunc(v.elems, compare) {
			slices.SortFunc(v.elems, compare)
		}
		return v
	})
}

// room spends what it takes to make a composite of n elements.
func (f *Frame) room(n int) bool {
	f.memory -= elementCost * n
	return f.spend(1 + n)
}
