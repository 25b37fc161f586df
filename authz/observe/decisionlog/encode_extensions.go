package decisionlog

import (
	"maps"
	"slices"
)

func (e *encoder) extensions(m map[string]string) {
	e.b = append(e.b, '{')
	if usual(m) {
		first := true
		for _, k := range usualExtensions {
			if v, there := m[k]; there {
				e.extension(first, k, v)
				first = false
			}
		}
	} else {
		for i, k := range slices.Sorted(maps.Keys(m)) {
			e.extension(i == 0, k, m[k])
		}
	}
	e.b = append(e.b, '}')
}

// usualExtensions are those that the gate's own edge sends, in order: to look them
// up is quicker than to go through a map.
var usualExtensions = [...]string{"route", "routes"}

// usual reports whether m has no others.
func usual(m map[string]string) bool {
	n := 0
	for _, k := range usualExtensions {
		if _, there := m[k]; there {
			n++
		}
	}
	return n == len(m)
}

func (e *encoder) extension(first bool, name, value string) {
	if !first {
		e.b = append(e.b, ',')
	}
	e.text(name, maxShort, "/input/attributes/contextExtensions")
	e.b = append(e.b, ':')
	e.text(value, maxValue, "/input/attributes/contextExtensions")
}
