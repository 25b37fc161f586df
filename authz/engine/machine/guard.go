package machine

import (
	"math"
	"net/netip"
	"regexp"
	"strconv"
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
		return rendered(args)
	case "regex.template_match":
		return length(args[0])
	}
	return 0
}

var (
	ranges     = regexp.MustCompile(`\{\{-?\s*(else\s+)?range`)
	recursions = regexp.MustCompile(`\{\{-?\s*(define|template|block)`)
	digits     = regexp.MustCompile(`[0-9]+`)
)

// rendered is how long a template's text may be, and so how long it may take:
// each range within another multiplies, one over a number by that, printf pads
// to any width, and templates that call templates need not end.
func rendered(args []*Value) int {
	text := args[0].s
	if recursions.MatchString(text) {
		return tooMuch
	}
	each := 16 * weight(args[1])
	loops := len(ranges.FindAllStringIndex(text, -1))
	if loops > 0 || strings.Contains(text, "printf") {
		each = times(each, largest(args[1]))
		for _, n := range digits.FindAllString(text, -1) {
			number, err := strconv.Atoi(n)
			if err != nil {
				return tooMuch
			}
			each = times(each, max(number, 1))
		}
	}
	total := len(text) + 1
	for range loops + 1 {
		total = times(total, each)
	}
	return total
}

// largest is the largest number in v, at least 1.
func largest(v *Value) int {
	n := 1
	if v.kind == Number {
		if !v.isInt || v.n > tooMuch {
			return tooMuch
		}
		n = max(n, int(v.n))
	}
	for _, x := range v.elems {
		n = max(n, largest(x))
	}
	return n
}

// effort is about how many steps a built-in of OPA's takes that may take very
// many for short operands: it cannot be interrupted.
func (f *Frame) effort(name string, args []*Value) int {
	switch name {
	case "glob.match":
		delimiters, _ := f.delimiters(args[1])
		return globEffort(args[0].s, args[2].s, string(delimiters))
	case "regex.globs_match": // tries both ways at each + and *
		n := 0
		for _, a := range args {
			n += strings.Count(a.s, "*") + strings.Count(a.s, "+")
		}
		return 1 << min(n, 30)
	}
	return 0
}

// globEffort: the matcher that OPA uses tries all places for each * one within
// another. `*a*a*a*[!a]` takes 3 s for a path of 160 letters; but a * stays
// between two delimiters, where real paths have few.
func globEffort(pattern, text, delimiters string) int {
	if strings.Count(pattern, "*") < 2 {
		return len(text) / 4
	}
	part, run := 0, 0
	for i := range len(text) {
		if run++; strings.IndexByte(delimiters, text[i]) >= 0 {
			run = 0
		}
		part = max(part, run)
	}
	n := 1
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] != '*':
		case i+1 < len(pattern) && pattern[i+1] == '*':
			n = times(n, len(text)+1)
			i++
		default:
			n = times(n, part+1)
		}
	}
	return n / 4
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
