package decisionlog

import (
	"maps"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/authz"
)

const (
	// bunch is how many notes are worth waking somebody for: to encode as many keeps
	// a core for 0.1 ms.
	bunch = 32
	// maxNotes is how many there may be, twice: as many again may be taken.
	maxNotes = 256
	// maxNoted is how many bytes of a request a note may hold on to.
	maxNoted = 8 << 10
)

// note is a decision of which a record is to be made. It holds on to texts of the
// request, which never change, and to what the request shares with others:
// session, route, certificate and decision, which do not either.
type note struct {
	r      authz.Request
	o      authz.Outcome
	took   time.Duration
	number uint64
}

// weight is how many bytes a note of r holds on to.
func weight(r *authz.Request) int {
	n := len(r.Path) + len(r.Source.Certificate)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}

// set copies r and o, whose lists are used again by whoever has them.
func (x *note) set(r *authz.Request, o *authz.Outcome, took time.Duration, number uint64) {
	headers, extensions := x.r.Headers, x.r.Extensions
	x.r, x.o, x.took, x.number = *r, *o, took, number
	x.r.Headers = append(headers[:0], r.Headers...)
	if extensions == nil {
		extensions = make(map[string]string, len(r.Extensions))
	}
	if usual(r.Extensions) {
		for _, k := range usualExtensions {
			if v, there := r.Extensions[k]; there {
				extensions[k] = v
			}
		}
	} else {
		maps.Copy(extensions, r.Extensions)
	}
	x.r.Extensions = extensions
}

// forget lets go of the request.
func (x *note) forget() {
	headers, extensions := x.r.Headers, x.r.Extensions
	clear(headers)
	clear(extensions)
	x.r, x.o = authz.Request{}, authz.Outcome{}
	if cap(headers) <= 2*maxHeaders {
		x.r.Headers = headers[:0]
	}
	x.r.Extensions = extensions
}

// notes are kept as observe.Buffer keeps bytes: nobody waits for anybody when
// adding, and while one half is encoded the other is filled.
type notes struct {
	// state says which half is being filled (bit 62), how many places of it are
	// reserved (low bits), and whether it is over (bit 63).
	state  atomic.Uint64
	halves [2]struct {
		list   [maxNotes]note
		filled atomic.Uint64
	}
}

const (
	notesOver     = 1 << 63
	notesSecond   = 1 << 62
	notesReserved = notesSecond - 1
)

func newNotes() *notes { return &notes{} }

// add takes note of a decision and returns how many notes were there before. There
// is no room when all are taken, nor after end.
func (x *notes) add(r *authz.Request, o *authz.Outcome, took time.Duration, number uint64) (before int, ok bool) {
	for {
		was := x.state.Load()
		before = int(was & notesReserved)
		if was&notesOver != 0 || before == maxNotes {
			return before, false
		}
		if x.state.CompareAndSwap(was, was+1) {
			h := &x.halves[was>>62&1]
			h.list[before].set(r, o, took, number)
			h.filled.Add(1)
			return before, true
		}
	}
}

// end lets nothing more in. It reports whether it was the first to do so.
func (x *notes) end() bool { return x.state.Or(notesOver)&notesOver == 0 }

// take turns the halves over and returns what was added since the last time. It is
// the caller's, who has each forget, until it takes again; one goroutine at a time.
func (x *notes) take() []note {
	for {
		was := x.state.Load()
		n := was & notesReserved
		if n == 0 {
			return nil
		}
		if !x.state.CompareAndSwap(was, was&notesOver|^was&notesSecond) {
			continue
		}
		h := &x.halves[was>>62&1]
		for tries := 0; h.filled.Load() != n; tries++ { // somebody is copying still
			if runtime.Gosched(); tries > 100 {
				time.Sleep(20 * time.Microsecond)
			}
		}
		h.filled.Store(0)
		return h.list[:n]
	}
}
