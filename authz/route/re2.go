package route

import "regexp/syntax"

// RE2Budget is how large, in instructions, the RE2 program of an expression in
// Strip or MutationRule can be. Envoy refuses a configuration with a larger
// one; its own default of 100 has no room for one header beside the gate's, so
// the bootstrap raises it to this.
const RE2Budget = 400

// re2Cost is the number of instructions that RE2 makes of an expression: for
// the expressions of this package what Envoy counts, or a few more.
func re2Cost(expr string) (int, error) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return 0, err
	}
	return cost(re) + 4, nil
}

// beyondASCII is what a class costs more that holds characters of several
// bytes, as "." and "[^/]" do: up to a dozen instructions for UTF-8's forms.
const beyondASCII = 12

// pathCost is at least the number of instructions that RE2 makes of an
// expression that somebody wrote.
func pathCost(re *syntax.Regexp) int {
	re = re.Simplify() // counted repetitions are copies
	return cost(re) + beyondASCII*wideClasses(re) + 4
}

func wideClasses(re *syntax.Regexp) int {
	n := 0
	for _, sub := range re.Sub {
		n += wideClasses(sub)
	}
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		n++
	case syntax.OpCharClass:
		if len(re.Rune) > 0 && re.Rune[len(re.Rune)-1] > 0x7f {
			n++
		}
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			n += len(re.Rune) / 4 // K and S have forms outside ASCII
		}
	}
	return n
}

func cost(re *syntax.Regexp) int {
	sum := 0
	for _, sub := range re.Sub {
		sum += cost(sub)
	}
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass:
		return len(re.Rune) / 2 // pairs: one instruction a range
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture:
		return sum + 2
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		return sum + 1
	case syntax.OpAlternate:
		return sum + len(re.Sub) - 1
	default:
		return sum
	}
}
