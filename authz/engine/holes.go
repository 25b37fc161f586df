package engine

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/neosc/gate/authz"
)

// hole is a slot whose text the program only passes on (machine.Echo).
type hole struct {
	slot  slot
	mark  string   // stands for the text in a blank
	texts []string // that the program tells it from: those are keys as they are
}

// holes are those of a program. They never change; see blanks.close.
type holes struct {
	list []hole
	at   []int // by slot: the place in list, -1 if it is none
}

// newHoles returns nil for a program that has none.
func newHoles(f *fast) *holes {
	var list []hole
	for _, e := range f.machine.Echoes() {
		if s := f.slots.all[e.Slot]; s.holds() {
			list = append(list, hole{slot: s, mark: newMark(), texts: e.Texts})
		}
	}
	if len(list) == 0 {
		return nil
	}
	return holesOf(list, len(f.slots.all))
}

// newMark is a text that nobody has. It may stand wherever a text of the decision may
// but in an instant: where it is shown then is for fillings to find.
func newMark() string { return "hole_" + strings.ToLower(rand.Text()) }

func holesOf(list []hole, slots int) *holes {
	h := &holes{list: list, at: slices.Repeat([]int{-1}, slots)}
	for i := range list {
		h.at[list[i].slot.index] = i
	}
	return h
}

// holds reports whether a slot may be a hole: one for a text of the request or the
// session. A route's texts are few. The path says what the slots of its parts say,
// and there is no key without those (see newKeyer); id and time have none at all.
func (s *slot) holds() bool {
	switch s.kind {
	case slotPath, slotID, slotTime, slotRouteName, slotPrefix:
		return false
	case slotClaim:
		return true
	}
	return s.kind > slotIdentityHeaders && s.kind <= slotKindOfSession
}

// open appends r's text for each hole: "" for one that is none for r, because it has
// no text, because the program tells it from others, or because it is none that could
// stand wherever it may be put. What is so is written into the key as it is.
func (h *holes) open(to []string, b *builder, r *authz.Request) []string {
	for i := range h.list {
		text, ok := h.list[i].slot.echo(b, r)
		if !ok || len(text) > maxBucketName || !validHeaderValue(text) || slices.Contains(h.list[i].texts, text) {
			text = ""
		}
		to = append(to, text)
	}
	return to
}

// echo is the text that the slot is filled with, if it is one.
func (s *slot) echo(b *builder, r *authz.Request) (text string, ok bool) {
	if s.kind != slotClaim {
		return s.text(b, r)
	}
	x, _ := s.value(r)
	text, ok = x.(string)
	return text, ok
}

// filling says which hole's text is to be put where in a decision.
type filling struct {
	in       field
	at, hole int
}

type field uint8

const (
	inHeaders field = iota
	inResponseHeaders
	inCharges
)

// place is the text that a filling is for.
func (f *filling) place(d *authz.Decision) *string {
	switch f.in {
	case inHeaders:
		return &d.Headers[f.at].Value
	case inResponseHeaders:
		return &d.ResponseHeaders[f.at].Value
	default:
		return &d.Charges[f.at].Key
	}
}

// fillings finds the marks in a decision, and the holes whose marks are where none is
// filled: anywhere but as the whole value of a header or the whole key of a charge.
func (h *holes) fillings(d *authz.Decision) (list []filling, elsewhere []int) {
	take := func(in field, n int) {
		for at := range n {
			f := filling{in: in, at: at}
			for f.hole = range h.list {
				if *f.place(d) == h.list[f.hole].mark {
					list = append(list, f)
					break
				}
			}
		}
	}
	take(inHeaders, len(d.Headers))
	take(inResponseHeaders, len(d.ResponseHeaders))
	take(inCharges, len(d.Charges))
	rest := *fill(d, list, make([]string, len(h.list)))
	rest.Trace = authz.Trace{}
	for i, text := 0, fmt.Sprintf("%+v", rest); i < len(h.list); i++ {
		if strings.Contains(text, h.list[i].mark) {
			elsewhere = append(elsewhere, i)
		}
	}
	return list, elsewhere
}

// fill returns a copy of d with texts in its holes. It shares the rest.
func fill(d *authz.Decision, list []filling, texts []string) *authz.Decision {
	to := new(room)
	c := &to.decision
	*c = *d
	for i := range list {
		switch list[i].in {
		case inHeaders:
			c.Headers = slices.Clip(append(to.headers[:0], d.Headers...))
		case inResponseHeaders:
			c.ResponseHeaders = slices.Clone(d.ResponseHeaders)
		case inCharges:
			c.Charges = slices.Clip(append(to.charges[:0], d.Charges...))
		}
	}
	for i := range list {
		*list[i].place(c) = texts[list[i].hole]
	}
	return c
}

// ownFill is fill with copies of texts, which are else parts of a request's.
func ownFill(d *authz.Decision, list []filling, texts []string) *authz.Decision {
	var room [8]string
	own := append(room[:0], texts...)
	for i, hole := range list {
		if !slices.ContainsFunc(list[:i], func(f filling) bool { return f.hole == hole.hole }) {
			own[hole.hole] = strings.Clone(own[hole.hole])
		}
	}
	return fill(d, list, own)
}
