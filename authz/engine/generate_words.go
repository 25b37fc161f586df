package engine

import (
	"encoding/json"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/open-policy-agent/opa/v1/ir"
)

// maxWords is how many texts, and how many numbers, of policy and data are taken.
const maxWords = 4000

func (g *generator) word(w string) {
	if len(g.words) < maxWords && len(w) <= 256 && !g.known[w] {
		g.known[w] = true
		g.words = append(g.words, w)
	}
}

// gather takes the texts of base data; of a long list or object the first.
func (g *generator) gather(x any, depth int) {
	if depth > maxDepth {
		return
	}
	const most = 100
	n := 0
	switch x := x.(type) {
	case string:
		g.word(x)
	case json.Number:
		if n, err := x.Float64(); err == nil {
			g.number(n)
		}
	case float64:
		g.number(x)
	case int:
		g.number(float64(x))
	case []any:
		for _, e := range x[:min(len(x), most)] {
			g.gather(e, depth+1)
		}
	case map[string]any:
		for k, e := range x {
			if n++; n > most {
				return
			}
			g.word(k)
			g.gather(e, depth+1)
		}
	}
}

func (g *generator) number(n float64) {
	if len(g.numbers) < maxWords && !slices.Contains(g.numbers, n) {
		g.numbers = append(g.numbers, n)
	}
}

// gatherPlan takes the numbers of the plan; its texts are words already.
func (g *generator) gatherPlan(plan *ir.Policy) {
	_ = ir.Walk(numbersOf{g}, plan) // numbersOf has no errors
	for _, w := range g.words {
		if n, err := strconv.ParseFloat(w, 64); err == nil {
			g.number(n)
		}
	}
}

// numbersOf visits a plan for its numbers.
type numbersOf struct{ g *generator }

func (numbersOf) Before(any) {}
func (numbersOf) After(any)  {}
func (v numbersOf) Visit(x any) (ir.Visitor, error) {
	if s, ok := x.(*ir.MakeNumberIntStmt); ok {
		v.g.number(float64(s.Value))
	}
	return v, nil
}

// nearNumber is a number of the policy's or beside one, or any small one.
func (g *generator) nearNumber() float64 {
	if n := len(g.hint.Numbers); n > 0 && g.IntN(3) > 0 {
		return g.hint.Numbers[g.IntN(n)] + float64(g.IntN(5)-2)/2
	}
	if len(g.numbers) == 0 || g.IntN(3) == 0 {
		return float64(g.IntN(200)) - 100
	}
	return g.numbers[g.IntN(len(g.numbers))] + float64(g.IntN(3)-1)
}

// matching is a text that a pattern matches, but for what depends on its
// surroundings.
func (g *generator) matching(p *syntax.Regexp) string {
	var b strings.Builder
	switch p.Op {
	case syntax.OpLiteral:
		return string(p.Rune)
	case syntax.OpCharClass:
		if len(p.Rune) > 0 {
			b.WriteRune(p.Rune[2*g.IntN(len(p.Rune)/2)])
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('x')
	case syntax.OpAlternate:
		return g.matching(p.Sub[g.IntN(len(p.Sub))])
	case syntax.OpStar, syntax.OpQuest: // need not be there
	default:
		for _, s := range p.Sub {
			b.WriteString(g.matching(s))
		}
	}
	return b.String()
}

// textsAt are the texts of a request at some paths.
func (g *generator) textsAt(r *authz.Request, paths [][]string) (list []string) {
	for _, path := range paths {
		s := g.at[strings.Join(path, "\x00")]
		switch {
		case s == nil || s.kind <= slotIdentityHeaders:
		case s.kind <= slotKindOfSession:
			if text, ok := s.text(g.build, r); ok {
				list = append(list, text)
			}
		case s.kind <= slotAMR:
			more, _ := s.list(r, nil)
			list = append(list, more...)
		case s.kind >= slotSetting:
			if x, ok := s.value(r); ok {
				if text, ok := x.(string); ok {
					list = append(list, text)
				}
			}
		}
	}
	return list
}

// textsOf are the texts of a request, in all places.
func textsOf(r *authz.Request) []string {
	list := []string{r.Method, r.Host, r.ID}
	for _, h := range r.Headers {
		list = append(list, h.Value)
	}
	if segments, err := r.ParsedPath(); err == nil {
		list = append(list, segments...)
	}
	if r.Route != nil {
		list = append(list, r.Route.Name)
	}
	if r.Session == nil {
		return list
	}
	id := &r.Session.Identity
	list = append(list, id.UserID, id.Email)
	list = append(append(list, id.Roles...), id.Groups...)
	for _, x := range id.Claims {
		if s, ok := x.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

func (g *generator) one(list ...string) string { return list[g.IntN(len(list))] }

// usual is one of a list, or what is not among them.
func (g *generator) usual(list ...string) string {
	if len(g.hint.Texts) > 0 || g.IntN(len(list)+1) == 0 {
		return g.text()
	}
	return g.one(list...)
}

func (g *generator) text() string {
	if n := len(g.hint.Texts); n > 0 && g.IntN(3) > 0 {
		w := g.hint.Texts[g.IntN(n)]
		switch g.IntN(8) {
		case 0:
			return w + "x"
		case 1:
			return "x" + w
		}
		return w
	}
	if n := len(g.own); n > 0 && g.IntN(8) == 0 || n > 0 && len(g.hint.Paths) > 1 && g.IntN(2) == 0 { // what two places of a request may have to be alike in
		return g.own[g.IntN(len(g.own))]
	}
	if len(g.data) > 0 && g.IntN(2) == 0 {
		return g.data[g.IntN(len(g.data))]
	}
	w := g.words[g.IntN(len(g.words))]
	switch g.IntN(24) {
	case 0: // what two are put together to, by sprintf and concat
		return w + g.words[g.IntN(len(g.words))]
	case 1:
		return strings.ToUpper(w)
	case 2:
		return w[:g.IntN(len(w)+1)]
	case 3:
		return strconv.FormatFloat(g.nearNumber(), 'f', -1, 64)
	}
	return w
}

func (g *generator) texts() []string {
	var list []string
	for range g.IntN(6) {
		list = append(list, g.text())
	}
	return list
}

// value is any that claims and settings may hold.
func (g *generator) value(now time.Time, depth int) any {
	if len(g.hint.Numbers) > 0 && g.IntN(2) == 0 {
		return g.nearNumber()
	}
	second := now.Add(time.Duration(g.Int64N(int64(4*time.Hour)) - int64(2*time.Hour))).Truncate(time.Second)
	switch g.IntN(14) {
	case 0, 1, 2:
		return g.text()
	case 3, 4:
		return g.IntN(3) > 0
	case 5:
		return second.In(time.FixedZone("", 3600*g.IntN(3))).Format(time.RFC3339)
	case 6:
		return float64(second.Unix())
	case 7:
		return g.nearNumber()
	case 8:
		return []any{-1.5, 0.1, 1e21, json.Number("1.50"), json.Number("12345678901234567890"), 7}[g.IntN(6)]
	case 9:
		return nil
	case 10:
		return second.Format(time.RFC3339Nano)
	case 11, 12:
		list := []any{}
		for range g.IntN(4) {
			if depth > 3 || g.IntN(4) > 0 {
				list = append(list, g.text())
			} else {
				list = append(list, g.value(now, depth+1))
			}
		}
		return list
	default:
		m := map[string]any{}
		if depth < 3 {
			for range g.IntN(3) {
				m[g.text()] = g.value(now, depth+1)
			}
		}
		return m
	}
}
