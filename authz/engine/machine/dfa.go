package machine

import (
	"regexp/syntax"
	"slices"
)

// Policies ask regex.match of short texts again and again, and Go's regexp takes
// 10 ns a byte. A pattern whose only conditions are ^ and $ is a table here: 1 ns
// a byte. Texts that are not ASCII are Go's.

const (
	maxStates = 1024 // {1,256} takes 257
	// Two states that are told apart from the others.
	matched = -1
	failed  = -2
)

// automaton is a table by state and class of byte: the next state, matched or
// failed.
type automaton struct {
	class   [128]uint8
	classes int
	next    []int16
	ends    []bool // by state: a text that ends here matches
	start   int16
}

// newAutomaton returns nil for a pattern that does not become one.
func newAutomaton(pattern string) *automaton {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil || len(prog.Inst) > 4*maxStates {
		return nil
	}
	b := &builder{prog: prog, states: map[string]int16{}}
	for i := range prog.Inst {
		const only = syntax.EmptyBeginText | syntax.EmptyEndText
		if in := &prog.Inst[i]; in.Op == syntax.InstEmptyWidth && syntax.EmptyOp(in.Arg)&^only != 0 {
			return nil
		}
	}
	b.classify()
	return b.build()
}

type builder struct {
	prog   *syntax.Prog
	a      automaton
	sample []byte // one byte of each class
	states map[string]int16
	sets   [][]uint32
}

// classify puts bytes together that no instruction tells apart.
func (b *builder) classify() {
	seen := map[string]uint8{}
	for c := range 128 {
		var key []byte
		for i := range b.prog.Inst {
			in := &b.prog.Inst[i]
			key = append(key, '0')
			if consumes(in) && in.MatchRune(rune(c)) {
				key[i] = '1'
			}
		}
		class, ok := seen[string(key)]
		if !ok {
			class = uint8(len(seen))
			seen[string(key)] = class
			b.sample = append(b.sample, byte(c))
		}
		b.a.class[c] = class
	}
	b.a.classes = len(seen)
}

func consumes(in *syntax.Inst) bool {
	switch in.Op {
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return true
	}
	return false
}

// closure adds the instructions that are reached from pc without a byte.
func (b *builder) closure(set []uint32, pc uint32, at syntax.EmptyOp, seen []bool) []uint32 {
	if seen[pc] {
		return set
	}
	seen[pc] = true
	in := &b.prog.Inst[pc]
	switch in.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		return b.closure(b.closure(set, in.Out, at, seen), in.Arg, at, seen)
	case syntax.InstCapture, syntax.InstNop:
		return b.closure(set, in.Out, at, seen)
	case syntax.InstEmptyWidth:
		if syntax.EmptyOp(in.Arg)&^at == 0 {
			return b.closure(set, in.Out, at, seen)
		}
		return append(set, pc) // perhaps at the end
	case syntax.InstFail:
		return set
	}
	return append(set, pc)
}

// state returns the number of a set of instructions.
func (b *builder) state(set []uint32) int16 {
	slices.Sort(set)
	key := make([]byte, 0, 4*len(set))
	for _, pc := range set {
		if b.prog.Inst[pc].Op == syntax.InstMatch {
			return matched
		}
		key = append(key, byte(pc), byte(pc>>8), byte(pc>>16))
	}
	n, ok := b.states[string(key)]
	if !ok {
		n = int16(len(b.sets))
		b.states[string(key)] = n
		b.sets = append(b.sets, set)
	}
	return n
}

func (b *builder) build() *automaton {
	size := len(b.prog.Inst)
	// The first state is like no other: only there an end is a beginning too.
	if b.a.start = b.state(b.closure(nil, uint32(b.prog.Start), syntax.EmptyBeginText, make([]bool, size))); b.a.start == 0 {
		clear(b.states)
	}
	for s := 0; s < len(b.sets); s++ {
		if len(b.sets) > maxStates || len(b.sets)*b.a.classes > 1<<16 {
			return nil
		}
		b.a.ends = append(b.a.ends, b.ends(b.sets[s], s == int(b.a.start)))
		for _, c := range b.sample {
			set, seen := []uint32(nil), make([]bool, size)
			for _, pc := range b.sets[s] {
				if in := &b.prog.Inst[pc]; consumes(in) && in.MatchRune(rune(c)) {
					set = b.closure(set, in.Out, 0, seen)
				}
			}
			set = b.closure(set, uint32(b.prog.Start), 0, seen) // a match may begin anywhere
			next := int16(failed)
			if set = b.alive(set); len(set) > 0 {
				next = b.state(set)
			}
			b.a.next = append(b.a.next, next)
		}
	}
	return &b.a
}

// alive drops what needs the text's beginning, which is past.
func (b *builder) alive(set []uint32) []uint32 {
	return slices.DeleteFunc(set, func(pc uint32) bool {
		in := &b.prog.Inst[pc]
		return in.Op == syntax.InstEmptyWidth && syntax.EmptyOp(in.Arg)&syntax.EmptyBeginText != 0
	})
}

// ends reports whether a text that ends in this state matches.
func (b *builder) ends(set []uint32, start bool) bool {
	at, seen := syntax.EmptyEndText, make([]bool, len(b.prog.Inst))
	if start {
		at |= syntax.EmptyBeginText
	}
	var end []uint32
	for _, pc := range set {
		end = b.closure(end, pc, at, seen)
	}
	return slices.ContainsFunc(end, func(pc uint32) bool { return b.prog.Inst[pc].Op == syntax.InstMatch })
}

// match reports whether s matches; it is not ok if s is not ASCII.
func (a *automaton) match(s string) (is, ok bool) {
	if a.start == matched {
		return true, true
	}
	state := a.start
	for i := range len(s) {
		c := s[i]
		if c >= 128 {
			return false, false
		}
		if state = a.next[int(state)*a.classes+int(a.class[c])]; state < 0 {
			return state == matched, true
		}
	}
	return a.ends[state], true
}
