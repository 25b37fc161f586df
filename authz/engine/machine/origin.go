package machine

import "slices"

// node is a path into the input, in a tree of all paths that the plan reads.
type node struct {
	parent *node
	key    string
	kids   map[string]*node
	order  []*node // kids as they were found
	whole  bool    // used as a value, not only to look further into
	slot   int     // set by number
}

func (n *node) kid(key string) *node {
	k := n.kids[key]
	if k == nil {
		k = &node{parent: n, key: key, slot: -1}
		if n.kids == nil {
			n.kids = map[string]*node{}
		}
		n.kids[key] = k
		n.order = append(n.order, k)
	}
	return k
}

// segments are the keys that lead to n.
func (n *node) segments() []string {
	if n.parent == nil {
		return nil
	}
	return append(n.parent.segments(), n.key)
}

// above reports whether n leads to k.
func (n *node) above(k *node) bool {
	for ; k != nil; k = k.parent {
		if k == n {
			return true
		}
	}
	return false
}

// within reports whether n is used as a value or part of one that is: then it
// is looked up in that value and has no slot of its own.
func (n *node) within() bool {
	for ; n != nil; n = n.parent {
		if n.whole {
			return true
		}
	}
	return false
}

// origins says what a local may hold at some point of a function: nothing yet
// (unset), the value at a path of the input, a value known at compile time, one
// that a statement makes, or any other. The zero origins hold nothing at all, for
// what is never reached.
type origins struct {
	unset, other bool
	paths        []*node
	consts       []*Value
	made         []*making // beside other: what the value may be a part of
}

// making is a statement that makes an array or object, and what is put into it.
type making struct {
	fn *fn
	in origins
}

var (
	unset   = origins{unset: true}
	unknown = origins{other: true}
)

func constant(v *Value) origins { return origins{consts: []*Value{v}} }

// set returns o without the possibility that nothing is held.
func (o origins) set() origins {
	o.unset = false
	return o
}

func (o origins) empty() bool {
	return !o.unset && !o.other && len(o.paths)+len(o.consts)+len(o.made) == 0
}

// path returns the one path whose value is held, if anything is.
func (o origins) path() *node {
	if len(o.paths) == 1 && !o.other && len(o.consts)+len(o.made) == 0 {
		return o.paths[0]
	}
	return nil
}

// value returns the one constant that is held, if anything is.
func (o origins) value() *Value {
	if len(o.consts) == 1 && !o.other && len(o.paths)+len(o.made) == 0 {
		return o.consts[0]
	}
	return nil
}

// maxConsts is how many constants are told apart.
const maxConsts = 4

// join returns what holds when either holds, and whether that is more than a.
func join(a, b origins) (origins, bool) {
	more := b.unset && !a.unset || b.other && !a.other
	a.unset, a.other = a.unset || b.unset, a.other || b.other
	for _, n := range b.paths {
		if !slices.Contains(a.paths, n) {
			a.paths, more = append(slices.Clip(a.paths), n), true
		}
	}
	for _, v := range b.consts {
		switch {
		case slices.Contains(a.consts, v), a.other && len(a.consts) == 0:
		case len(a.consts) == maxConsts:
			a.consts, a.other, more = nil, true, true
		default:
			a.consts, more = append(slices.Clip(a.consts), v), true
		}
	}
	for _, m := range b.made {
		if !slices.Contains(a.made, m) {
			a.made, more = append(slices.Clip(a.made), m), true
		}
	}
	return a, more
}
