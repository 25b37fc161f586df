package machine

import "testing"

// TestAScalarHasNothingOfTheCompositeBeforeIt: guards follow elements.
func TestAScalarHasNothingOfTheCompositeBeforeIt(t *testing.T) {
	f := &Frame{}
	f.memory = 1 << 20
	list := f.make(Array)
	for range 3 {
		list.elems = append(list.elems, f.text("one of three"))
	}
	f.arena.reset()
	for _, k := range []Kind{String, Number, Bool, Null} {
		f.arena.reset()
		v := f.make(k)
		v.isInt = true
		if len(v.elems) != 0 || weight(v) > 1+len(v.s)/16 || largest(v) != 1 {
			t.Errorf("kind %v has %d elements, weighs %d", k, len(v.elems), weight(v))
		}
	}
}
