package machine

import "slices"

// Kind is the type of a Value. The order is Rego's: values of different kinds
// compare by it.
type Kind uint8

// The kinds of JSON, and Rego's sets.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
	Set
)

// Value is a Rego value. Those of a program's data never change and may be
// shared; those of an evaluation belong to its Frame and hold until that is
// released.
type Value struct {
	kind   Kind
	clock  clock // how it depends on the clock
	truth  bool  // of a Bool
	isInt  bool  // a Number that n holds; its text is n in decimal
	sorted bool  // an Object or Set in Rego's order
	frozen bool  // shared: never changed, sorted, indexed and free of the clock
	moves  bool  // a composite that holds values that depend on the clock
	shape  bool  // an Object of which only the presence is known (see paths.go)
	base   bool  // of the base document: see Frame.ambiguous
	wall   bool  // an Array that time.clock made of the running clock: see Frame.orderWall
	sealed bool  // what a rule gave: others may hold it, so it is not changed any more

	n     int64    // the integer; of a wall clock the nanoseconds since midnight
	until int64    // see clock; of a wall clock the end of its day
	s     string   // a String, or the text of a Number that is no int64
	elems []*Value // of an Array or Set; the values of an Object
	keys  []*Value // of an Object
	table []int32  // where keys (of a Set: elems) are, by hash; see index.go
}

// Kind returns the value's type.
func (v *Value) Kind() Kind { return v.kind }

// Bool returns whether v is true.
func (v *Value) Bool() bool { return v.kind == Bool && v.truth }

// Text returns the text of a String, "" of any other value.
func (v *Value) Text() string {
	if v.kind != String {
		return ""
	}
	return v.s
}

// Int returns a Number that is an integer of 64 bits.
func (v *Value) Int() (int64, bool) { return v.n, v.kind == Number && v.isInt }

// Len returns how many elements an Array or Set or how many keys an Object has.
func (v *Value) Len() int { return len(v.elems) }

// At returns the i-th element of an Array or Set or value of an Object; objects
// and sets are in Rego's order after Sort.
func (v *Value) At(i int) *Value { return v.elems[i] }

// Key returns the i-th key of an Object.
func (v *Value) Key(i int) *Value { return v.keys[i] }

// Field returns an Object's value under a text key, nil if there is none.
func (v *Value) Field(name string) *Value {
	if v.kind != Object {
		return nil
	}
	probe := Value{kind: String, s: name}
	if i := v.find(&probe); i >= 0 {
		return v.elems[i]
	}
	return nil
}

// Sort puts an Object or Set into Rego's order.
func (v *Value) Sort() { v.sort() }

// get looks key up in v: nil if it is not there or v has no elements.
func (v *Value) get(key *Value) *Value {
	switch v.kind {
	case Object:
		if i := v.find(key); i >= 0 {
			return v.elems[i]
		}
	case Array:
		if i, ok := key.index(); ok && i < len(v.elems) {
			return v.elems[i]
		}
	case Set:
		if v.find(key) >= 0 {
			return key
		}
	}
	return nil
}

// index reads a Number as an index, as OPA does: 1.0 is none.
func (v *Value) index() (int, bool) {
	if v.kind != Number {
		return 0, false
	}
	if v.isInt {
		return int(v.n), v.n >= 0
	}
	n, ok := v.number().Int()
	return n, ok && n >= 0
}

// insert puts x under k into an unshared object, in place of what is there.
func (v *Value) insert(k, x *Value) {
	if i := v.find(k); i >= 0 {
		v.elems[i] = x
		v.moves = v.moves || x.moving()
		return
	}
	v.push(k, x)
}

// push adds a key that v lacks.
func (v *Value) push(k, x *Value) {
	v.sorted = v.sorted && (len(v.keys) == 0 || compare(v.keys[len(v.keys)-1], k) < 0)
	v.keys = append(v.keys, k)
	v.elems = append(v.elems, x)
	v.moves = v.moves || x.moving()
	v.enter(k, len(v.keys)-1)
}

// add puts x into an unshared set.
func (v *Value) add(x *Value) bool {
	if v.find(x) >= 0 {
		return false
	}
	v.sorted = v.sorted && (len(v.elems) == 0 || compare(v.elems[len(v.elems)-1], x) < 0)
	v.elems = append(v.elems, x)
	v.enter(x, len(v.elems)-1)
	return true
}

// push one element onto an unshared array.
func (v *Value) append(x *Value) {
	v.elems = append(v.elems, x)
	v.moves = v.moves || x.moving()
}

func (v *Value) sort() {
	if v.sorted || v.kind < Object {
		return
	}
	if v.kind == Set {
		slices.SortFunc(v.elems, compare)
	} else {
		sortPairs(v.keys, v.elems)
	}
	v.sorted = true
	v.reindex()
}

// sortPairs sorts keys, which all differ, and moves elems along.
func sortPairs(keys, elems []*Value) {
	if len(keys) <= 12 {
		for i := 1; i < len(keys); i++ {
			for j := i; j > 0 && compare(keys[j], keys[j-1]) < 0; j-- {
				keys[j], keys[j-1] = keys[j-1], keys[j]
				elems[j], elems[j-1] = elems[j-1], elems[j]
			}
		}
		return
	}
	type pair struct{ k, v *Value }
	pairs := make([]pair, len(keys))
	for i := range keys {
		pairs[i] = pair{keys[i], elems[i]}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return compare(a.k, b.k) })
	for i := range pairs {
		keys[i], elems[i] = pairs[i].k, pairs[i].v
	}
}

// freeze makes v and all in it shareable.
func (v *Value) freeze() *Value {
	if v.frozen {
		return v
	}
	for _, x := range v.keys {
		x.freeze()
	}
	for _, x := range v.elems {
		x.freeze()
	}
	v.sort()
	v.reindex()
	v.frozen = true
	return v
}
