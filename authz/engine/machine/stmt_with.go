package machine

import "github.com/open-policy-agent/opa/v1/ir"

// with runs its block while the local (input or data) has another value. What
// rules gave before does not count inside, nor what they give inside after.
// The value may be undefined: the planner ends a replacement inside its block by
// putting back what was saved, which is nothing where there was no input.
func (c *compiler) with(s *ir.WithStmt) error {
	local, value := c.register(s.Local), c.operand(&s.Value)
	path := make([]*Value, len(s.Path))
	for i, at := range s.Path {
		path[i] = c.strings[at]
	}
	return c.body(s.Block, func(inside *body) stmt {
		return func(f *Frame, l []*Value) code {
			if !f.spend(1 + len(f.memos)/8) {
				return halted
			}
			before, memos := l[local], f.memos
			l[local] = f.upsert(before, path, value.get(f, l))
			f.memos = f.otherMemos()
			r := f.exec(inside.start, l)
			f.spare = append(f.spare, f.memos)
			l[local], f.memos = before, memos
			if r == undef {
				return undef
			}
			return leave(r)
		}
	})
}

func (f *Frame) otherMemos() []*Value {
	if n := len(f.spare); n > 0 {
		m := f.spare[n-1]
		f.spare = f.spare[:n-1]
		clear(m)
		return m
	}
	return make([]*Value, len(f.memos))
}

// upsert returns doc with v at path; what is on the way and is no object is
// replaced by one.
func (f *Frame) upsert(doc *Value, path []*Value, v *Value) *Value {
	if len(path) == 0 {
		return v
	}
	n := f.make(Object)
	var child *Value
	if doc != nil && doc.kind == Object {
		f.spend(len(doc.elems))
		f.memory -= elementCost * len(doc.elems)
		for i, k := range doc.keys {
			n.push(k, doc.elems[i])
		}
		child = doc.get(path[0])
	}
	if v = f.upsert(child, path[1:], v); v != nil {
		n.insert(path[0], v)
	}
	return n
}
