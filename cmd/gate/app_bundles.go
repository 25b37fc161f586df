package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/archive"
	"github.com/neosc/gate/bundles/download"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/policies"
	"github.com/neosc/gate/session"
)

// keptBundles is the folder of the bundles that were active.
func keptBundles(cfg *config.Config) string {
	return filepath.Join(cfg.Policy.State, "policy-bundles")
}

// bundleTrust is whose bundles are taken; nil if nobody's signature is asked for.
func bundleTrust(cfg *config.Config) (*archive.Trust, error) {
	v := &cfg.Policy.Verify
	if !v.Verified() {
		return nil, nil
	}
	keys, err := archive.ReadPublicKeys(v.Keys)
	if err != nil {
		return nil, fmt.Errorf("policy.verify.keys: %w", err)
	}
	return &archive.Trust{Keys: keys, Scope: v.Scope}, nil
}

// policyPlace says where policy sets come from, and which are taken.
func policyPlace(cfg *config.Config, log *slog.Logger, o *bundles.Options) (err error) {
	p := &cfg.Policy
	switch b := &p.Bundle; {
	case b.URL != "":
		o.Remote, err = download.New(download.Options{URL: b.URL, TokenFile: b.TokenFile, CAFile: b.CA, Poll: b.Poll, Wait: b.Wait, Logger: log})
		if err != nil {
			return fmt.Errorf("policy.bundle: %w", err)
		}
	case p.Path == "":
		o.FS = policies.Files() // of the program itself: who trusts that trusts them
	case bundles.IsBundle(p.Path):
		o.File = p.Path
	default:
		o.Dir = p.Path
	}
	o.Kept, o.Keep, o.TestTime = keptBundles(cfg), p.Bundle.Keep, p.Bundle.TestTime
	o.Trust, err = bundleTrust(cfg)
	if err != nil && o.FS != nil {
		log.Warn("no bundle is taken in the place of the built-in rules until the gate starts with the keys", "error", err)
		o.Trust, err = &archive.Trust{}, nil
	}
	return err
}

// sourceTrouble is what readiness says of a bundle server that gives none.
func sourceTrouble(s *bundles.Status) error {
	if s.SourceError == nil {
		return nil
	}
	return fmt.Errorf("since %s: %w", s.SourceSince.UTC().Format(time.RFC3339), s.SourceError)
}

// auditTime is how long the trail may take to tell of a policy: nobody waits.
const auditTime = 10 * time.Second

// auditPolicy has the trail tell of what became active, or did not. The first
// policy is active before there is a trail: see auditFirst.
func (a *app) auditPolicy(s bundles.Status) {
	if a.trail == nil {
		return
	}
	e := session.Event{Action: session.ActionPolicyActivated, Outcome: session.OutcomeSuccess, Details: map[string]string{
		"revision": s.Revision, "generation": strconv.FormatUint(s.Generation, 10), "cause": string(s.Cause),
	}}
	if s.Cause == bundles.FromOperator {
		e.Actor = session.Operator()
	}
	if b := s.Bundle; b != nil && s.LastError == nil {
		e.Details["bundle"], e.Details["signed_by"] = b.ID, b.Signature.KeyID
	}
	if s.LastError != nil {
		e.Action, e.Outcome = session.ActionPolicyRefused, session.OutcomeDenied
		e.Details["reason"], e.Details["refused"] = strings.Join(strings.Fields(s.LastError.Error()), " "), s.Refused
	}
	ctx, cancel := context.WithTimeout(context.Background(), auditTime)
	defer cancel()
	if err := a.trail.Append(ctx, e); err != nil && !errors.Is(err, context.Canceled) {
		a.log.Error("the trail does not tell of a policy", "action", string(e.Action), "revision", s.Revision, "error", err)
	}
}

// auditFirst tells of the bundle that a gate began with, and of the one that its
// source had and that was refused.
func (a *app) auditFirst() {
	s := a.policy.Status()
	if s.Bundle == nil {
		return
	}
	first := s
	if first.LastError = nil; s.Bundle.Kept {
		first.Cause = bundles.FromKept
	}
	a.auditPolicy(first)
	if s.LastError != nil {
		a.auditPolicy(s)
	}
}
