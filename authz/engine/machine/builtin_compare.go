package machine

func (b *library) addComparisons() {
	b.track("equal", func(f *Frame, a *operands) *Value { return boolValue(f.same(a[0], a[1])) })
	b.track("neq", func(f *Frame, a *operands) *Value { return boolValue(!f.same(a[0], a[1])) })
	b.track("lt", func(f *Frame, a *operands) *Value { return boolValue(f.order(a[0], a[1]) < 0) })
	b.track("lte", func(f *Frame, a *operands) *Value { return boolValue(f.order(a[0], a[1]) <= 0) })
	b.track("gt", func(f *Frame, a *operands) *Value { return boolValue(f.order(a[0], a[1]) > 0) })
	b.track("gte", func(f *Frame, a *operands) *Value { return boolValue(f.order(a[0], a[1]) >= 0) })
}
