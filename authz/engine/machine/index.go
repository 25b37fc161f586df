package machine

import (
	"hash/maphash"
	"math"
)

// linear is up to how many keys are compared one by one: with so few, that is
// faster than to hash.
const linear = 8

// seed is chosen anew by each process, so that nobody can send keys that all
// fall into one place of a table.
var seed = maphash.MakeSeed()

// find returns the place of key among the keys of an object or elements of a
// set, -1 if it is not there.
func (v *Value) find(key *Value) int {
	in := v.keys
	if v.kind == Set {
		in = v.elems
	}
	if len(in) <= linear {
		if key.kind == String {
			for i, x := range in {
				if x == key || x.kind == String && x.s == key.s {
					return i
				}
			}
			return -1
		}
		for i, x := range in {
			if equal(x, key) {
				return i
			}
		}
		return -1
	}
	if len(v.table) == 0 {
		v.fill(in)
	}
	mask := uint64(len(v.table) - 1)
	for at := hash(key) & mask; ; at = (at + 1) & mask {
		i := v.table[at]
		if i == 0 {
			return -1
		}
		if equal(in[i-1], key) {
			return int(i - 1)
		}
	}
}

// enter notes that the key is at place i, the last.
func (v *Value) enter(key *Value, i int) {
	if len(v.table) == 0 {
		return // filled when it is needed
	}
	if 2*(i+1) > len(v.table) {
		v.table = v.table[:0]
		return
	}
	v.place(key, i)
}

func (v *Value) place(key *Value, i int) {
	mask := uint64(len(v.table) - 1)
	at := hash(key) & mask
	for v.table[at] != 0 {
		at = (at + 1) & mask
	}
	v.table[at] = int32(i + 1)
}

// fill makes the table: at most half full, with room to grow.
func (v *Value) fill(in []*Value) {
	size := 4 * linear
	for size < 3*len(in) {
		size *= 2
	}
	if cap(v.table) >= size {
		v.table = v.table[:size]
		clear(v.table)
	} else {
		v.table = make([]int32, size)
	}
	for i, k := range in {
		v.place(k, i)
	}
}

// reindex makes the table after the order has changed.
func (v *Value) reindex() {
	v.table = v.table[:0]
	in := v.keys
	if v.kind == Set {
		in = v.elems
	}
	if v.kind >= Object && len(in) > linear {
		v.fill(in)
	}
}

// hash is the same for values that are equal.
func hash(v *Value) uint64 {
	switch v.kind {
	case Bool:
		if v.truth {
			return 3
		}
		return 2
	case Number:
		return mix(math.Float64bits(v.float()))
	case String:
		return maphash.String(seed, v.s)
	case Array:
		h := uint64(len(v.elems))
		for _, x := range v.elems {
			h = mix(h ^ hash(x))
		}
		return h
	case Set, Object: // any order
		h := uint64(len(v.elems))
		for i, x := range v.elems {
			one := hash(x)
			if v.kind == Object {
				one ^= mix(hash(v.keys[i]))
			}
			h += mix(one)
		}
		return h
	}
	return 1
}

func mix(x uint64) uint64 { return maphash.Comparable(seed, x) }
