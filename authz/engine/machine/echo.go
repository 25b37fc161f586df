package machine

import (
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ir"
)

// Echo is a slot whose text goes nowhere but into the result. Of an evaluation with
// marks in such slots, texts that are nowhere else, that means: if it has a result, it
// goes the same way with any other texts, of which none is one of Texts, and has the
// same result but for them, where marks are as a whole.
type Echo struct {
	Slot  int
	Texts []string // the constants that it is compared with
}

// Echoes lists the slots that are only echoed. What is not certain is not listed.
func (p *Program) Echoes() []Echo { return p.echoes }

// maxEchoes is how many slots are looked at: a bit each.
const maxEchoes = 64

// echoing goes over all statements to which there is a way, once flow is done and it
// is known which texts each may find where it looks, by themselves or in what was
// made. Few statements are known to do the same whatever the text: to copy it, to put
// it into an array or object, to give it back, to ask whether it is there or of what
// kind it is. All others spoil it.
type echoing struct {
	c      *compiler
	nodes  []*node // by bit
	bits   map[*node]uint64
	texts  []map[string]bool // by bit
	spoilt uint64
}

// echo finds the program's echoes.
func (c *compiler) echo() {
	e := &echoing{c: c, bits: map[*node]uint64{}}
	e.candidates(c.input)
	for _, f := range c.funcs {
		if f.reached && f.replaced {
			return
		}
		if f.reached {
			e.blocks(f.blocks)
		}
	}
	for i, n := range e.nodes {
		if e.spoilt&(1<<i) == 0 {
			c.echoes = append(c.echoes, Echo{Slot: n.slot, Texts: slices.Sorted(maps.Keys(e.texts[i]))})
		}
	}
}

// candidates are the slots that nothing is looked up in.
func (e *echoing) candidates(n *node) {
	if len(n.kids) == 0 && len(e.nodes) < maxEchoes {
		e.bits[n] = 1 << len(e.nodes)
		e.nodes, e.texts = append(e.nodes, n), append(e.texts, map[string]bool{})
	}
	if n.whole {
		return
	}
	for _, k := range n.order {
		e.candidates(k)
	}
}

func (e *echoing) blocks(bs []*ir.Block) {
	for _, b := range bs {
		for _, s := range b.Stmts {
			if e.c.visited[s] {
				e.stmt(s)
				e.blocks(within(s))
			}
		}
	}
}

// stmt lists what statements do with a text; what it does not list spoils all.
func (e *echoing) stmt(s ir.Stmt) {
	switch s := s.(type) {
	case *ir.BlockStmt, *ir.NotStmt, *ir.BreakStmt, *ir.NopStmt, *ir.ResetLocalStmt, *ir.AssignIntStmt,
		*ir.MakeNullStmt, *ir.MakeNumberIntStmt, *ir.MakeNumberRefStmt, *ir.MakeArrayStmt, *ir.MakeObjectStmt, *ir.MakeSetStmt:
		// These look at nothing.
	case *ir.IsDefinedStmt, *ir.IsUndefinedStmt, *ir.IsArrayStmt, *ir.IsObjectStmt, *ir.IsSetStmt:
		// A text is there, and a text, whichever it is.
	case *ir.AssignVarStmt, *ir.AssignVarOnceStmt, *ir.ReturnLocalStmt, *ir.ResultSetAddStmt:
		// What they copy is found where it is looked at. There is one result. What is
		// compared because it is assigned twice ends the evaluation if it differs: so
		// where marks have a result they are compared with themselves alone.
	case *ir.DotStmt:
		e.spoil(e.of(&s.Key))
	case *ir.EqualStmt:
		e.compare(&s.A, &s.B)
	case *ir.NotEqualStmt:
		e.compare(&s.A, &s.B)
	case *ir.CallStmt:
		e.call(s)
	case *ir.ArrayAppendStmt:
		e.put(&s.Array, &s.Value)
	case *ir.ObjectInsertStmt:
		e.spoil(e.of(&s.Key))
		e.put(&s.Object, &s.Value)
	case *ir.ObjectInsertOnceStmt: // as what is assigned twice
		e.spoil(e.of(&s.Key))
		e.put(&s.Object, &s.Value)
	case *ir.ScanStmt, *ir.LenStmt, *ir.SetAddStmt, *ir.ObjectMergeStmt:
		e.inspects(s)
	default:
		e.spoil(^uint64(0))
	}
}

// inspects spoils whatever a statement looks at.
func (e *echoing) inspects(s ir.Stmt) {
	reads(s, func(o *ir.Operand) { e.spoil(e.of(o)) }, func(l *ir.Local) { e.spoil(e.local(l)) })
}

func (e *echoing) spoil(bits uint64) { e.spoilt |= bits }

// of is which texts an operand may be or have in it.
func (e *echoing) of(o *ir.Operand) uint64 { return e.in(e.c.held[o]) }

func (e *echoing) local(l *ir.Local) uint64 { return e.in(e.c.held[l]) }

func (e *echoing) in(o origins) (bits uint64) {
	made := slices.Clone(o.made)
	for i := 0; ; i++ {
		for _, n := range o.paths {
			bits |= e.bits[n]
		}
		if i == len(made) {
			return bits
		}
		o = made[i].in
		for _, m := range o.made {
			if !slices.Contains(made, m) {
				made = append(made, m)
			}
		}
	}
}

// put: a value that is changed in place must have been made by statements that are
// known, so that it has no other name by which its texts would go unnoticed.
func (e *echoing) put(into *ir.Local, value *ir.Operand) {
	if h := e.c.held[into]; h.other || len(h.paths)+len(h.consts) > 0 || len(h.made) == 0 {
		e.spoil(e.of(value) | e.local(into))
	}
}

// compare: a text is no boolean and no number, and may be told from texts of the
// policy, which are noted.
func (e *echoing) compare(a, b *ir.Operand) {
	e.against(e.of(a), b)
	e.against(e.of(b), a)
}

func (e *echoing) against(bits uint64, other *ir.Operand) {
	if bits == 0 {
		return
	}
	list := e.constants(other)
	if list == nil {
		e.spoil(bits)
	}
	for _, v := range list {
		switch {
		case v.kind >= Array:
			e.spoil(bits)
		case v.kind == String:
			for i := range e.nodes {
				if bits&(1<<i) != 0 {
					e.texts[i][v.s] = true
				}
			}
		}
	}
}

// constants are the values that an operand may hold, nil if others may be held.
func (e *echoing) constants(o *ir.Operand) []*Value {
	if _, local := o.Value.(ir.Local); local {
		if h := e.c.held[o]; !h.other && len(h.paths)+len(h.made) == 0 {
			return h.consts
		}
	} else if v := e.c.constant(*o); v != nil {
		return []*Value{v}
	}
	return nil
}

// call: texts are followed into functions. Of built-ins those for kinds see a text in
// any text, object.union only passes on what is in objects, and equality is that of
// the statements for it.
func (e *echoing) call(s *ir.CallStmt) {
	if e.c.byName[s.Func] != nil {
		return
	}
	switch s.Func {
	case "is_string", "is_array", "is_object", "is_set", "is_number", "is_boolean", "is_null", "type_name", "object.union":
	case "equal", "neq":
		e.compare(&s.Args[0], &s.Args[1])
	default:
		e.inspects(s)
	}
}
