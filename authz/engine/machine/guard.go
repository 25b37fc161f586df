package machine

import (
	"math"
	"net/netip"
	"strings"
)

// tooMuch is more than any evaluation may make.
const tooMuch = math.MaxInt32

// yield returns about how many bytes a built-in of OPA's may make of its
// operands, for those that can make much of little. OPA itself bounds none.
func (f *Frame) yield(name string, args []*Value) int {
	switch name {
	case "numbers.range":
		return span(args, 1) * valueSize
	case "numbers.range_step":
		if args[2].isNumber() && args[2].n > 0 {
			return span(args, args[2].n) * valueSize
		}
		return span(args, 1) * valueSize
	case "net.cidr_expand":
		return hosts(args[0]) * 2 * valueSize
	case "bits.lsh":
		if args[1].isNumber() && args[1].n < 1<<14 {
			return int(max(args[1].n, 0)) / 8
		}
		return tooMuch
	case "replace", "regex.replace":
		return times(length(args[0])+1, length(args[len(args)-1])+1)
	case "strings.replace_n":
		return times(length(args[1])+1, 16*weight(args[0]))
	case "sprintf":
		return formatted(args)
	case "strings.render_template":
		return times(length(args[0])+1, 16*weight(args[1]))
	case "regex.template_match":
		return length(args[0])
	}
	return 0
}

func length(v *Value) int { return len(v.s) }

func times(a, b int) int {
	if a > tooMuch/b {
		return tooMuch
	}
	return a * b
}

// span is how many numbers there are from the first operand to the second.
func span(args []*Value, step int64) int {
	a, b := args[0], args[1]
	if !a.isNumber() || !b.isNumber() {
		if a.kind != Number || b.kind != Number || !whole(a) || !whole(b) {
			return 0 // an error, which OPA words
		}
		return tooMuch / valueSize
	}
	d := b.n - a.n
	if (b.n > a.n) != (d > 0) && a.n != b.n {
		return tooMuch / valueSize
	}
	if d < 0 {
		d = -d
	}
	return int(min(uint64(d)/uint64(step)+1, tooMuch/uint64(valueSize)))
}

func whole(v *Value) bool { return v.isInt || !strings.ContainsAny(v.s, ".eE-") || len(v.s) > 18 }

// hosts is how many addresses a network has.
func hosts(v *Value) int {
	p, err := netip.ParsePrefix(v.s)
	if v.kind != String || err != nil {
		return 1 << 10
	}
	bits := p.Addr().BitLen() - p.Bits()
	if bits > 20 {
		return tooMuch / (2 * valueSize)
	}
	return 1 << bits
}

// formatted is how long sprintf's text may be: each verb may print all operands
// and pad to its width.
func formatted(args []*Value) int {
	format := args[0].s
	width, n := 0, 0
	for i := range len(format) {
		switch c := format[i]; {
		case c >= '0' && c <= '9':
			n = min(10*n+int(c-'0'), tooMuch)
		case c == '*':
			return tooMuch
		default:
			width, n = max(width, n), 0
		}
	}
	return times(strings.Count(format, "%")+1, 16*weight(args[1])+max(width, n)) + len(format)
}
