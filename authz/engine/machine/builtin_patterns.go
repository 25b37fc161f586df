package machine

import (
	"regexp"
	"sync/atomic"

	"github.com/gobwas/glob"
)

// regexMatch is regex.match with a fixed pattern, nil if that is none. Go's
// expressions take time in proportion to the text.
func regexMatch(pattern string) native {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil
	}
	table := newAutomaton(pattern)
	return func(f *Frame, a *operands) *Value {
		if a[1].kind != String || !f.spend(len(a[1].s)/4) {
			return decline
		}
		if table != nil {
			if is, ok := table.match(a[1].s); ok {
				return boolValue(is)
			}
		}
		return boolValue(re.MatchString(a[1].s))
	}
}

// globMatch is glob.match with a fixed pattern. The delimiters, nearly always
// the same, are compiled when they are first met.
func globMatch(pattern string) native {
	type prepared struct {
		delimiters string
		pattern    *glob.Pattern
	}
	var last atomic.Pointer[prepared]
	return func(f *Frame, a *operands) *Value {
		delimiters, ok := f.delimiters(a[1])
		if !ok || a[2].kind != String || !f.spend(globEffort(pattern, a[2].s, string(delimiters))) {
			return decline
		}
		p := last.Load()
		if p == nil || p.delimiters != string(delimiters) {
			g, err := glob.Compile(pattern, []rune(string(delimiters))...)
			if err != nil {
				return decline
			}
			p = &prepared{string(delimiters), g}
			last.Store(p)
		}
		return boolValue(p.pattern.Match(a[2].s))
	}
}

// delimiters spells those of glob.match: null is none, an empty array ".".
func (f *Frame) delimiters(v *Value) ([]byte, bool) {
	b := f.scratch[:0]
	switch {
	case v.kind == Null:
		return b, true
	case v.kind != Array:
		return nil, false
	case len(v.elems) == 0:
		return append(b, '.'), true
	}
	for _, x := range v.elems {
		if x.kind != String || len(x.s) != 1 { // longer ones are OPA's
			return nil, false
		}
		b = append(b, x.s...)
	}
	f.scratch = b
	return b, true
}
