package machine

import (
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
)

// numberOf keeps a number's text as it stands, since Rego prints it so; where
// that is an integer in its shortest form it is n.
func numberOf(text string) Value {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return Value{kind: Number, isInt: true, n: n}
	}
	return Value{kind: Number, s: text}
}

// number returns v as OPA's.
func (v *Value) number() ast.Number {
	if v.isInt {
		return ast.Number(strconv.FormatInt(v.n, 10))
	}
	return ast.Number(v.s)
}

// float returns the nearest float64; equal numbers have the same.
func (v *Value) float() float64 {
	if v.isInt {
		return float64(v.n)
	}
	f, _ := strconv.ParseFloat(v.s, 64) // ±Inf when out of range
	if f == 0 {
		return 0 // not -0, which has other bits
	}
	return f
}
