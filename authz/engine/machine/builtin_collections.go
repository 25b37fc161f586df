package machine

import "unicode/utf8"

func (b *library) addCollections() {
	b.track("count", func(f *Frame, a *operands) *Value {
		switch v := a[0]; {
		case v.kind >= Array: // how many they are does not move
			return f.integer(int64(len(v.elems)))
		case v.kind == String:
			f.observe(v)
			return f.integer(int64(utf8.RuneCountInString(v.s)))
		}
		return f.alone(a[0])
	})
	b.add("sum", func(f *Frame, a *operands) *Value {
		v := a[0]
		if v.kind != Array && v.kind != Set || !f.spend(len(v.elems)) {
			return decline
		}
		var sum int64
		for _, x := range v.elems {
			// Far from overflow; OPA does the rest.
			if !x.isNumber() || x.n > 1<<40 || x.n < -1<<40 || len(v.elems) > 1<<20 {
				return decline
			}
			sum += x.n
		}
		return f.integer(sum)
	})
	b.add("max", func(f *Frame, a *operands) *Value { return extreme(f, a[0], 1) })
	b.add("min", func(f *Frame, a *operands) *Value { return extreme(f, a[0], -1) })
	b.track("internal.member_2", member)
	b.track("internal.member_3", func(f *Frame, a *operands) *Value {
		key, value, in := a[0], a[1], a[2]
		f.observe(key)
		x := in.get(key)
		return boolValue(x != nil && f.same(x, value))
	})
}

func extreme(f *Frame, v *Value, sign int) *Value {
	if v.kind != Array && v.kind != Set || !f.spend(len(v.elems)) {
		return decline
	}
	var best *Value
	for _, x := range v.elems {
		if best == nil || sign*compare(x, best) >= 0 {
			best = x
		}
	}
	return best
}

// member is `x in list`.
func member(f *Frame, a *operands) *Value {
	x, in := a[0], a[1]
	switch {
	case in.kind < Array:
		return falseValue
	case in.kind == Set:
		f.observe(x)
		return boolValue(in.find(x) >= 0)
	}
	for _, e := range in.elems {
		if !f.spend(1) {
			return nil
		}
		if f.same(e, x) {
			return trueValue
		}
	}
	return falseValue
}
