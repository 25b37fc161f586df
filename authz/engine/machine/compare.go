package machine

import (
	"cmp"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// compare orders values as Rego does. It takes no notice of the clock: see
// Frame.order.
func compare(a, b *Value) int {
	if a == b {
		return 0
	}
	if a.kind != b.kind {
		return cmp.Compare(a.kind, b.kind)
	}
	switch a.kind {
	case Bool:
		return compareBool(a.truth, b.truth)
	case Number:
		return compareNumbers(a, b)
	case String:
		return strings.Compare(a.s, b.s)
	case Object:
		a, b = inOrder(a), inOrder(b)
		for i := range min(len(a.keys), len(b.keys)) {
			if c := compare(a.keys[i], b.keys[i]); c != 0 {
				return c
			}
			if c := compare(a.elems[i], b.elems[i]); c != 0 {
				return c
			}
		}
	case Set:
		a, b = inOrder(a), inOrder(b)
		fallthrough
	case Array:
		for i := range min(len(a.elems), len(b.elems)) {
			if c := compare(a.elems[i], b.elems[i]); c != 0 {
				return c
			}
		}
	}
	return cmp.Compare(len(a.elems), len(b.elems))
}

func inOrder(v *Value) *Value {
	v.sort()
	return v
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func compareNumbers(a, b *Value) int {
	if a.isInt && b.isInt {
		return cmp.Compare(a.n, b.n)
	}
	return ast.NumberCompare(a.number(), b.number())
}

// equal is compare(a, b) == 0, faster where they differ.
func equal(a, b *Value) bool {
	if a == b {
		return true
	}
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case String:
		return a.s == b.s
	case Bool:
		return a.truth == b.truth
	case Number:
		return compareNumbers(a, b) == 0
	case Null:
		return true
	}
	if len(a.elems) != len(b.elems) {
		return false
	}
	return compare(a, b) == 0
}
