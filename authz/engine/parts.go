package engine

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// parts keep what was made of things that are shared and never change, sessions
// and routes, by their address. Each place of the table holds on to the thing
// itself, so that its address cannot become another's meanwhile.
type parts[T, V any] struct {
	table []atomic.Pointer[part[T, V]]
	shift int
}

type part[T, V any] struct {
	of *T
	is V
}

// newParts returns a table of n places, a power of two.
func newParts[T, V any](n int) *parts[T, V] {
	return &parts[T, V]{table: make([]atomic.Pointer[part[T, V]], n), shift: 65 - bits.Len(uint(n))}
}

// at returns x's place: the upper bits of a product with the golden ratio
// spread addresses, which are alike in their lower ones.
func (p *parts[T, V]) at(x *T) *atomic.Pointer[part[T, V]] {
	return &p.table[uint64(uintptr(unsafe.Pointer(x)))*0x9e3779b97f4a7c15>>p.shift]
}

func (p *parts[T, V]) get(x *T) (is V, ok bool) {
	if have := p.at(x).Load(); have != nil && have.of == x {
		return have.is, true
	}
	return is, false
}

func (p *parts[T, V]) put(x *T, is V) { p.at(x).Store(&part[T, V]{x, is}) }
