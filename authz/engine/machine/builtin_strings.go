package machine

import (
	"strings"
	"unicode/utf8"
)

func (b *library) addStrings() {
	test := func(name string, is func(s, t string) bool) {
		b.add(name, func(f *Frame, a *operands) *Value {
			if !texts(a) || !f.spend(len(a[0].s)/64) {
				return decline
			}
			return boolValue(is(a[0].s, a[1].s))
		})
	}
	test("startswith", strings.HasPrefix)
	test("endswith", strings.HasSuffix)
	test("contains", strings.Contains)
	change := func(name string, to func(string) string) {
		b.add(name, func(f *Frame, a *operands) *Value {
			if a[0].kind != String || !f.spend(len(a[0].s)/16) {
				return decline
			}
			return f.changed(a[0], to(a[0].s))
		})
	}
	change("lower", strings.ToLower)
	change("upper", strings.ToUpper)
	b.add("concat", concat)
	b.add("split", split)
	b.add("substring", substring)
	b.add("indexof", func(f *Frame, a *operands) *Value {
		if !texts(a) || a[1].s == "" || !ascii(a[0].s) || !f.spend(len(a[0].s)/16) {
			return decline
		}
		return f.integer(int64(strings.Index(a[0].s, a[1].s)))
	})
	b.add("strings.count", func(f *Frame, a *operands) *Value {
		if !texts(a) || !f.spend(len(a[0].s)/16) {
			return decline
		}
		return f.integer(int64(strings.Count(a[0].s, a[1].s)))
	})
	affix := func(name string, is func(s, t string) bool) {
		b.add(name, func(f *Frame, a *operands) *Value { return anyAffix(f, a, is) })
	}
	affix("strings.any_prefix_match", strings.HasPrefix)
	affix("strings.any_suffix_match", strings.HasSuffix)
}

func texts(a *operands) bool { return a[0].kind == String && a[1].kind == String }

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// changed is v where the text is the same, and its part needs no copy.
func (f *Frame) changed(v *Value, s string) *Value {
	if s == v.s {
		return v
	}
	return f.fresh(s)
}

// allTexts reports whether v is an array or set of texts, and how long they are.
func allTexts(v *Value) (n int, ok bool) {
	if v.kind != Array && v.kind != Set {
		return 0, false
	}
	for _, x := range v.elems {
		if x.kind != String {
			return 0, false
		}
		n += len(x.s)
	}
	return n, true
}

func concat(f *Frame, a *operands) *Value {
	separator, list := a[0], a[1]
	n, ok := allTexts(list)
	if !ok || separator.kind != String {
		return decline
	}
	switch len(list.elems) {
	case 0:
		return emptyText
	case 1:
		return list.elems[0]
	}
	list.sort()
	n += len(separator.s) * (len(list.elems) - 1)
	if f.memory < n || !f.spend(len(list.elems)+n/64) {
		f.memory -= n
		f.refuel()
		return nil
	}
	b := f.scratch[:0]
	for i, x := range list.elems {
		if i > 0 {
			b = append(b, separator.s...)
		}
		b = append(b, x.s...)
	}
	if cap(b) <= 4096 {
		f.scratch = b
	}
	return f.fresh(f.intern(b))
}

func split(f *Frame, a *operands) *Value {
	if !texts(a) || a[1].s == "" {
		return decline
	}
	v, s, by := f.make(Array), a[0].s, a[1].s
	for {
		if !f.spend(1) {
			return nil
		}
		i := strings.Index(s, by)
		if i < 0 {
			break
		}
		v.append(f.text(s[:i]))
		s = s[i+len(by):]
	}
	v.append(f.text(s))
	f.memory -= elementCost * len(v.elems)
	return v
}

func substring(f *Frame, a *operands) *Value {
	if a[0].kind != String || !a[1].isNumber() || !a[2].isNumber() || a[1].n < 0 || !ascii(a[0].s) {
		return decline
	}
	s, from, n := a[0].s, a[1].n, a[2].n
	if from >= int64(len(s)) {
		return emptyText
	}
	s = s[from:]
	if n >= 0 && n < int64(len(s)) {
		s = s[:n]
	}
	return f.text(s)
}

func anyAffix(f *Frame, a *operands, is func(s, t string) bool) *Value {
	one := func(s string) bool {
		if a[1].kind == String {
			return is(s, a[1].s)
		}
		for _, x := range a[1].elems {
			if is(s, x.s) {
				return true
			}
		}
		return false
	}
	if _, ok := allTexts(a[1]); !ok && a[1].kind != String {
		return decline
	}
	if a[0].kind == String {
		if !f.spend(1 + len(a[1].elems)) {
			return nil
		}
		return boolValue(one(a[0].s))
	}
	if _, ok := allTexts(a[0]); !ok {
		return decline
	}
	for _, x := range a[0].elems {
		if !f.spend(1 + len(a[1].elems)) {
			return nil
		}
		if one(x.s) {
			return trueValue
		}
	}
	return falseValue
}
