package machine

// op is a small statement, or a step to another place, of a Program's code: one
// piece of memory, two to a cache line, since in a server most of what a decision
// takes is to fetch what it runs. A statement that is undefined goes on at fail;
// blocks, not and breaks are nothing but such steps.
type op struct {
	kind opKind
	x, y place // where a and b are, of operations that say operand
	more uint8 // a Kind or an ordering
	a, b int32
	to   int32 // a register
	fail int32
	v    *Value // an operand that isConstant
}

type opKind uint8

const (
	opJump        opKind = iota // to fail
	opStop                      // code a
	opEnded                     // what runs here ends as what ran in it did
	opStmt                      // the statement numbered a
	opBody                      // the same, which runs code: returned leads to fail, blocks to leave to exits from b on
	opSlot                      // slot a, if register b is set
	opSure                      // slot a
	opTest                      // go on if slot a is filled
	opLoad                      // slot a, filled or not
	opConst                     // v, if register b is set
	opLocal                     // register b, set or not
	opPut                       // v
	opReset                     // nothing
	opDefined                   // go on if register b is set
	opUndefined                 // … if it is not
	opHolds                     // … if it is set and not false
	opSlotHolds                 // … if slot a is filled with something that is not false
	opReturn                    // register b; rule number to held, if that is not negative
	opReturnSlot                // … slot a
	opReturnConst               // … v
	opHit                       // note that rule number a held
	opTaken                     // note step number a: see outcomes.go
	opText                      // what is at the text v in register b
	opDot                       // what is at operand b in operand a
	opKindIs                    // go on if operand a is of a kind
	opEqual                     // … if operands a and b are equal
	opOrder                     // … if they are so ordered; that takes a step
	opRule                      // what function b gives, called with the input a and the data v
	opRuleHolds                 // go on if that is not false
)

// ends reports whether what comes after the operation is never reached from it.
func (k opKind) ends() bool {
	return k == opJump || k == opStop || k == opEnded || k >= opReturn && k <= opReturnConst
}

func (o *op) first(f *Frame, l []*Value) *Value {
	switch o.x {
	case inLocal:
		return l[o.a]
	case inSlot:
		return f.slots[o.a]
	}
	return o.v
}

func (o *op) second(f *Frame, l []*Value) *Value {
	switch o.y {
	case inLocal:
		return l[o.b]
	case inSlot:
		return f.slots[o.b]
	}
	return o.v
}

// exec runs the program's code from pc on; l are the function's registers.
// Cases that go on do so by continue, those that are undefined leave the switch.
func (f *Frame) exec(pc int32, l []*Value) code {
	program := f.program.code
	for {
		o := &program[pc]
		pc++
		switch o.kind {
		case opJump:
		case opStop:
			return code(o.a)
		case opEnded:
			return returned
		case opStmt:
			switch f.program.stmts[o.a](f, l) {
			case goOn:
				continue
			case halted:
				return halted
			}
		case opBody:
			switch r := f.program.stmts[o.a](f, l); {
			case r == goOn:
				continue
			case r == halted:
				return halted
			case r == returned:
				pc = o.fail
				continue
			default:
				pc = f.program.exits[o.b+int32(r)]
				continue
			}
		case opSlot:
			if v := f.slots[o.a]; v != nil && l[o.b] != nil {
				l[o.to] = v
				continue
			}
		case opSure:
			if v := f.slots[o.a]; v != nil {
				l[o.to] = v
				continue
			}
		case opTest:
			if f.slots[o.a] != nil {
				continue
			}
		case opLoad:
			l[o.to] = f.slots[o.a]
			continue
		case opConst:
			if l[o.b] != nil {
				l[o.to] = o.v
				continue
			}
		case opLocal:
			l[o.to] = l[o.b]
			continue
		case opPut:
			l[o.to] = o.v
			continue
		case opReset:
			l[o.to] = nil
			continue
		case opDefined:
			if l[o.b] != nil {
				continue
			}
		case opUndefined:
			if l[o.b] == nil {
				continue
			}
		case opHolds:
			if l[o.b].holds() {
				continue
			}
		case opSlotHolds:
			if f.slots[o.a].holds() {
				continue
			}
		case opReturn:
			return f.give(l[o.b], o.to)
		case opReturnSlot:
			return f.give(f.slots[o.a], o.to)
		case opReturnConst:
			return f.give(o.v, o.to)
		case opHit:
			f.hits[uint32(o.a)/64] |= 1 << (uint32(o.a) % 64)
			continue
		case opTaken:
			f.taken[uint32(o.a)/64] |= 1 << (uint32(o.a) % 64)
			continue
		case opText:
			if v := l[o.b]; v != nil {
				if x := v.get(o.v); x != nil {
					l[o.to] = x
					continue
				} else if v.base && f.unsure(v, o.v) {
					return halted
				}
			}
		case opDot:
			v, k := o.first(f, l), o.second(f, l)
			if v == nil || k == nil {
				break
			}
			if k.moving() {
				f.observe(k)
			}
			if x := v.get(k); x != nil {
				l[o.to] = x
				continue
			} else if v.base && f.unsure(v, k) {
				return halted
			}
		case opKindIs:
			if v := o.first(f, l); v != nil && v.kind == Kind(o.more) {
				continue
			}
		case opEqual:
			x, y := o.first(f, l), o.second(f, l)
			switch {
			case x == nil || y == nil || !f.same(x, y):
			case f.touch(x):
				continue
			case f.err != nil:
				return halted
			}
		case opOrder:
			x, y := o.first(f, l), o.second(f, l)
			if x == nil || y == nil {
				break
			}
			if f.fuel--; f.fuel < 0 && !f.refuel() {
				return halted
			}
			if f.ordered(ordering(o.more), x, y) {
				continue
			}
		case opRule, opRuleHolds:
			v := f.memos[o.b]
			if v == nil {
				if v = f.rule(f.program.funcs[o.b], o.first(f, l), o.v); v == nil {
					return halted
				}
			}
			switch {
			case v == none || o.kind == opRuleHolds && !v.holds():
			case o.kind == opRuleHolds:
				continue
			default:
				l[o.to] = v
				continue
			}
		}
		pc = o.fail
	}
}

// give ends a function with a value.
func (f *Frame) give(v *Value, rule int32) code {
	if rule >= 0 {
		f.hits[uint32(rule)/64] |= 1 << (uint32(rule) % 64)
	}
	f.ret = v
	return returned
}

// holds reports whether v is there and not false.
func (v *Value) holds() bool { return v != nil && (v.kind != Bool || v.truth) }
