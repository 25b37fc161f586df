package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/authz/observe/decisionlog"
)

// fromLog explains a recorded decision: decided again by the policy that is
// asked about, at its own instant.
func (f *explainFlags) fromLog(ctx context.Context) (*report, error) {
	cfg, err := loadConfig(f.config)
	if err != nil {
		return nil, err
	}
	file := f.decisions
	if file == "" {
		if file, err = decisionFile("", f.config); err != nil {
			return nil, err
		}
	}
	rec, err := findRecord(ctx, file, f.decision)
	if err != nil {
		return nil, err
	}
	p, err := triedProgram(cfg, f.bundle, f.switches)
	if err != nil {
		return nil, err
	}
	q := &question{
		program: p, source: f.bundle, cookieName: cfg.Cookie.Name, request: rec.Request, session: rec.Request.Session, whoSource: "the record",
	}
	if q.source == "" {
		q.source = policySource(cfg)
	}
	was := remembered(rec)
	if !rec.Judged() {
		return unjudged(q, was), nil
	}
	admitted(rec.Request)
	out, err := q.explain(ctx)
	if err != nil {
		return nil, err
	}
	out.Recorded = recorded(was, rec.Generation, p.Revision())
	out.compare(was)
	return out, nil
}

// findRecord returns the newest record of a decision's or a request's id.
func findRecord(ctx context.Context, file, id string) (*decisionlog.Record, error) {
	var found *decisionlog.Record
	lines := 0
	err := decisionlog.Scan(ctx, file, func(l decisionlog.Line) error {
		if lines++; l.Err != nil || !mayHave(l.Text, id) {
			return nil
		}
		if r, err := decisionlog.Parse(string(l.Text)); err == nil && (r.DecisionID == id || r.RequestID == id) {
			found = r
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("decision log: %w", err)
	case found == nil:
		return nil, fmt.Errorf("no decision %.64q is among the %d of %s", id, lines, file)
	case found.Request == nil:
		return nil, errors.New("the record has no input: it was masked")
	}
	return found, nil
}

// mayHave reports whether a line can be the record of an id: to look for the text
// is ten times as fast as to read all records.
func mayHave(line []byte, id string) bool {
	return bytes.Contains(line, []byte(id)) || bytes.IndexByte(line, '\\') >= 0
}

// remembered is a record as gates remember decisions.
func remembered(r *decisionlog.Record) observe.Recorded {
	out := observe.Recorded{
		Request: r.Request, Status: r.Status, Reasons: r.Reasons, JudgedByPolicy: r.Judged(), Revision: r.Revision, Generation: r.Generation, Took: r.Took,
	}
	for _, v := range []authz.Verdict{authz.Allowed, authz.Denied, authz.Limited, authz.Failed} {
		if v.String() == r.Verdict {
			out.Verdict = v
		}
	}
	if r.Limit != nil {
		out.Limit = &authz.Charge{Name: r.Limit.Name, Key: r.Limit.Key}
		if r.Result != nil {
			for i, c := range r.Result.Charges {
				if c.Name == r.Limit.Name && c.Key == r.Limit.Key {
					out.Limit = &r.Result.Charges[i]
				}
			}
		}
		out.Spent.RetryAfter = r.Limit.RetryAfter
	}
	for _, list := range [][]string{r.Erased, r.Masked} {
		for _, p := range list {
			if !slices.Contains(out.LeftOut, p) {
				out.LeftOut = append(out.LeftOut, p)
			}
		}
	}
	return out
}

// admitted makes the request one that the gate puts before policy: it did, and
// what it went by (the host's own origin) is not in the record.
func admitted(r *authz.Request) {
	if r.Route == nil {
		return
	}
	r.Route.Origin = r.Scheme + "://" + r.Host
	if origin, n := r.Headers.Get("origin"); n == 1 {
		if u, err := url.Parse(origin); err == nil && u.Host != "" {
			r.Route.AllowedOrigins = []string{origin}
		}
	}
	if r.Session != nil {
		r.Session.CreatedAt = r.Time.Add(-time.Second)
	}
}
