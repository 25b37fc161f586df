package engine

import (
	"context"
	"hash/maphash"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/neosc/gate/authz"
)

// A program often only passes on who somebody is: `"headers": {"x-user":
// input.session.user.id}`. By their slots each person's requests are others, though
// all of one role are decided alike. So what is not remembered of a request itself is
// looked for once more under a key without the texts that are only passed on, its
// holes: there is a blank, a decision with holes in their place, if two requests of
// different texts have come before. Filled with r's texts it is r's decision, and
// remembered as that.
//
// That nobody is told what was said to another rests on three things. What texts may be
// left out is known from the program (machine.Echo). A blank comes from an evaluation
// with marks instead of texts, so there are no texts in it: a mark that is not found
// where a text may be filled in stays what it is. And it is one only if, filled with
// the texts of the request at hand and of that before it, it says of each what was
// decided on it by itself. A program of which that is not so goes on without holes.
type blanks struct {
	cache *cache
	holes atomic.Pointer[holes]
}

// blank is what is known for a key without texts: what was decided on the first
// request and its texts, until there is a decision with holes.
type blank struct {
	of       *holes // whose places those of texts and fillings are
	texts    []string
	fillings []filling
	ready    bool
}

// blankShare is what part of the cache's memory blanks have: there are few.
const blankShare = 8

func newBlanks(h *holes, bytes int64) *blanks {
	b := &blanks{cache: newCache(bytes)}
	b.holes.Store(h)
	return b
}

// size is about how many bytes b takes.
func (b *blank) size() int64 {
	if b == nil {
		return 0
	}
	n := 64 + 24*len(b.fillings)
	for _, s := range b.texts {
		n += 16 + len(s)
	}
	return int64(n)
}

// close has holes be none any more; without some, it is all.
func (b *blanks) close(h *holes, some []int) {
	var list []hole
	for i := range h.list {
		if len(some) > 0 && !slices.Contains(some, i) {
			list = append(list, h.list[i])
		}
	}
	b.holes.CompareAndSwap(h, holesOf(list, len(h.at)))
}

// filled decides what is not remembered under r's own key.
func (x *runner) filled(ctx context.Context, r *authz.Request, generation, hash uint64, key []byte) (*authz.Decision, string, error) {
	h := x.blanks.holes.Load()
	var room [8]string
	open := h.open(room[:0], x.build, r)
	if !slices.ContainsFunc(open, func(s string) bool { return s != "" }) {
		return x.timed(ctx, r, generation, hash, key)
	}
	buffer := x.buffer.Get().(*[]byte)
	defer x.buffer.Put(buffer)
	name := x.keys.appendBlank((*buffer)[:0], r, h, open)
	if cap(name) <= maxKey {
		*buffer = name
	}
	at, now := maphash.Bytes(x.seed, name), r.Time.UnixNano()
	e := x.blanks.cache.find(at, name, now)
	if e != nil && e.blank.of != h {
		e = nil // where nothing of what was closed meanwhile is, the key is the same
	}
	if e != nil && e.blank.ready {
		d := ownFill(e.decision, e.blank.fillings, open)
		x.cache.keep(&kept{hash: hash, key: string(key), from: e.from, until: e.until, decision: d})
		return d, Cached, nil
	}
	d, by, err := x.timed(ctx, r, generation, hash, key)
	if err != nil || by != Machine {
		return d, by, err
	}
	own := x.cache.find(hash, key, now)
	switch {
	case own == nil: // it is not to be kept
	case e == nil:
		x.blanks.cache.keep(&kept{hash: at, key: string(name), from: own.from, until: own.until, decision: own.decision, blank: &blank{of: h, texts: ownTexts(open)}})
	case !slices.Equal(e.blank.texts, open):
		if b := x.blank(ctx, r, h, open, own, e); b != nil {
			x.blanks.cache.keep(&kept{hash: at, key: string(name), from: own.from, until: own.until, decision: b.decision, blank: b.blank})
		}
	}
	return d, by, nil
}

// blank makes the blank of what was decided on r and on the request before it, nil if
// it cannot.
func (x *runner) blank(ctx context.Context, r *authz.Request, h *holes, open []string, own, before *kept) *kept {
	d, err := x.marked(ctx, r, h, open, own.decision.Generation)
	if err != nil {
		if err != errLeft && !bounded(err) {
			x.blanks.close(h, x.blamed(ctx, r, h, open))
		}
		return nil
	}
	list, elsewhere := h.fillings(d)
	if len(elsewhere) > 0 {
		x.blanks.close(h, elsewhere)
		return nil
	}
	if d.Trace.Until != own.decision.Trace.Until || !equalDecisions(fill(d, list, open), own.decision) ||
		!equalDecisions(fill(d, list, before.blank.texts), before.decision) {
		x.blanks.close(h, nil)
		x.blanks.cache.clear()
		x.cache.clear() // of what was filled in so far
		return nil
	}
	return &kept{decision: ownDecision(d), blank: &blank{of: h, fillings: list, ready: true}}
}

// marked evaluates r with marks for the texts that are open.
func (x *runner) marked(ctx context.Context, r *authz.Request, h *holes, open []string, generation uint64) (*authz.Decision, error) {
	frame := x.machine.Frame()
	defer frame.Release()
	j, err := x.decideMarked(ctx, frame, r, h, open)
	if err != nil {
		return nil, err
	}
	x.say(&j, generation)
	return j.decision, nil
}

// blamed are the holes whose marks are no decision by themselves, such as that of a
// text that is the end of streams.
func (x *runner) blamed(ctx context.Context, r *authz.Request, h *holes, open []string) (list []int) {
	for i := range open {
		one := make([]string, len(open))
		if one[i] = open[i]; one[i] == "" {
			continue
		}
		if _, err := x.marked(ctx, r, h, one, 0); err != nil {
			list = append(list, i)
		}
	}
	return list
}

// equalDecisions reports whether two decisions say the same and came about alike, but
// for how long that is so: that depends on when they were taken.
func equalDecisions(a, b *authz.Decision) bool {
	x, y := a.Trace, b.Trace
	x.Until, y.Until = 0, 0
	return a.Generation == b.Generation && reflect.DeepEqual(x, y) && compareDecisions(a, nil, b, nil) == agreed
}
