package engine

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine/machine"
)

// steering finds requests that take each block of the plan, and requests that
// leave each of them undefined. It sees the ways of a request through a build of
// the program that notes them: the one that decides does not pay for that.
type steering struct {
	gen      *generator
	probe    *fast
	outcomes []machine.Outcome
	found    []uint64 // steps that some request came to
	agreed   []uint64 // steps that some request came to that was compared
	now      []uint64 // steps of one request
	corpus   []*authz.Request
	by       [][]*authz.Request // by step: some that came to it
	came     []int              // by step: how many did
	steps    []int              // those that any came to
	open     []int              // outcomes that no request has come to
}

func newSteering(f *fast) (*steering, error) {
	m, err := machine.Compile(f.source, f.data, f.entry, machine.Options{Outcomes: requests{}})
	if err != nil {
		return nil, err
	}
	probe := &fast{Program: f.Program, machine: m, slots: slotsOf(m), words: f.words, edge: f.edge}
	words := (m.Steps() + 63) / 64
	s := &steering{
		probe: probe, outcomes: m.Outcomes(), by: make([][]*authz.Request, m.Steps()), came: make([]int, m.Steps()),
		found: make([]uint64, words), agreed: make([]uint64, words), now: make([]uint64, words),
		gen: newGenerator(f, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))),
	}
	for i := range s.outcomes {
		s.open = append(s.open, i)
	}
	return s, nil
}

// Bounds of the search: it is over when every outcome has been reached, or when
// so many requests for each that will be compared, and patience of them in
// succession, found nothing new. They are judged by the probe alone, at a
// hundredth of what a comparison costs.
const (
	exploring = 8
	patience  = 2
)

// explore searches until there is nothing left to be found, or its bounds.
func (s *steering) explore(ctx context.Context, inputs int, p *pace) error {
	last := 0
	for i := 0; i < exploring*inputs && i < last+patience*inputs && len(s.open) > 0; i++ {
		if s.follow(ctx, s.draw()) {
			last = i
		}
		if err := p.yield(ctx); err != nil {
			return err
		}
	}
	return nil
}

// compared notes that the two were compared on r.
func (s *steering) compared(ctx context.Context, r *authz.Request) {
	s.follow(ctx, r)
	for i, word := range s.now {
		s.agreed[i] |= word
	}
}

// follow notes the steps of r, and reports whether one is new: then r
// is kept, to be changed.
func (s *steering) follow(ctx context.Context, r *authz.Request) (news bool) {
	clear(s.now)
	frame := s.probe.machine.Frame()
	_, _ = s.probe.decide(ctx, frame, r) // whether it has a decision, the comparison asks
	frame.TakeSteps(s.now)
	frame.Release()
	for i, word := range s.now {
		news = news || word&^s.found[i] != 0
		s.found[i] |= word
	}
	s.count()
	if !news && s.gen.IntN(64) > 0 {
		return false
	}
	r = ownRequest(r)
	if news {
		s.corpus = append(s.corpus, r) // no more than there are steps
		s.open = slices.DeleteFunc(s.open, func(i int) bool { return s.outcomes[i].Came(s.found) })
	}
	for i := range s.by {
		if s.now[i/64]&(1<<(i%64)) != 0 {
			keep(&s.by[i], r)
		}
	}
	return news
}

// count counts the steps of one request.
func (s *steering) count() {
	for i, word := range s.now {
		for ; word != 0; word &= word - 1 {
			step := 64*i + bits.TrailingZeros64(word)
			if s.came[step]++; s.came[step] == 1 {
				s.steps = append(s.steps, step)
			}
		}
	}
}

// rare is a step that few requests have come to: the rarest of some.
func (s *steering) rare() int {
	best := s.steps[s.gen.IntN(len(s.steps))]
	for range 3 {
		if step := s.steps[s.gen.IntN(len(s.steps))]; s.came[step] < s.came[best] {
			best = step
		}
	}
	return best
}

// maxOfAStep is how many requests are kept for a step: what few requests do is
// changed as often as what most do.
const maxOfAStep = 8

// keep adds r to a list, in place of any other when it is full.
func keep(list *[]*authz.Request, r *authz.Request) {
	if len(*list) < maxOfAStep {
		*list = append(*list, r)
		return
	}
	(*list)[rand.IntN(maxOfAStep)] = r
}

// draw makes a request: most are changed ones that came far in a block which
// none has taken, or one that few have come to.
func (s *steering) draw() *authz.Request {
	from, at := s.near()
	switch n := s.gen.IntN(10); {
	case from != nil && n < 5:
		return s.gen.towards(from, s.probe.machine.Hint(at))
	case n < 9 && len(s.steps) > 0:
		list := s.by[s.rare()]
		from = list[s.gen.IntN(len(list))]
	default:
		return s.gen.request()
	}
	return s.gen.changed(from)
}

// near returns a request that came to a block one of whose outcomes is open, as
// far as any, and the step that it ended at; nil if none is or has.
func (s *steering) near() (from *authz.Request, step int) {
	if len(s.open) == 0 {
		return nil, 0
	}
	o := &s.outcomes[s.open[s.gen.IntN(len(s.open))]]
	for at := o.End; at >= o.First; at-- {
		if list := s.by[at]; len(list) > 0 {
			return list[s.gen.IntN(len(list))], s.toChange(o, at)
		}
	}
	return nil, 0
}

// toChange is the step whose statement is to go another way, for the sake of an
// outcome of a block of which at is the last that is reached: that one, or of a
// block that always comes to its end any.
func (s *steering) toChange(o *machine.Outcome, at int) int {
	if at < o.End {
		return at
	}
	return o.First + s.gen.IntN(max(1, o.End-o.First))
}

// Reach is how much of the plan a comparison has seen.
type Reach struct {
	// Outcomes is how many ways there are in which the blocks of the policy's
	// plan may end, taken or undefined, and Reached how many of them inputs came
	// to on which the two were compared.
	Outcomes int `json:"outcomes,omitempty"`
	Reached  int `json:"reached,omitempty"`
	// Missed names some of the others.
	Missed []string `json:"missed,omitempty"`
}

// maxMissed is how many outcomes are named.
const maxMissed = 20

func (s *steering) reach() Reach {
	r := Reach{Outcomes: len(s.outcomes)}
	for i := range s.outcomes {
		o := &s.outcomes[i]
		if o.Came(s.agreed) {
			r.Reached++
			continue
		}
		said := "never undefined"
		if o.Taken {
			said = "never taken"
		}
		text := fmt.Sprintf("%s:%d:%d %s: %s", o.File, o.Row, o.Col, strings.TrimPrefix(o.Rule, "data."), said)
		if len(r.Missed) < maxMissed && !slices.Contains(r.Missed, text) {
			r.Missed = append(r.Missed, text)
		}
	}
	return r
}
