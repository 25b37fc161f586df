package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/neosc/gate/session"
)

// What an administrator promotes is what the page showed, and not what somebody
// else has put in its place since.
func TestOnlyWhatWasLookedAtIsPromoted(t *testing.T) {
	dir := t.TempDir()
	a := gateOf(t, dir, "", wordPolicy, io.Discard)
	k := policyKeeper{a}
	begin := func() *session.PolicyShadow {
		t.Helper()
		if err := a.shadow.begin("candidate", wordBundle(t, dir, false), 1); err != nil {
			t.Fatal(err)
		}
		s := k.PolicyState(t.Context()).Shadow
		if s == nil || s.Revision != "word-false" || s.Since.IsZero() {
			t.Fatalf("watched is %+v", s)
		}
		return s
	}
	first := begin()
	if err := a.shadow.drop(); err != nil {
		t.Fatal(err)
	}
	second := begin()
	active := a.policy.Status().Revision
	if err := k.PromoteShadow(t.Context(), first.Since); !errors.Is(err, session.ErrPolicyWish) || !strings.Contains(err.Error(), "another policy is watched by now") || a.policy.Status().Revision != active {
		t.Errorf("the candidate of before: %v, and %s decides", err, a.policy.Status().Revision)
	}
	if err := k.PromoteShadow(t.Context(), second.Since); err != nil || a.policy.Status().Revision != "word-false" {
		t.Errorf("the one that was looked at: %v, and %s decides", err, a.policy.Status().Revision)
	}
	if err := k.PromoteShadow(t.Context(), second.Since); !errors.Is(err, session.ErrPolicyWish) {
		t.Errorf("promoted twice: %v", err)
	}
}
