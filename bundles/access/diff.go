package access

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles/replay"
)

// Difference is what two policies decide otherwise. Its JSON names are stable:
// fields may be added.
type Difference struct {
	Old   string `json:"old"`
	New   string `json:"new"`
	Asked int64  `json:"asked"`
	// Changed is how many combinations are decided otherwise.
	Changed    int64    `json:"changed"`
	Disagreed  int64    `json:"disagreed"`
	Unexplored []string `json:"unexplored"`
	// Relevant are those of Unexplored that rules read which changed, or whose data
	// did: there Changed says nothing.
	Relevant []string `json:"unexplored_by_changed_rules"`
	Groups   []Group  `json:"groups"`
}

// Group are changes of one kind for the same person on one route.
type Group struct {
	Kind  replay.Kind `json:"kind"`
	Route string      `json:"route"`
	Who   string      `json:"who"`
	From  string      `json:"from"`
	To    string      `json:"to"`
	Cells int64       `json:"cells"`
	// Methods, Paths and Situations are those of its cells, at most 20 each.
	Methods    []string `json:"methods"`
	Paths      []string `json:"paths"`
	Situations []string `json:"situations"`
}

const (
	maxListed = 20
	maxGroups = 5000
)

// Diff asks both about every combination. Names are routes; none means all.
func (u *Universe) Diff(ctx context.Context, old, now *engine.Judge, names []string) (*Difference, error) {
	out := &Difference{Old: old.Program().Revision(), New: now.Program().Revision(), Unexplored: append([]string{}, u.Unexplored...),
		Relevant: append([]string{}, u.Relevant...), Groups: []Group{}}
	var mu sync.Mutex
	groups := map[[5]string]*Group{}
	err := u.Each(ctx, names, func(c Cell, r *authz.Request) error {
		was, wasErr := old.Decide(ctx, r)
		d, err := now.Decide(ctx, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if wasErr != nil {
			was = nil
		}
		changes := replay.Compare(was, d, err)
		mu.Lock()
		defer mu.Unlock()
		out.Asked++
		if len(changes) == 0 {
			return nil
		}
		// OPA's evaluator has to say the same of the first and of some others.
		if out.Changed++; (out.Changed <= 20 || out.Changed%confirmOneIn == 0) && !(old.Confirm(ctx, r, was, wasErr) && now.Confirm(ctx, r, d, err)) {
			out.Disagreed++
		}
		for _, x := range changes {
			key := [5]string{string(x.Kind), c.Route, c.Who, x.From, x.To}
			g := groups[key]
			if g == nil {
				if len(groups) == maxGroups {
					continue
				}
				g = &Group{Kind: x.Kind, Route: c.Route, Who: c.Who, From: x.From, To: x.To, Methods: []string{}, Paths: []string{}, Situations: []string{}}
				groups[key] = g
			}
			g.Cells++
			g.Methods, g.Paths, g.Situations = listed(g.Methods, c.Method), listed(g.Paths, c.Path), listed(g.Situations, c.Situation)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		slices.Sort(g.Paths)
		slices.Sort(g.Situations)
		slices.Sort(g.Methods)
		out.Groups = append(out.Groups, *g)
	}
	slices.SortFunc(out.Groups, func(a, b Group) int {
		return cmp.Or(order(a.Kind, b.Kind), cmp.Compare(a.Route, b.Route), cmp.Compare(b.Cells, a.Cells), strings.Compare(a.Who+a.From+a.To, b.Who+b.From+b.To))
	})
	return out, nil
}

// order has changed verdicts first.
func order(a, b replay.Kind) int {
	switch {
	case a == b:
		return 0
	case a == replay.Verdict:
		return -1
	case b == replay.Verdict:
		return 1
	}
	return strings.Compare(string(a), string(b))
}

func listed(list []string, s string) []string {
	if len(list) < maxListed && !slices.Contains(list, s) {
		return append(list, s)
	}
	return list
}
