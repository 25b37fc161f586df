package machine

import "unsafe"

const (
	chunk     = 64
	valueSize = int(unsafe.Sizeof(Value{}))
	// keep is how large a frame may be that is kept for the next evaluation, in
	// chunks; and spare how long the slices of a value in it.
	keep  = 64
	spare = 256
)

// arena makes values without garbage: they are used again after a reset, with
// the room of their slices.
type arena struct {
	chunks []*[chunk]Value
	used   int
}

func (a *arena) reset()          { a.used = 0 }
func (a *arena) overgrown() bool { return len(a.chunks) > keep }

func (a *arena) next() *Value {
	if a.used == len(a.chunks)*chunk {
		a.chunks = append(a.chunks, new([chunk]Value))
	}
	v := &a.chunks[a.used/chunk][a.used%chunk]
	a.used++
	return v
}

// make returns an empty value of the frame's own.
func (f *Frame) make(k Kind) *Value {
	f.memory -= valueSize
	v := f.arena.next()
	if k >= Array {
		if cap(v.elems) > spare {
			v.elems, v.keys, v.table = nil, nil, nil
		}
		v.elems, v.keys, v.table = v.elems[:0], v.keys[:0], v.table[:0]
		v.sorted, v.s = true, ""
	} else if len(v.elems) > 0 {
		// A scalar where a composite was: whoever follows elements without asking
		// for the kind would follow those, to this very value perhaps.
		v.elems, v.keys = v.elems[:0], v.keys[:0]
	}
	v.kind, v.clock, v.isInt, v.frozen, v.sealed, v.moves, v.shape, v.base, v.wall = k, still, false, false, false, false, false, false, false
	return v
}

func (f *Frame) text(s string) *Value {
	v := f.make(String)
	v.s = s
	return v
}

// fresh is text for a string that was made for it.
func (f *Frame) fresh(s string) *Value {
	f.memory -= len(s)
	return f.text(s)
}

func (f *Frame) integer(n int64) *Value {
	if n >= 0 && n < int64(len(smallInts)) {
		return &smallInts[n]
	}
	v := f.make(Number)
	v.isInt, v.n = true, n
	return v
}

// elementCost is what a place in a composite counts for: the pointers and, in
// objects and sets, the table.
const elementCost = 24
