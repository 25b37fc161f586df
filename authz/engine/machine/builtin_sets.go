package machine

func (b *library) addSets() {
	b.add("and", func(f *Frame, a *operands) *Value {
		if !sets(a) {
			return decline
		}
		return f.sift(a[0], a[1], true)
	})
	b.add("or", func(f *Frame, a *operands) *Value {
		if !sets(a) {
			return decline
		}
		return f.unite(a[0], a[1])
	})
	minus := b.natives["minus"] // of numbers; sets have it too
	b.track("minus", func(f *Frame, a *operands) *Value {
		if sets(a) {
			return f.sift(a[0], a[1], false)
		}
		return minus(f, a)
	})
	b.add("union", func(f *Frame, a *operands) *Value {
		if a[0].kind != Set || !allSets(a[0]) {
			return decline
		}
		return f.unite(a[0].elems...)
	})
}

func sets(a *operands) bool { return a[0].kind == Set && a[1].kind == Set }

func allSets(v *Value) bool {
	for _, x := range v.elems {
		if x.kind != Set {
			return false
		}
	}
	return true
}

// sift keeps the elements of x that are in y, or those that are not.
func (f *Frame) sift(x, y *Value, in bool) *Value {
	if !f.room(len(x.elems)) {
		return nil
	}
	v := f.make(Set)
	for _, e := range x.elems {
		if (y.find(e) >= 0) == in {
			v.elems = append(v.elems, e)
		}
	}
	v.sorted = x.sorted
	return v
}

func (f *Frame) unite(all ...*Value) *Value {
	v := f.make(Set)
	for _, x := range all {
		if !f.room(len(x.elems)) {
			return nil
		}
		for _, e := range x.elems {
			v.add(e)
		}
	}
	return v
}
