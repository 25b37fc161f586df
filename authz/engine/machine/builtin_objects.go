package machine

func (b *library) addObjects() {
	b.track("object.get", objectGet)
	b.track("object.union", func(f *Frame, a *operands) *Value {
		x, y := a[0], a[1]
		switch {
		case x.kind != Object || y.kind != Object:
			return f.still(a)
		case len(x.elems) == 0:
			return y
		case len(y.elems) == 0:
			return x
		}
		return f.union(x, y)
	})
	b.track("object.keys", func(f *Frame, a *operands) *Value {
		if a[0].kind != Object {
			return f.alone(a[0])
		}
		if !f.room(len(a[0].keys)) {
			return nil
		}
		a[0].sort()
		v := f.make(Set)
		v.elems = append(v.elems, a[0].keys...)
		return v
	})
	b.track("object.remove", func(f *Frame, a *operands) *Value { return objectSift(f, a, false) })
	b.track("object.filter", func(f *Frame, a *operands) *Value { return objectSift(f, a, true) })
}

// alone observes the operand and declines.
func (f *Frame) alone(v *Value) *Value {
	f.observe(v)
	return decline
}

func objectGet(f *Frame, a *operands) *Value {
	if a[0].kind != Object {
		return f.still(a)
	}
	f.observe(a[1])
	if a[1].kind != Array {
		if v := a[0].get(a[1]); v != nil {
			return v
		}
		return a[2]
	}
	v := a[0]
	for _, k := range a[1].elems {
		if v = v.get(k); v == nil {
			return a[2]
		}
	}
	return v
}

// union puts y's values over those of x; where both are objects, within them.
func (f *Frame) union(x, y *Value) *Value {
	if !f.room(len(x.elems) + len(y.elems)) {
		return nil
	}
	v := f.make(Object)
	for i, k := range x.keys {
		v.push(k, x.elems[i])
	}
	for i, k := range y.keys {
		e := y.elems[i]
		if old := x.get(k); old != nil && old.kind == Object && e.kind == Object {
			if e = f.union(old, e); e == nil {
				return nil
			}
		}
		v.insert(k, e)
	}
	return v
}

// objectSift keeps the fields whose keys are among the elements of an array or
// set or the keys of an object, or those whose are not.
func objectSift(f *Frame, a *operands, in bool) *Value {
	if a[0].kind != Object || a[1].kind < Array {
		return f.still(a)
	}
	f.observe(a[1])
	if !f.room(len(a[0].elems) + len(a[1].elems)) {
		return nil
	}
	keys := a[1]
	if keys.kind == Array {
		keys = f.unite()
		for _, k := range a[1].elems {
			keys.add(k)
		}
	}
	v := f.make(Object)
	for i, k := range a[0].keys {
		if (keys.find(k) >= 0) == in {
			v.push(k, a[0].elems[i])
		}
	}
	return v
}
