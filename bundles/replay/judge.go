package replay

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/observe/decisionlog"
)

// Kind says what of a decision is another.
type Kind string

// Kinds. A changed verdict is that alone: what follows from it is not counted
// besides.
const (
	Verdict Kind = "verdict"
	Reasons Kind = "reasons" // or the status of a refusal
	Headers Kind = "headers"
	Limits  Kind = "limits"
	Stream  Kind = "stream" // when a stream must end
	Other   Kind = "other"  // body, query parameters, metadata, whether it may be explained
)

// Change is one thing that is decided otherwise.
type Change struct {
	Kind     Kind
	From, To string
}

// player replays records for one goroutine.
type player struct {
	judge  *engine.Judge
	shared *decisionlog.Shared
	reads  map[string]bool // by pointer: whether the policy may read it
	edge   Edge
	// unread are pointers that it does not read, those that came last: most records
	// have the same.
	unread [4]string
	next   int
	// confirms counts differences that OPA's evaluator was asked about; disagreed
	// those on which it said something else, which then counts.
	confirms, asked, disagreed int64
}

// Bounds of how often OPA's evaluator, a hundred times as slow, is asked
// whether it says the same: for each of so many differences, then now and then.
const (
	confirmAll   = 500
	confirmOneIn = 1000
)

func newPlayer(j *engine.Judge, e Edge) *player {
	return &player{judge: j, shared: decisionlog.NewShared(), reads: map[string]bool{}, edge: e}
}

// missing returns what the policy may read of r that is not recorded, "" for
// nothing.
func (p *player) missing(r *decisionlog.Record) string {
	if r.Request == nil {
		return "/input"
	}
	for _, pointer := range r.Erased {
		if p.reading(pointer) {
			return pointer
		}
	}
	for _, pointer := range r.Masked {
		if p.reading(pointer) {
			return pointer
		}
	}
	return p.edge.lacks(r.Request)
}

// reading is mayRead with what was found out before.
func (p *player) reading(pointer string) bool {
	if slices.Contains(p.unread[:], pointer) {
		return false
	}
	reads, known := p.reads[pointer]
	if !known {
		pointer = strings.Clone(pointer) // a part of a whole line
		reads = p.mayRead(pointer)
		if len(p.reads) < 10_000 {
			p.reads[pointer] = reads
		}
	}
	if !reads && pointer != "" {
		p.unread[p.next%len(p.unread)] = pointer
		p.next++
	}
	return reads
}

func (p *player) mayRead(pointer string) bool {
	switch rest, input := strings.CutPrefix(pointer, "/input"); {
	case pointer == "/result" || strings.HasPrefix(pointer, "/result/"):
		return true // what was decided cannot be compared
	case !input || rest != "" && rest[0] != '/':
		return false
	case rest == "":
		return true
	default:
		parts := strings.Split(rest[1:], "/")
		for i := range parts {
			parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(parts[i])
		}
		return p.judge.Reads(parts)
	}
}

// decide decides a record anew.
func (p *player) decide(ctx context.Context, r *decisionlog.Record) (changes []Change, d *authz.Decision, err error) {
	p.asked++
	var was *authz.Decision // nil: a decision is wanted in any case
	if p.asked%confirmOneIn != 0 {
		was = r.Result
	}
	d, same, err := p.judge.Again(ctx, r.Request, was)
	if same {
		return nil, nil, nil
	}
	changes = compare(r, d, err)
	if len(changes) == 0 && p.asked%confirmOneIn != 0 {
		return nil, d, err
	}
	if len(changes) > 0 {
		if p.confirms++; p.confirms > confirmAll && p.confirms%confirmOneIn != 0 {
			return changes, d, err
		}
	}
	if !p.judge.Confirm(ctx, r.Request, d, err) {
		p.disagreed++
		d, err = p.judge.Program().Decide(ctx, r.Request)
		changes = compare(r, d, err)
	}
	return changes, d, err
}

// compare says what is decided otherwise than was recorded.
func compare(r *decisionlog.Record, d *authz.Decision, err error) []Change {
	return Compare(r.Result, d, err)
}

// Compare says what of a decision is another one; was is nil for a failure.
func Compare(was, d *authz.Decision, err error) []Change {
	if was == nil || err != nil || was.Allowed != d.Allowed {
		if was == nil && err != nil {
			return nil // it fails still
		}
		return []Change{{Verdict, said(was, nil), said(d, err)}}
	}
	var out []Change
	add := func(k Kind, same bool, from, to func() string) {
		if !same {
			out = append(out, Change{k, from(), to()})
		}
	}
	if was.Status != d.Status || !slices.Equal(was.Reasons, d.Reasons) {
		out = append(out, Change{Reasons, said(was, nil), said(d, nil)})
	}
	a, b := sorted(was.Headers), sorted(d.Headers)
	x, y := sorted(was.ResponseHeaders), sorted(d.ResponseHeaders)
	gone, takes := sortedTexts(was.RemoveRequestHeaders), sortedTexts(d.RemoveRequestHeaders)
	add(Headers, slices.Equal(a, b) && slices.Equal(x, y) && slices.Equal(gone, takes),
		func() string { return headerText(a, b, x, y, gone, takes) }, func() string { return headerText(b, a, y, x, takes, gone) })
	add(Limits, slices.Equal(was.Charges, d.Charges),
		func() string { return chargesText(was.Charges) }, func() string { return chargesTo(was.Charges, d.Charges) })
	add(Stream, was.StreamUntil.Equal(d.StreamUntil),
		func() string { return endText(was.StreamUntil) }, func() string { return endTo(was.StreamUntil, d.StreamUntil) })
	if what := others(was, d); what != "" {
		out = append(out, Change{Other, "", what})
	}
	return out
}

func said(d *authz.Decision, err error) string {
	switch {
	case err != nil:
		return "error (" + string(engine.KindOf(err)) + ")"
	case d == nil:
		return "error"
	case d.Allowed:
		return "allow (" + strings.Join(d.Reasons, ", ") + ")"
	case d.Status != 0:
		return fmt.Sprintf("deny %d (%s)", d.Status, strings.Join(d.Reasons, ", "))
	default:
		return "deny (" + strings.Join(d.Reasons, ", ") + ")"
	}
}

func sorted(hs []authz.Header) []authz.Header {
	order := func(a, b authz.Header) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
	}
	if slices.IsSortedFunc(hs, order) {
		return hs
	}
	hs = slices.Clone(hs)
	slices.SortFunc(hs, order)
	return hs
}

func sortedTexts(list []string) []string {
	if slices.IsSorted(list) {
		return list
	}
	return slices.Sorted(slices.Values(list))
}

// headerText names the headers that are in one list and not, or otherwise, in
// the other. Values are people's: they are not named.
func headerText(hs, others, response, othersResponse []authz.Header, removed, othersRemoved []string) string {
	var out []string
	for _, list := range [][2][]authz.Header{{hs, others}, {response, othersResponse}} {
		for _, h := range list[0] {
			switch {
			case slices.Contains(list[1], h):
			case slices.ContainsFunc(list[1], func(x authz.Header) bool { return x.Name == h.Name }):
				out = append(out, h.Name+" (another value)")
			default:
				out = append(out, h.Name)
			}
		}
	}
	for _, name := range removed {
		if !slices.Contains(othersRemoved, name) {
			out = append(out, "without "+name)
		}
	}
	return strings.Join(slices.Compact(out), ", ")
}

// chargesText says limits without whose they are.
func chargesText(list []authz.Charge) string {
	var out []string
	for _, c := range list {
		out = append(out, fmt.Sprintf("%s %g/s burst %d cost %d", c.Name, c.Rate, c.Burst, c.Cost))
	}
	if out == nil {
		return "none"
	}
	return strings.Join(out, ", ")
}

// chargesTo is chargesText of what limits became.
func chargesTo(was, now []authz.Charge) string {
	text := chargesText(now)
	if text == chargesText(was) {
		text += ", of another key"
	}
	return text
}

func endText(t time.Time) string {
	if t.IsZero() {
		return "no end"
	}
	return "an end"
}

func endTo(was, now time.Time) string {
	switch {
	case was.IsZero() || now.IsZero():
		return endText(now)
	case now.Before(was):
		return "an earlier end"
	default:
		return "a later end"
	}
}

func others(a, b *authz.Decision) string {
	var out []string
	if a.Body != b.Body {
		out = append(out, "body")
	}
	if !slices.Equal(a.QuerySet, b.QuerySet) || !slices.Equal(sortedTexts(a.QueryRemove), sortedTexts(b.QueryRemove)) {
		out = append(out, "query parameters")
	}
	if a.Explain != b.Explain {
		out = append(out, "explain")
	}
	if len(a.Metadata)+len(b.Metadata) > 0 && !reflect.DeepEqual(plain(a.Metadata), plain(b.Metadata)) {
		out = append(out, "dynamic metadata")
	}
	return strings.Join(out, ", ")
}

// plain is metadata in the types that encoding/json has: numbers come in several.
func plain(m map[string]any) (out any) {
	text, err := json.Marshal(m)
	if err != nil || json.Unmarshal(text, &out) != nil {
		return m
	}
	return out
}

// rulesChanged names the rules that held then and do not now (-), and the other
// way round (+). nil if it is not known which held.
func rulesChanged(r *decisionlog.Record, d *authz.Decision) []string {
	if r.Rules == nil || d == nil || d.Trace.Rules == nil {
		return nil
	}
	then, now := map[string]string{}, map[string]string{}
	for _, x := range r.Rules {
		name, at, _ := strings.Cut(x, " ")
		then[name] = at
	}
	for i, x := range d.Trace.Rules {
		if d.Trace.Has(i) {
			now[x.Name] = x.At
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(then)) {
		if _, still := now[name]; !still {
			out = append(out, "-"+name+" "+then[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, did := then[name]; !did {
			out = append(out, "+"+name+" "+now[name])
		}
	}
	return out[:min(len(out), maxRules)]
}

// maxRules is how many rules name a group.
const maxRules = 6
