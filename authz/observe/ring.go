package observe

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Buffer is a buffer that many add to and one takes from. Nobody waits for
// anybody when adding: room is reserved by one compare-and-swap, and filled
// apart from all others. There are two halves: while one is being written out,
// the other is filled.
//
// (With a lock instead, the goroutine that holds it is at times put aside by the
// scheduler, and every decision then waits for that one: it showed in the p99,
// not in the median.)
type Buffer struct {
	// state says which half is being filled (bit 62), how many bytes of it are
	// reserved (low bits), and whether it is over (bit 63).
	state  atomic.Uint64
	halves [2]half
}

type half struct {
	bytes  []byte
	filled atomic.Uint64 // bytes that are not only reserved but there
}

const (
	over     = 1 << 63
	second   = 1 << 62
	reserved = second - 1
)

// NewBuffer has room for size bytes in each half. Memory that was never filled
// is never touched.
func NewBuffer(size int) *Buffer {
	s := &Buffer{}
	for i := range s.halves {
		s.halves[i].bytes = make([]byte, size)
	}
	return s
}

// Add puts b in, whole, and returns how many bytes were there before. There is
// no room in a full buffer, nor in one that is over.
func (s *Buffer) Add(b []byte) (before int, ok bool) {
	for {
		was := s.state.Load()
		before = int(was & reserved)
		h := &s.halves[was>>62&1]
		if was&over != 0 || len(b) > len(h.bytes)-before {
			return before, false
		}
		if s.state.CompareAndSwap(was, was+uint64(len(b))) {
			copy(h.bytes[before:], b)
			h.filled.Add(uint64(len(b)))
			return before, true
		}
	}
}

// End lets nothing more in. It reports whether it was the first to do so.
func (s *Buffer) End() bool { return s.state.Or(over)&over == 0 }

// Take turns the buffer over and returns what was added since the last time,
// which is the caller's until it takes again. One goroutine at a time.
func (s *Buffer) Take() []byte {
	for {
		was := s.state.Load()
		n := was & reserved
		if n == 0 {
			return nil
		}
		if !s.state.CompareAndSwap(was, was&over|^was&second) {
			continue
		}
		h := &s.halves[was>>62&1]
		for tries := 0; h.filled.Load() != n; tries++ { // somebody is copying still
			if runtime.Gosched(); tries > 100 {
				time.Sleep(20 * time.Microsecond)
			}
		}
		h.filled.Store(0)
		return h.bytes[:n]
	}
}
