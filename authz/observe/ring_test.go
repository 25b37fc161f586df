package observe

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func TestSwappedBufferKeepsWholeAndInOrder(t *testing.T) {
	t.Parallel()
	s := NewBuffer(300) // turned over every few additions
	const adders, each = 4, 500
	var added sync.WaitGroup
	for a := range adders {
		added.Go(func() {
			for i := range each {
				line := fmt.Appendf(nil, "%d:%d%s\n", a, i, strings.Repeat("x", i%50))
				for {
					if _, ok := s.Add(line); ok {
						break
					}
					runtime.Gosched()
				}
			}
		})
	}
	full := make(chan struct{})
	go func() { added.Wait(); close(full) }()
	var got []byte
	for done := false; !done; {
		select {
		case <-full:
			done = true
		default:
		}
		got = append(got, s.Take()...)
		runtime.Gosched()
	}
	var next [adders]int
	for line := range bytes.Lines(got) {
		var a, i int
		if _, err := fmt.Sscanf(string(line), "%d:%d", &a, &i); err != nil || i != next[a] || bytes.Count(line, []byte{'x'}) != i%50 {
			t.Fatalf("%q after %v (%v)", line, next, err)
		}
		next[a]++
	}
	if next != [adders]int{each, each, each, each} {
		t.Errorf("got %v", next)
	}
}

func TestSwappedBufferThatIsFullOrOverTakesNothing(t *testing.T) {
	t.Parallel()
	s := NewBuffer(4)
	for i, tc := range []struct {
		in     string
		before int
		ok     bool
	}{{"abc", 0, true}, {"de", 3, false}, {"f", 3, true}, {"g", 4, false}} {
		if before, ok := s.Add([]byte(tc.in)); before != tc.before || ok != tc.ok {
			t.Errorf("addition %d: %d, %v", i, before, ok)
		}
	}
	if got := string(s.Take()); got != "abcf" {
		t.Errorf("took %q", got)
	}
	if _, ok := s.Add([]byte("next")); !ok {
		t.Error("the other half is not empty")
	}
	if !s.End() || s.End() {
		t.Error("only the first call ends it")
	}
	if _, ok := s.Add([]byte("c")); ok {
		t.Error("took something after its end")
	}
	if got := string(s.Take()); got != "next" {
		t.Errorf("took %q", got)
	}
}
