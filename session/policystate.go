package session

import (
	"context"
	"errors"
	"time"
)

// ErrPolicyWish is wrapped by what PolicyKeeper's methods return when what was
// wished cannot be, such as promoting a candidate that is gone. Its text may be
// shown to administrators.
var ErrPolicyWish = errors.New("the policy was not changed")

// PolicyKeeper knows the active policy of this gate and changes it. Its methods
// are safe for concurrent use. Who asks is in the context's Origin, for the audit
// trail.
type PolicyKeeper interface {
	// PolicyState says what there is to know now. It asks nobody else, and takes at
	// most as long as ctx lets it; parts that cannot be had in time are left out.
	PolicyState(ctx context.Context) PolicyState
	// PromoteShadow makes the candidate that is watched the active policy. since is
	// its PolicyShadow.Since as it was looked at: one that has taken its place
	// meanwhile, or was compared with another policy, is not promoted.
	PromoteShadow(ctx context.Context, since time.Time) error
	// DropShadow ends the watching.
	DropShadow(ctx context.Context) error
	// GoBack makes a bundle that was active before, by its ID, the active one.
	GoBack(ctx context.Context, id string) error
}

// PolicyState is the active policy of one gate. Parts that there are none of are
// nil or empty.
type PolicyState struct {
	// Place is where the policy comes from, Revision and Generation are the active
	// one's, LoadedAt is since when.
	Place      string
	Revision   string
	Generation uint64
	LoadedAt   time.Time
	// LastAttempt is when a policy was last read, and LastError what was wrong with
	// it, "" if nothing. Refused is its revision, if it is known.
	LastAttempt time.Time
	LastError   string
	Refused     string
	// SourceError is why the place cannot be asked, since SourceSince.
	SourceError string
	SourceSince time.Time
	// Machine: the gate's own evaluator decides. If not, Why says what keeps it from
	// it, "" when that is as configured. Pending: the two are being compared.
	Machine, Pending bool
	Why              string
	// Compared is on how many inputs the two agreed; Reached of Outcomes is how much
	// of the policy those came to.
	Compared, Reached, Outcomes int
	// Bundle is what is known of the active bundle; nil if the policy is none.
	Bundle *PolicyBundle
	// Kept are the bundles to which there is a way back, the newest first.
	Kept []PolicyBundle
	// Rules are those of the active policy with how often each has held in live
	// traffic, and Evaluations the decisions that were counted.
	Rules       []PolicyRule
	Evaluations uint64
	// Shadow is the candidate that is watched; nil without one.
	Shadow *PolicyShadow
}

// PolicyBundle is a bundle that is or was active.
type PolicyBundle struct {
	// ID is a hash over its content.
	ID, Revision string
	// Signer is the id of the key that signed it, "" if no signature was asked for;
	// Algorithm is that of the signature, "" if it is not known any more.
	Signer, Algorithm string
	// Tests is how many of its tests passed before it was taken, in this process.
	Tests int
	// ActivatedAt is zero where it is not known.
	ActivatedAt time.Time
	// Active marks the one that serves.
	Active bool
}

// PolicyRule is a rule and in how many evaluations it held.
type PolicyRule struct {
	// Name is its path without "data.", At where it stands, as "authz.rego:12".
	Name, At string
	Held     uint64
}

// PolicyShadow is a candidate that decides beside the active policy.
type PolicyShadow struct {
	Place, Revision string
	// Share of the traffic that it sees, 0 to 1, since Since.
	Share float64
	Since time.Time
	// Compared decisions, of which Disagreed would have been others.
	Compared, Disagreed, Dropped uint64
	// Trouble is what keeps the figures from being right; "" if nothing.
	Trouble string
	// Differences are by kind, the most frequent first.
	Differences []PolicyDifference
}

// PolicyDifference is one kind of disagreement.
type PolicyDifference struct {
	// Kind is what differs, such as "verdict"; From is the active policy's, To the
	// candidate's.
	Kind, Route, From, To string
	// Rules held in one of them alone: "-" before the active one's, "+" before the
	// candidate's.
	Rules []string
	Count uint64
	// RequestID is of the last such request, "" if none can be named.
	RequestID string
}
