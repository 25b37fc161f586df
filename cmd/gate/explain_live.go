package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/admin"
)

// decision explains a recent decision of this gate by its request id: decided
// again by the active policy at the recorded instant, beside what was decided.
func (a *app) decision(ctx context.Context, id string) (any, error) {
	rec, found := a.recent.Find(id)
	if !found {
		return nil, notRemembered(id, a.recent.Reach())
	}
	p, generation := a.engine.Active()
	if p == nil {
		return nil, fmt.Errorf("no policy is active")
	}
	q := &question{
		program: p, generation: generation, source: policySource(a.cfg), cookieName: a.cfg.Cookie.Name,
		request: rec.Request, session: rec.Request.Session, whoSource: "the session of the request",
	}
	if !rec.JudgedByPolicy && rec.Verdict != authz.Failed {
		return unjudged(q, rec), nil
	}
	out, err := q.explain(ctx)
	if err != nil {
		return nil, err
	}
	out.Recorded = recorded(rec, generation, p.Revision())
	out.compare(rec)
	return out, nil
}

// maskSession lets operators see who somebody is to policy, without secrets.
func maskSession(s *session.Session) *session.Session {
	shown, _ := authz.MaskSession(s)
	return shown
}

// notRemembered says how far back one could have asked.
func notRemembered(id string, r observe.Reach) error {
	if r.Denials+r.Others == 0 {
		return admin.NotFound("no decision about request %.64q is remembered: there have been none since the gate started", id)
	}
	kind := func(n int, name string, since time.Time) string {
		if n == 0 {
			return "no " + name
		}
		return fmt.Sprintf("%d %s back to %s", n, name, since.UTC().Format(time.RFC3339))
	}
	return admin.NotFound("no decision about request %.64q is remembered; there are %s and %s. Is it another gate's, or of before the gate started?",
		id, kind(r.Denials, "refusals", r.DenialsSince), kind(r.Others, "others", r.OthersSince))
}

// unjudged reports a decision that the gate took before policy was asked.
func unjudged(q *question, rec observe.Recorded) *report {
	same := func(s string) string { return s }
	out := &report{
		Verdict: rec.Verdict.String(), Status: rec.Status, Reasons: reasonsOf(rec.Reasons), Who: whoOf(q.session, q.whoSource),
		Request: q.requestOf(same), Policy: q.policy(),
	}
	out.complete()
	out.Recorded = recorded(rec, q.generation, q.program.Revision())
	out.Recorded.Agrees = true
	out.Notes = append(out.Notes, "the gate answered this by itself, before policy was asked")
	return out
}

func recorded(rec observe.Recorded, generation uint64, revision string) *reportRecorded {
	out := &reportRecorded{
		Verdict: rec.Verdict.String(), Status: rec.Status, Reasons: reasonsOf(rec.Reasons), Revision: rec.Revision, Generation: rec.Generation,
		TookMicros: float64(rec.Took.Nanoseconds()) / 1000, RetryAfter: rec.Spent.RetryAfter.Seconds(),
		SamePolicy: !rec.JudgedByPolicy || rec.Generation == generation && rec.Revision == revision, LeftOut: append([]string{}, rec.LeftOut...),
	}
	if rec.Limit != nil {
		l := limitOf(*rec.Limit, func(s string) string { return s })
		out.Limit = &l
	}
	return out
}

// compare says where what was decided then and what is decided now part.
func (out *report) compare(rec observe.Recorded) {
	now := make([]string, 0, len(out.Reasons))
	for _, r := range out.Reasons {
		now = append(now, r.Code)
	}
	r := out.Recorded
	r.Agrees = r.Verdict == out.Verdict && r.Status == out.Status && slices.Equal(now, rec.Reasons)
	switch {
	case !r.SamePolicy:
		out.Notes = append(out.Notes, fmt.Sprintf("the policy has changed since: the request was decided by revision %s (generation %d); the rules below are those of now", r.Revision, r.Generation))
	case r.Agrees:
	case rec.Verdict == authz.Limited:
		out.Notes = append(out.Notes, "policy let the request through, and the limit was used up")
	case rec.Verdict == authz.Failed:
		out.Notes = append(out.Notes, "the request failed for a cause that is not in the rules: "+strings.Join(rec.Reasons, ", "))
	default:
		out.Notes = append(out.Notes, "the same rules decide otherwise now: what was left out of the record mattered")
	}
	if len(r.LeftOut) > 0 {
		out.Notes = append(out.Notes, "not remembered, so absent here: "+strings.Join(r.LeftOut, "; "))
	}
}
