package decisionlog

import (
	"fmt"
	"math"
	"time"

	"github.com/neosc/gate/authz"
)

// Observe implements authz.Observer. A record is not made here but dozens at once
// behind the answers: one by one, each between two requests, they took twice as
// long, since each found the processor's caches full of other work and left them
// so.
func (l *Log) Observe(r *authz.Request, o *authz.Outcome, took time.Duration) {
	if o.Verdict == authz.Allowed && l.allows < math.MaxUint64 && sampleHash(r.ID) >= l.allows {
		l.sampled.Inc()
		return
	}
	n := l.number.Add(1)
	if weight(r) <= maxNoted {
		before, ok := l.noted.add(r, o, took, n)
		if !ok && l.scribe.TryLock() { // whoever encodes has not come to it yet
			l.encodeTaken()
			l.scribe.Unlock()
			before, ok = l.noted.add(r, o, took, n)
		}
		if ok {
			switch before {
			case 0:
				signal(l.wake)
			case bunch - 1:
				signal(l.some)
			}
			return
		}
	}
	e := l.scratch.Get().(*encoder)
	e.encode(&l.constant, l.parts, n, r, o, took)
	l.put(e.b)
	e.forget()
	l.scratch.Put(e)
}

// sampleHash is FNV-1a, mixed once more so that its upper bits are even.
func sampleHash(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put has a record wait for the writer.
func (l *Log) put(record []byte) {
	before, fits := l.waiting.Add(record)
	after := before + len(record)
	switch {
	case !fits:
		l.full.Inc()
	case before == 0:
		signal(l.wake)
	case before < batch && after >= batch:
		signal(l.enough)
	}
}

// encodeSome encodes notes whenever there are some.
func (l *Log) encodeSome() {
	for {
		select {
		case <-l.some:
			l.encodeNoted()
		case <-l.closing:
			return
		}
	}
}

// encodeNoted makes records of all that is noted.
func (l *Log) encodeNoted() {
	l.scribe.Lock()
	defer l.scribe.Unlock()
	l.encodeTaken()
}

func (l *Log) encodeTaken() {
	list := l.noted.take()
	for i := range list {
		l.encodeNote(&l.usual, &list[i])
		list[i].forget()
	}
	l.usual.forget()
}

// encodeNote makes one record. A defect here must not end the gate: no request is
// there any more that could be refused instead.
func (l *Log) encodeNote(e *encoder, n *note) {
	defer func() {
		if p := recover(); p != nil {
			l.write.Inc()
			l.o.Logger.Error("a decision record cannot be made", "panic", fmt.Sprint(p))
		}
	}()
	e.encode(&l.constant, l.parts, n.number, &n.r, &n.o, n.took)
	l.put(e.b)
}
