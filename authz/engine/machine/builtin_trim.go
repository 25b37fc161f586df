package machine

import "strings"

// Trimmed texts are parts of what they were, so they cost nothing.
func (b *library) addTrimming() {
	b.add("trim_space", func(f *Frame, a *operands) *Value {
		if a[0].kind != String {
			return decline
		}
		return f.part(a[0], strings.TrimSpace(a[0].s))
	})
	for name, trim := range map[string]func(s, t string) string{
		"trim":        strings.Trim,
		"trim_left":   strings.TrimLeft,
		"trim_right":  strings.TrimRight,
		"trim_prefix": strings.TrimPrefix,
		"trim_suffix": strings.TrimSuffix,
	} {
		b.add(name, func(f *Frame, a *operands) *Value {
			if !texts(a) || !f.spend((len(a[0].s)+len(a[1].s))/16) {
				return decline
			}
			return f.part(a[0], trim(a[0].s, a[1].s))
		})
	}
}

func (f *Frame) part(v *Value, s string) *Value {
	if len(s) == len(v.s) {
		return v
	}
	return f.text(s)
}
