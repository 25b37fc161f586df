package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/shadow"
	"github.com/neosc/gate/session"
)

// policyKeeper is what the console knows of the policy.
type policyKeeper struct{ *app }

var _ session.PolicyKeeper = policyKeeper{}

// PolicyState implements session.PolicyKeeper.
func (k policyKeeper) PolicyState(ctx context.Context) session.PolicyState {
	s, x := k.policy.Status(), k.engine.Report()
	out := session.PolicyState{
		Place: k.policy.Place(), Revision: s.Revision, Generation: s.Generation, LoadedAt: s.LoadedAt, LastAttempt: s.LastAttempt, Refused: s.Refused,
		Machine: x.Evaluator == engine.Machine, Pending: x.Pending, Why: x.Why, Compared: x.Inputs, Reached: x.Reached, Outcomes: x.Outcomes,
		Evaluations: x.Evaluations,
	}
	if s.LastError != nil {
		out.LastError = s.LastError.Error()
	}
	if s.SourceError != nil {
		out.SourceError, out.SourceSince = s.SourceError.Error(), s.SourceSince
	}
	if b := s.Bundle; b != nil {
		out.Bundle = &session.PolicyBundle{
			ID: b.ID, Revision: b.Revision, Signer: b.Signature.KeyID, Algorithm: b.Signature.Algorithm, Tests: b.Tests, ActivatedAt: s.LoadedAt, Active: true,
		}
	}
	if kept, active, err := k.policy.Kept(); err == nil {
		for _, b := range kept {
			out.Kept = append(out.Kept, session.PolicyBundle{ID: b.ID, Revision: b.Revision, Signer: b.Signer, ActivatedAt: b.ActivatedAt, Active: b.ID == active})
		}
	}
	for _, r := range x.Rules {
		out.Rules = append(out.Rules, session.PolicyRule{Name: strings.TrimPrefix(r.Rule, "data."), At: r.At, Held: r.Held})
	}
	if report, err := k.shadow.Report(ctx); err == nil {
		out.Shadow = shadowState(&report)
	}
	return out
}

func shadowState(r *shadow.Report) *session.PolicyShadow {
	out := &session.PolicyShadow{
		Place: r.Place, Revision: r.Revision, Share: r.Share, Since: r.Since, Compared: r.Compared, Disagreed: r.Disagreed, Dropped: r.Dropped + r.Skipped, Trouble: r.Trouble,
	}
	for _, g := range r.Groups {
		out.Differences = append(out.Differences, session.PolicyDifference{
			Kind: string(g.Kind), Route: g.Route, From: g.From, To: g.To, Rules: g.Rules, Count: g.Count, RequestID: g.Example.RequestID,
		})
	}
	return out
}

// PromoteShadow implements session.PolicyKeeper.
func (k policyKeeper) PromoteShadow(ctx context.Context, since time.Time) error {
	done, err := k.shadow.promote(ctx, since)
	if err == nil {
		k.tellWish(ctx, "promote", done.Revision, done.Generation)
	}
	return wish(err)
}

// DropShadow implements session.PolicyKeeper.
func (k policyKeeper) DropShadow(context.Context) error { return wish(k.shadow.drop()) }

// GoBack implements session.PolicyKeeper.
func (k policyKeeper) GoBack(ctx context.Context, id string) error {
	s, err := k.policy.Rollback(id)
	if err == nil {
		k.tellWish(ctx, "back", s.Revision, s.Generation)
	}
	return wish(err)
}

// wish words an error for the page: all of them say what of the wish cannot be.
func wish(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, shadow.ErrNone):
		return fmt.Errorf("%w: no policy is watched", session.ErrPolicyWish)
	case errors.Is(err, bundles.ErrNoBundles):
		return fmt.Errorf("%w: the policy is no bundle", session.ErrPolicyWish)
	}
	return fmt.Errorf("%w: %w", session.ErrPolicyWish, err)
}

// tellWish has the trail name the administrator who asked; that the policy is
// active the manager tells.
func (k policyKeeper) tellWish(ctx context.Context, what, revision string, generation uint64) {
	if k.trail == nil {
		return
	}
	o := session.OriginOf(ctx)
	e := session.Event{Action: session.ActionPolicyActivated, Outcome: session.OutcomeSuccess, Actor: o.Actor, Origin: o, Details: map[string]string{
		"revision": revision, "generation": strconv.FormatUint(generation, 10), "cause": "console", "wish": what,
	}}
	if err := k.trail.Append(context.WithoutCancel(ctx), e); err != nil {
		k.log.Error("the trail does not tell who changed the policy", "wish", what, "actor", o.Actor.ID, "error", err)
	}
}
