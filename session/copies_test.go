package session

import (
	"sync"
	"testing"

	"pgregory.net/rapid"
)

type note struct {
	mark
	n int
}

func newNotes(size int) *copies[uint64, *note] {
	return newCopies[uint64, *note](size, func(k uint64) uint64 { return k })
}

func TestCopiesAgreeWithAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := newNotes(copyShards * 2)
		model := make(map[uint64]*note) // what may be there: eviction takes some
		keys := rapid.Uint64Range(0, copyShards*4)
		for i := range rapid.IntRange(1, 300).Draw(t, "steps") {
			k := keys.Draw(t, "key")
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				c.forget(k)
				delete(model, k)
			case 1:
				stale := c.epoch(k)
				c.forget(k)
				delete(model, k)
				if c.put(k, &note{n: i}, stale) {
					t.Fatal("a fill from before a forget was kept")
				}
			case 2:
				if rapid.IntRange(0, 9).Draw(t, "all") == 0 {
					c.forgetAll()
					clear(model)
				}
			case 3, 4, 5, 6:
				v := &note{n: i}
				if !c.put(k, v, c.epoch(k)) || !v.held.Load() {
					t.Fatal("not kept")
				}
				if old := model[k]; old != nil && old.held.Load() {
					t.Fatal("what was replaced is still held")
				}
				model[k] = v
			default:
				v, ok := c.get(k)
				if ok && v != model[k] {
					t.Fatalf("%d gives what was not put there last", k)
				}
				if ok != (model[k] != nil && model[k].held.Load()) {
					t.Fatalf("%d: found %v, but its mark says otherwise", k, ok)
				}
			}
			if n := c.size(); n > copyShards*2 {
				t.Fatalf("%d entries, more than the bound", n)
			}
		}
	})
}

func TestForgottenCopiesAreNoLongerHeld(t *testing.T) {
	t.Parallel()
	c := newNotes(100)
	one, all := &note{}, &note{}
	c.put(1, one, c.epoch(1))
	c.put(2, all, c.epoch(2))
	c.forget(1)
	c.forgetAll()
	if one.held.Load() || all.held.Load() || c.size() != 0 {
		t.Error("a forgotten copy is still held")
	}
}

func TestEvictionSparesWhatIsInUse(t *testing.T) {
	t.Parallel()
	c := newNotes(copyShards * 8)
	const busy = 0
	for i := range uint64(1000) {
		k := i * copyShards // all in one shard of eight
		c.put(k, &note{}, c.epoch(k))
		if _, ok := c.get(busy); !ok {
			t.Fatalf("the one entry in use was evicted by put %d", i)
		}
	}
	if n := c.size(); n != 8 {
		t.Errorf("%d entries in one shard, want 8", n)
	}
}

func TestCopiesUnderConcurrentUse(t *testing.T) {
	t.Parallel()
	c := newNotes(copyShards * 2)
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(2000) {
				k := (i*7 + g) % (copyShards * 4)
				switch i % 8 {
				case 0:
					c.forget(k)
				case 1, 2:
					c.put(k, &note{n: int(k)}, c.epoch(k))
				default:
					if v, ok := c.get(k); ok && v.n != int(k) {
						t.Errorf("%d gives %d", k, v.n)
					}
				}
			}
			c.forgetAll()
		})
	}
	wg.Wait()
}
