package demo

import (
	"slices"

	"github.com/neosc/gate/session"
)

// move is something that happens to a grant.
type move string

const (
	approve move = "approve" // an administrator agrees; its steps begin
	refuse  move = "refuse"  // an administrator does not, or nobody did in time
	ready   move = "ready"   // all that it needs is there
	expire  move = "expire"  // its time is over
	revoke  move = "revoke"  // its person or an administrator ends it
	fail    move = "fail"    // a step cannot be done
	extend  move = "extend"  // it is to last longer
)

// moves are all that are legal: from where, by what, to where.
var moves = map[session.GrantStatus]map[move]session.GrantStatus{
	session.GrantPending:  {approve: session.GrantStarting, refuse: session.GrantRefused, revoke: session.GrantRevoked},
	session.GrantStarting: {ready: session.GrantActive, revoke: session.GrantRevoked, fail: session.GrantFailed},
	session.GrantActive:   {expire: session.GrantExpired, revoke: session.GrantRevoked, extend: session.GrantActive},
}

// after returns where a move leads: session.ErrDemoState if it is not one from
// there.
func after(s session.GrantStatus, m move) (session.GrantStatus, error) {
	to, ok := moves[s][m]
	if !ok {
		return s, session.ErrDemoState
	}
	return to, nil
}

// live are the states in which a grant counts against caps.
var live = []session.GrantStatus{session.GrantPending, session.GrantStarting, session.GrantActive}

// isLive is live in SQL. Indexes are for these very words.
const isLive = `status IN ('pending', 'starting', 'active')`

// stepsOf are what is done for a grant: the beginnings in their order, then the
// ends in theirs.
func stepsOf(starts, ends []string) []session.GrantStep {
	var out []session.GrantStep
	for phase, names := range map[string][]string{session.PhaseStart: starts, session.PhaseEnd: ends} {
		for _, name := range names {
			out = append(out, session.GrantStep{Name: name, Phase: phase, State: session.StepWaiting})
		}
	}
	slices.SortStableFunc(out, func(a, b session.GrantStep) int {
		switch {
		case a.Phase == b.Phase:
			return 0
		case a.Phase == session.PhaseStart:
			return -1
		}
		return 1
	})
	return out
}

// next returns the first step of a phase that is not done, nil if all are.
func next(steps []session.GrantStep, phase string) *session.GrantStep {
	for i := range steps {
		if steps[i].Phase == phase && steps[i].State != session.StepDone {
			return &steps[i]
		}
	}
	return nil
}
