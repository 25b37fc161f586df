package machine

import "strings"

// Path is a place in the input that the program looks at. A program reads
// nothing of the input but its paths.
type Path struct {
	// Segments are the keys that lead to it; none for the input itself.
	Segments []string
	// Parent is the slot of the path that is one segment shorter, -1 for the
	// input itself. Parents come before their children.
	Parent int
	// Whole: the value is used. Otherwise only what is below it, and whether it
	// is there, of another kind than object, or false: an object is said to be
	// there with SetPresent.
	Whole bool
}

// String returns the path as policies write it.
func (p Path) String() string { return strings.Join(append([]string{"input"}, p.Segments...), ".") }

// Slots returns the paths that the program reads, by slot. Not to be changed.
func (p *Program) Slots() []Path { return p.slots }

// SetText fills a slot. The string must stay as it is until the Frame is
// released.
func (f *Frame) SetText(slot int, s string) { f.slots[slot] = f.text(s) }

// SetBool fills a slot.
func (f *Frame) SetBool(slot int, b bool) { f.slots[slot] = boolValue(b) }

// SetInt fills a slot.
func (f *Frame) SetInt(slot int, n int64) { f.slots[slot] = f.integer(n) }

// SetPresent says that there is an object at the path of a slot that is not
// Whole. Those above it must be present as well.
func (f *Frame) SetPresent(slot int) { f.slots[slot] = present }

// Present is what SetPresent fills in, for Set.
func Present() *Value { return present }

// SetTexts fills a slot with an array of texts.
func (f *Frame) SetTexts(slot int, list []string) {
	v := f.make(Array)
	for _, s := range list {
		v.elems = append(v.elems, f.text(s))
	}
	f.slots[slot] = v
}

// Set fills a slot with a value: one made by Of, which may be shared, or one of
// the frame's own; nil for none.
func (f *Frame) Set(slot int, v *Value) { f.slots[slot] = v }

// Fill fills all slots from a whole input document; nil is no input. It is for
// tests and comparisons: it is slower than to fill in single slots.
func (f *Frame) Fill(input *Value) {
	clear(f.slots)
	for i, p := range f.program.slots {
		v := input
		if p.Parent >= 0 {
			v = nil
			if in := f.slots[p.Parent]; in != nil {
				v = at(input, p.Segments)
			}
		}
		if v != nil && v.kind == Object && !p.Whole {
			v = present
		}
		f.slots[i] = v
	}
}

func at(v *Value, path []string) *Value {
	for _, name := range path {
		if v == nil || v.kind != Object {
			return nil
		}
		v = v.Field(name)
	}
	return v
}
