package machine

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// A native built-in gets the operands, none of them undefined, and returns its
// value, nil for undefined, or decline: then OPA's own implementation is asked.
// So a native one does the common case for operands of the right kinds, and
// whatever is odd, with its errors, is OPA's. It observes operands that move
// before it looks at them, unless it tracks. The operands are the frame's: a
// built-in calls no other, so one place for them is enough.
type native func(f *Frame, a *operands) *Value

// maxOperands is how many a native built-in may have.
const maxOperands = 4

type operands [maxOperands]*Value

// decline is no value.
var decline = &Value{}

// builtin compiles the call of a built-in.
func (c *compiler) builtin(s *ir.CallStmt) error {
	call, err := c.opaCall(s.Func)
	if err != nil {
		return err
	}
	args, to := make([]operand, len(s.Args)), c.targetOf(s)
	for i := range s.Args {
		args[i] = c.operand(&s.Args[i])
	}
	n, tracks := c.native(s.Func, args)
	if n == nil || len(args) > maxOperands {
		c.closure(generic(call, args, to))
		return nil
	}
	if len(args) == 1 {
		c.closure(unary(n, call, args[0], to, tracks))
		return nil
	}
	c.closure(func(f *Frame, l []*Value) code {
		a := &f.operands
		for i := range args {
			v := args[i].get(f, l)
			if v == nil {
				return undef
			}
			if v.moving() && !tracks {
				f.observe(v)
			}
			a[i] = v
		}
		if f.fuel--; f.fuel < 0 && !f.refuel() {
			return halted
		}
		v := n(f, a)
		if v == decline {
			v = f.callOPA(call, a[:len(args)])
		}
		if v == nil {
			return f.orHalted(undef)
		}
		l[to] = v
		return goOn
	})
	return nil
}

// unary is a native built-in with one operand.
func unary(n native, call *opaCall, arg operand, to int32, tracks bool) stmt {
	return func(f *Frame, l []*Value) code {
		x := arg.get(f, l)
		if x == nil {
			return undef
		}
		if !tracks && x.moving() {
			f.observe(x)
		}
		if f.fuel--; f.fuel < 0 && !f.refuel() {
			return halted
		}
		a := &f.operands
		a[0] = x
		v := n(f, a)
		if v == decline {
			v = f.callOPA(call, a[:1])
		}
		if v == nil {
			return f.orHalted(undef)
		}
		l[to] = v
		return goOn
	}
}

func generic(call *opaCall, args []operand, to int32) stmt {
	return func(f *Frame, l []*Value) code {
		vs := make([]*Value, len(args))
		for i := range args {
			if vs[i] = args[i].get(f, l); vs[i] == nil {
				return undef
			}
		}
		v := f.callOPA(call, vs)
		if v == nil {
			return f.orHalted(undef)
		}
		l[to] = v
		return goOn
	}
}

// opaCall is a built-in of OPA's.
type opaCall struct {
	name     string
	call     topdown.BuiltinFunc
	relation bool // gives any number of values
	void     bool // gives none
	volatile bool
}

func (c *compiler) opaCall(name string) (*opaCall, error) {
	call, decl := topdown.GetBuiltin(name), ast.BuiltinMap[name]
	if call == nil || decl == nil {
		return nil, c.unsupported("built-in %s", name)
	}
	return &opaCall{name, call, decl.Relation, decl.Decl.Result() == nil, volatile(decl)}, nil
}

// volatile reports whether a built-in's value may change though its operands do
// not. OPA says so of some; others read a clock or draw at random all the same.
func volatile(b *ast.Builtin) bool {
	switch b.Name {
	case "time.now_ns":
		return false // see builtin_time.go
	case "io.jwt.decode_verify", // compares exp and nbf with the query's clock
		"io.jwt.encode_sign", "io.jwt.encode_sign_raw", // draw at random
		"crypto.x509.parse_and_verify_certificates",
		"crypto.x509.parse_and_verify_certificates_with_options", // wall clock
		"trace":
		return true
	}
	known := false
	for _, d := range ast.DefaultBuiltins {
		known = known || d == b
	}
	return !known || b.IsNondeterministic()
}
