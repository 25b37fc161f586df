package machine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Options bound the evaluations of a program. Zero values mean the defaults.
type Options struct {
	// Steps is how many turns of loops, calls and touched elements one
	// evaluation may take; the default is 1<<20, some 20 ms.
	Steps int
	// Memory is how many bytes of values it may make; the default is 32 MiB.
	Memory int
	// Outcomes has the program note how its blocks end, at the price of speed.
	// What no input can bring about, it says, is no outcome. nil: nothing is noted.
	Outcomes Schema
}

// Program is a plan that is ready to run. It never changes; any number of
// goroutines may use it at once, each with a Frame of its own.
type Program struct {
	entry     *fn
	funcs     []*fn
	code      []op
	stmts     []stmt  // of code: what is not an operation of its own
	exits     []int32 // of code: where to go on when so many blocks are left
	byPath    map[string]*fn
	slots     []Path
	echoes    []Echo
	data      *Value
	rules     []Rule
	widest    int
	limits    Options
	outcomes  []Outcome
	steps     int
	stepHints map[int]Hint
	frames    sync.Pool
	zones     zones
	hook      func(*topdown.BuiltinContext) // for tests
}

// fn is a function of the plan: a rule, or several of one name.
type fn struct {
	id        int
	name      string
	path      string
	blocks    []*ir.Block
	params    []ir.Local
	ret       ir.Local
	locals    int
	plain     bool // without arguments but input and data: remembers its value
	in        []origins
	out       origins
	callers   map[*fn]bool
	reached   bool
	replaced  bool // its input is set otherwise than by with
	partial   bool // it may have no value
	registers map[ir.Local]int32
	args      []argument // those that it looks at
	start     int32      // in Program.code
}

type compiler struct {
	*Program
	pol     *ir.Policy
	byName  map[string]*fn
	strings []*Value
	numbers map[int]*Value
	facts   map[*ir.DotStmt]fact
	visited map[ir.Stmt]bool // there is a way to it
	makings map[ir.Stmt]*making
	fresh   map[*ir.AssignVarOnceStmt]bool // the target is unset before
	final   map[*ir.AssignVarOnceStmt]bool // the function has its value: see early.go
	held    map[any]origins                // what a *ir.Operand or *ir.Local holds
	uses    map[any]use
	passed  map[*ir.DotStmt]bool      // the path is known to be there
	void    map[ir.Stmt]bool          // undefined whenever it is reached
	dead    map[ir.Stmt]bool          // nobody looks at the target
	last    map[*ir.NotEqualStmt]bool // nobody else looks at its operand
	lastArg map[*ir.CallStmt]bool     // nobody else looks at its second operand
	turns   map[*ir.ScanStmt]turns
	input   *node
	queue   []*fn
	fn      *fn          // that is compiled
	head    *ir.Location // of the rule that is compiled
	library *library
	ends    map[*ir.Block]*ends
	hints   map[*ir.Block]map[int]Hint
	asm     assembly
}

// Compile makes a program of the plan for entrypoint, the plan's name such as
// "neosc/authz/decision". data is the base document, JSON values or *Value; it
// is copied. The error is an *Unsupported when the machine cannot run the plan.
// The plan is not kept; operands that were decoded from JSON are put right.
func Compile(pol *ir.Policy, data any, entrypoint string, o Options) (*Program, error) {
	o.Steps, o.Memory = cmp.Or(o.Steps, 1<<20), cmp.Or(o.Memory, 32<<20)
	base, err := Of(data)
	if err != nil {
		return nil, fmt.Errorf("policy data: %w", err)
	}
	base = base.rooted()
	c := &compiler{
		Program: &Program{byPath: map[string]*fn{}, stepHints: map[int]Hint{}, limits: o, data: base},
		pol:     pol, byName: map[string]*fn{}, numbers: map[int]*Value{},
		facts: map[*ir.DotStmt]fact{}, visited: map[ir.Stmt]bool{}, makings: map[ir.Stmt]*making{},
		fresh: map[*ir.AssignVarOnceStmt]bool{}, final: map[*ir.AssignVarOnceStmt]bool{},
		held: map[any]origins{}, uses: map[any]use{}, passed: map[*ir.DotStmt]bool{}, void: map[ir.Stmt]bool{},
		dead: map[ir.Stmt]bool{}, last: map[*ir.NotEqualStmt]bool{}, lastArg: map[*ir.CallStmt]bool{}, turns: map[*ir.ScanStmt]turns{}, input: &node{slot: -1}, library: newLibrary(),
		ends: map[*ir.Block]*ends{}, hints: map[*ir.Block]map[int]Hint{},
	}
	if err := normalise(pol); err != nil {
		return nil, err
	}
	if err := c.declare(entrypoint); err != nil {
		return nil, err
	}
	c.analyse()
	c.number(c.input)
	c.echo()
	if err := c.emit(); err != nil {
		return nil, err
	}
	return c.Program, nil
}

// declare makes the constants and functions known.
func (c *compiler) declare(entrypoint string) error {
	if c.pol.Static != nil {
		for _, s := range c.pol.Static.Strings {
			c.strings = append(c.strings, &Value{kind: String, s: s.Value, frozen: true})
		}
	}
	if c.pol.Funcs != nil {
		for _, f := range c.pol.Funcs.Funcs {
			if c.byName[f.Name] != nil {
				return &Unsupported{What: "two functions of one name", Func: f.Name}
			}
			g := c.add(f.Name, f.Blocks, f.Params, f.Return)
			g.path = strings.Join(f.Path, "\x00")
			c.byName[f.Name] = g
			c.early(g)
			if f.Path != nil {
				c.byPath[g.path] = g
			}
		}
	}
	var names []string
	if c.pol.Plans != nil {
		for _, p := range c.pol.Plans.Plans {
			if p.Name == entrypoint {
				c.entry = c.add("", p.Blocks, []ir.Local{ir.Input, ir.Data}, -1)
			}
			names = append(names, p.Name)
		}
	}
	if c.entry == nil {
		return &Unsupported{What: fmt.Sprintf("no entry point %q, only %q", entrypoint, names)}
	}
	return nil
}

func (c *compiler) add(name string, blocks []*ir.Block, params []ir.Local, ret ir.Local) *fn {
	f := &fn{id: len(c.funcs), name: name, blocks: blocks, params: params, ret: ret, callers: map[*fn]bool{}}
	f.plain = len(params) == 2
	f.in = make([]origins, len(params))
	highest := max(ir.Unused, ret, slices.Max(params))
	for _, b := range blocks {
		eachLocal(b, func(l ir.Local) { highest = max(highest, l) })
	}
	f.locals = int(highest) + 1
	f.replaced = replaces(blocks)
	c.funcs = append(c.funcs, f)
	return f
}

// analyse follows origins through all functions until nothing more is found.
func (c *compiler) analyse() {
	in, _ := join(unset, origins{paths: []*node{c.input}})
	c.called(c.entry, nil, []origins{in, constant(c.data)})
	for len(c.queue) > 0 {
		f := c.queue[len(c.queue)-1]
		c.queue = c.queue[:len(c.queue)-1]
		(&flow{c: c, fn: f}).function()
	}
}

func (c *compiler) enqueue(f *fn) {
	if !slices.Contains(c.queue, f) {
		c.queue = append(c.queue, f)
	}
}

// called notes a call and returns what it may give.
func (c *compiler) called(g, by *fn, in []origins) origins {
	more := !g.reached
	g.reached = true
	for i := range min(len(in), len(g.in)) {
		joined, m := join(g.in[i], in[i])
		g.in[i] = joined
		more = more || m
	}
	if by != nil {
		g.callers[by] = true
	}
	if more {
		c.enqueue(g)
	}
	return g.out
}

// returns notes what a function may give.
func (c *compiler) returns(f *fn, o origins) {
	joined, more := join(f.out, o)
	f.out = joined
	if more {
		for by := range f.callers {
			c.enqueue(by)
		}
	}
}

// candidates are the functions that a dynamic call may reach.
func (c *compiler) candidates(path []ir.Operand) []*fn {
	var found []*fn
	for _, g := range c.funcs {
		names := strings.Split(g.path, "\x00")
		if g.path == "" || len(names) != len(path) {
			continue
		}
		fits := true
		for i, o := range path {
			if s, ok := o.Value.(ir.StringIndex); ok && c.strings[s].s != names[i] {
				fits = false
			}
		}
		if fits {
			found = append(found, g)
		}
	}
	return found
}

// constant returns the value of an operand that is no local.
func (c *compiler) constant(o ir.Operand) *Value {
	switch v := o.Value.(type) {
	case ir.StringIndex:
		return c.strings[v]
	case ir.Bool:
		return boolValue(bool(v))
	}
	return nil
}

// number gives slots to the paths that need one, parents first.
func (c *compiler) number(n *node) {
	n.slot = len(c.slots)
	p := Path{Parent: -1, Whole: n.whole}
	if n.parent != nil {
		p.Parent = n.parent.slot
		p.Segments = append(slices.Clone(c.slots[p.Parent].Segments), n.key)
	}
	c.slots = append(c.slots, p)
	if n.whole {
		return
	}
	for _, k := range n.order {
		c.number(k)
	}
}

// prepare finds out what of f need not be done.
func (c *compiler) prepare(f *fn) {
	for _, b := range f.blocks {
		(&resolver{c, map[ir.Local]ir.Local{}, map[*node]bool{}}).block(b)
	}
	c.liveness(f)
}

// emit compiles the functions that are reached.
func (c *compiler) emit() error {
	for _, f := range c.funcs {
		if !f.reached {
			continue
		}
		c.prepare(f)
		c.fn, c.head, f.registers = f, nil, map[ir.Local]int32{}
		c.asm = assembly{}
		if err := c.blocks(f.blocks); err != nil {
			return err
		}
		f.start = c.finish(&c.asm)
		for i, p := range f.params {
			if r, ok := f.registers[p]; ok {
				f.args = append(f.args, argument{i, int(r)})
			}
		}
		f.locals = len(f.registers)
		c.widest = max(c.widest, f.locals)
	}
	for _, f := range c.funcs { // only the code is needed from now on
		f.blocks, f.in, f.callers, f.registers, f.out = nil, nil, nil, nil, origins{}
	}
	return nil
}

func (c *compiler) unsupported(format string, args ...any) error {
	return &Unsupported{What: fmt.Sprintf(format, args...), Func: c.fn.name}
}

// literal returns the number that the i-th string of the plan spells.
func (c *compiler) literal(i int) *Value {
	v := c.numbers[i]
	if v == nil {
		n := numberOf(c.strings[i].s)
		n.frozen = true
		v = &n
		c.numbers[i] = v
	}
	return v
}
