package engine

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine/machine"
)

// usualPath is how many segments of a path need no room on the heap.
const usualPath = 24

// fill puts what the program reads of r into its frame.
func (t *slots) fill(b *builder, f *machine.Frame, r *authz.Request) error {
	var doc *machine.Value
	if t.document {
		term, err := b.build(r)
		if err != nil {
			return err
		}
		if doc, err = machine.FromAST(term.Value); err != nil {
			return err
		}
	}
	for _, i := range t.always {
		f.SetPresent(i)
	}
	for i := range t.request {
		if err := t.request[i].fill(b, f, r, doc); err != nil {
			return err
		}
	}
	if t.document {
		return t.fillRest(b, f, r, doc)
	}
	return t.fillShared(b, f, r)
}

// fillRest fills in what depends on route and session.
func (t *slots) fillRest(b *builder, f *machine.Frame, r *authz.Request, doc *machine.Value) error {
	for _, list := range [][]slot{t.route, t.session} {
		for i := range list {
			if err := list[i].fill(b, f, r, doc); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *slot) fill(b *builder, f *machine.Frame, r *authz.Request, doc *machine.Value) error {
	switch k := s.kind; {
	case k == slotDocument:
		s.fillFrom(doc, f)
	case k <= slotIdentityHeaders:
		if s.there(r) {
			f.SetPresent(s.index)
		}
	case k <= slotKindOfSession:
		if text, ok := s.text(b, r); ok {
			f.SetText(s.index, text)
		}
	case k <= slotAMR:
		var room [usualPath]string
		if list, ok := s.list(r, room[:0]); ok {
			f.SetTexts(s.index, list)
		}
	default:
		return s.fillOther(f, r)
	}
	return nil
}

func (s *slot) fillFrom(doc *machine.Value, f *machine.Frame) {
	v := doc
	for _, name := range s.doc {
		if v = v.Field(name); v == nil {
			return
		}
	}
	if v.Kind() == machine.Object && !s.whole {
		f.SetPresent(s.index)
		return
	}
	f.Set(s.index, v)
}

func (s *slot) fillOther(f *machine.Frame, r *authz.Request) error {
	switch s.kind {
	case slotEmailVerified:
		if r.Session != nil {
			f.SetBool(s.index, r.Session.Identity.EmailVerified)
		}
	case slotSourcePort:
		if r.Source.Addr.IsValid() {
			f.SetInt(s.index, int64(r.Source.Addr.Port()))
		}
	case slotDestinationPort:
		if r.Destination.Addr.IsValid() {
			f.SetInt(s.index, int64(r.Destination.Addr.Port()))
		}
	default:
		if x, ok := s.value(r); ok {
			return s.fillValue(f, x)
		}
	}
	return nil
}

// fillValue fills in a JSON value; the usual kinds make no garbage.
func (s *slot) fillValue(f *machine.Frame, x any) error {
	switch x := x.(type) {
	case string:
		f.SetText(s.index, x)
		return nil
	case bool:
		f.SetBool(s.index, x)
		return nil
	case int:
		f.SetInt(s.index, int64(x))
		return nil
	case int64:
		f.SetInt(s.index, x)
		return nil
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			f.SetInt(s.index, int64(x))
			return nil
		}
	case map[string]any:
		if !s.whole {
			f.SetPresent(s.index)
			return nil
		}
	}
	c := converter{left: maxValues}
	err := c.check(x, 0)
	if err == nil {
		var v *machine.Value
		if v, err = machine.Of(x); err == nil {
			f.Set(s.index, v)
			return nil
		}
	}
	return failf(Evaluation, "input: %v: %w", s.place(), err)
}

func (s *slot) place() string {
	if s.kind == slotClaim {
		return "the session's claims"
	}
	return "the route's policy settings"
}

// check refuses what term would refuse.
func (c *converter) check(x any, depth int) error {
	if c.left--; c.left < 0 || depth > maxDepth {
		return errTooLarge
	}
	switch x := x.(type) {
	case map[string]any:
		for _, v := range x {
			if err := c.check(v, depth+1); err != nil {
				return err
			}
		}
	case []any:
		for _, v := range x {
			if err := c.check(v, depth+1); err != nil {
				return err
			}
		}
	case []string:
		if c.left -= len(x); c.left < 0 {
			return errTooLarge
		}
	case json.Number:
		if !ValidNumber(x) {
			return fmt.Errorf("a number is out of range")
		}
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%v is not a JSON number", x)
		}
	case nil, bool, string, int, int64:
	default:
		return fmt.Errorf("a value of type %T is not JSON", x)
	}
	return nil
}

// number spells a JSON number as the machine reads it.
func numberText(x any) (string, bool) {
	switch x := x.(type) {
	case int:
		return strconv.Itoa(x), true
	case int64:
		return strconv.FormatInt(x, 10), true
	case json.Number:
		return string(x), true
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			return strconv.FormatInt(int64(x), 10), true
		}
		return strconv.FormatFloat(x, 'g', -1, 64), true
	}
	return "", false
}
