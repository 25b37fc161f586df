package access

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
)

// Grid says who reaches a route. Its JSON names are stable: fields may be added.
type Grid struct {
	Revision string  `json:"revision"`
	Routes   []Route `json:"routes"`
	// Asked is how many combinations the policy was asked about, and Disagreed on
	// how many of those that OPA's evaluator was asked about too it said something
	// else.
	Asked     int64 `json:"asked"`
	Disagreed int64 `json:"disagreed"`
	// Unexplored are inputs that the policy reads and that no combination has.
	Unexplored []string `json:"unexplored"`
}

// Route is one of them.
type Route struct {
	Route string `json:"route"`
	// Paths that are open to the same people in the same situations are together.
	Paths []Paths `json:"paths"`
}

// Paths have the same answers.
type Paths struct {
	Paths []string `json:"paths"`
	// Usual is who may do what at noon of a working day, signed in with a password
	// and without a demo.
	Usual []Answer `json:"usual"`
	// Unusual are situations and the people whose answers are others in them.
	Unusual []Situation `json:"unusual"`
}

// Situation is one that is not usual.
type Situation struct {
	Situation string   `json:"situation"`
	Answers   []Answer `json:"answers"`
}

// Answer is what one kind of person may do.
type Answer struct {
	Who string `json:"who"`
	// Allowed are methods; Refused the others, by reasons.
	Allowed []string            `json:"allowed"`
	Refused map[string][]string `json:"refused"`
	key     string
}

// confirmOneIn is how often OPA's evaluator is asked as well.
const confirmOneIn = 2000

// Of asks j about every combination of the routes that are named, all if none
// is.
func (u *Universe) Grid(ctx context.Context, j *engine.Judge, names []string) (*Grid, error) {
	g := &Grid{Revision: j.Program().Revision(), Routes: []Route{}, Unexplored: u.Unexplored}
	if g.Unexplored == nil {
		g.Unexplored = []string{}
	}
	var mu sync.Mutex
	answers := map[[2]string]map[[2]string]*Answer{} // by route and path; by situation and who
	err := u.Each(ctx, names, func(c Cell, r *authz.Request) error {
		d, err := j.Decide(ctx, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		mu.Lock()
		defer mu.Unlock()
		if g.Asked++; g.Asked%confirmOneIn == 0 && !j.Confirm(ctx, r, d, err) {
			g.Disagreed++
		}
		at := [2]string{c.Route, c.Path}
		if answers[at] == nil {
			answers[at] = map[[2]string]*Answer{}
		}
		a := answers[at][[2]string{c.Situation, c.Who}]
		if a == nil {
			a = &Answer{Who: c.Who, Allowed: []string{}, Refused: map[string][]string{}}
			answers[at][[2]string{c.Situation, c.Who}] = a
		}
		a.add(c.Method, d, err)
		return nil
	})
	if err != nil {
		return nil, err
	}
	u.arrange(g, answers)
	return g, nil
}

func (a *Answer) add(method string, d *authz.Decision, err error) {
	switch {
	case err != nil:
		a.refuse("policy_error", method)
	case d.Allowed:
		a.Allowed = append(a.Allowed, method)
		a.key += "+"
	default:
		a.refuse(strings.Join(d.Reasons, ", "), method)
	}
}

func (a *Answer) refuse(why, method string) {
	a.Refused[why] = append(a.Refused[why], method)
	a.key += "-" + why
}

// arrange puts answers in order and paths with the same ones together.
func (u *Universe) arrange(g *Grid, answers map[[2]string]map[[2]string]*Answer) {
	people, situations := u.people(), u.situations()
	byRoute := map[string]*Route{}
	var names []string
	for at := range answers {
		if byRoute[at[0]] == nil {
			byRoute[at[0]] = &Route{Route: at[0]}
			names = append(names, at[0])
		}
	}
	slices.Sort(names)
	for _, name := range names {
		known := map[string]int{}
		r := byRoute[name]
		for _, path := range u.Paths[name] {
			of := answers[[2]string{name, path}]
			key := ""
			for i := range situations {
				for _, p := range people {
					if a := of[[2]string{situations[i].name, p.name}]; a != nil {
						key += a.key + "|"
					}
				}
			}
			if i, same := known[key]; same {
				r.Paths[i].Paths = append(r.Paths[i].Paths, path)
				continue
			}
			known[key] = len(r.Paths)
			r.Paths = append(r.Paths, pathsOf(path, of, people, situations))
		}
		g.Routes = append(g.Routes, *r)
	}
}

func pathsOf(path string, of map[[2]string]*Answer, people []person, situations []situation) Paths {
	out := Paths{Paths: []string{path}, Usual: []Answer{}, Unusual: []Situation{}}
	for _, p := range people {
		out.Usual = append(out.Usual, *of[[2]string{"", p.name}])
	}
	for _, s := range situations[1:] {
		other := Situation{Situation: s.name}
		for i, p := range people {
			if a := of[[2]string{s.name, p.name}]; a != nil && a.key != out.Usual[i].key {
				other.Answers = append(other.Answers, *a)
			}
		}
		if other.Answers != nil {
			out.Unusual = append(out.Unusual, other)
		}
	}
	return out
}
