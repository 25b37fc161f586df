package engine

import (
	"context"

	"github.com/neosc/gate/authz"
)

// Requests makes n requests for a program, of the kind that its comparison with
// OPA's evaluator is done on: they go as many ways through its rules as can be
// found, with the words of its text and data. An error says that the machine
// does not run the program, or that ctx ended.
func Requests(ctx context.Context, p *Program, n int) ([]*authz.Request, error) {
	f, err := newFast(p)
	if err != nil {
		return nil, err
	}
	s, err := newSteering(f)
	if err != nil {
		return nil, err
	}
	all := make([]*authz.Request, 0, n)
	for len(all) < n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r := s.draw()
		s.follow(ctx, r)
		all = append(all, ownRequest(r))
	}
	return all, nil
}
