package machine

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
)

// FromAST makes a value that may be shared of one of OPA's, which must be
// ground.
func FromAST(x ast.Value) (*Value, error) {
	v, err := (&importer{}).value(x, 0)
	if err != nil {
		return nil, err
	}
	return v.freeze(), nil
}

// AST returns v as OPA's value.
func (v *Value) AST() ast.Value {
	switch v.kind {
	case Bool:
		return ast.InternedTerm(v.truth).Value
	case Number:
		if v.isInt {
			return ast.InternedTerm(int(v.n)).Value
		}
		return ast.Number(v.s)
	case String:
		return ast.String(v.s)
	case Array:
		return ast.NewArray(terms(v.elems)...)
	case Set:
		return ast.NewSet(terms(v.elems)...)
	case Object:
		items := make([][2]*ast.Term, len(v.elems))
		for i, x := range v.elems {
			items[i] = [2]*ast.Term{ast.NewTerm(v.keys[i].AST()), ast.NewTerm(x.AST())}
		}
		return ast.NewObject(items...)
	}
	return ast.Null{}
}

func terms(vs []*Value) []*ast.Term {
	out := make([]*ast.Term, len(vs))
	for i, v := range vs {
		out[i] = ast.NewTerm(v.AST())
	}
	return out
}

// maxDigits is how long calculated numbers may be: squared again and again,
// they would fill the memory in no time.
const maxDigits = 1 << 14

// importer copies OPA's values, into a frame if there is one.
type importer struct{ frame *Frame }

func (m *importer) make(k Kind) *Value {
	if m.frame == nil {
		return &Value{kind: k}
	}
	return m.frame.make(k)
}

func (m *importer) value(x ast.Value, depth int) (*Value, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("%w: more than %d levels", ErrDepth, MaxDepth)
	}
	switch x := x.(type) {
	case ast.Null:
		return nullValue, nil
	case ast.Boolean:
		return boolValue(bool(x)), nil
	case ast.Number:
		if m.frame != nil && len(x) > maxDigits {
			return nil, fmt.Errorf("%w: a number of more than %d digits", ErrMemory, maxDigits)
		}
		v, n := m.make(Number), numberOf(string(x))
		v.isInt, v.n, v.s = n.isInt, n.n, n.s
		return v, nil
	case ast.String:
		v := m.make(String)
		v.s = string(x)
		if m.frame != nil {
			m.frame.memory -= len(x)
		}
		return v, nil
	case *ast.Array:
		return m.elements(Array, x.Len(), x.Iter, depth)
	case ast.Set:
		return m.elements(Set, x.Len(), x.Iter, depth)
	case ast.Object:
		return m.object(x, depth)
	}
	return nil, fmt.Errorf("a value of type %s is not ground", ast.ValueName(x))
}

func (m *importer) elements(k Kind, n int, each func(func(*ast.Term) error) error, depth int) (*Value, error) {
	if err := m.spend(n); err != nil {
		return nil, err
	}
	v := m.make(k)
	v.sorted = false
	err := each(func(t *ast.Term) error {
		x, err := m.value(t.Value, depth+1)
		v.elems = append(v.elems, x)
		return err
	})
	return v, err
}

func (m *importer) object(x ast.Object, depth int) (*Value, error) {
	if err := m.spend(x.Len()); err != nil {
		return nil, err
	}
	v := m.make(Object)
	v.sorted = false
	err := x.Iter(func(k, t *ast.Term) error {
		key, err := m.value(k.Value, depth+1)
		if err != nil {
			return err
		}
		e, err := m.value(t.Value, depth+1)
		v.keys, v.elems = append(v.keys, key), append(v.elems, e)
		return err
	})
	return v, err
}

func (m *importer) spend(n int) error {
	if m.frame == nil {
		return nil
	}
	m.frame.memory -= elementCost * n
	if !m.frame.spend(1 + n) {
		return m.frame.err
	}
	return nil
}
