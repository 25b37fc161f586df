package authz

import (
	"context"
	"time"
)

// Decision is what a policy said about one Request. Everything that policy
// wants done is in it as data; nothing has been done yet.
type Decision struct {
	Allowed bool
	// Status is policy's http_status for a denial, 0 for the default.
	Status int
	// Reasons are codes, sorted, never empty (see Reason constants).
	Reasons []string
	// Headers are set on the request to the upstream when allowed, and on the
	// response when denied (as opa-envoy-plugin does).
	Headers []Header
	// RemoveRequestHeaders are taken off the request to the upstream.
	RemoveRequestHeaders []string
	// ResponseHeaders are added to the response on an allow.
	ResponseHeaders []Header
	Body            string
	QuerySet        []QueryParameter
	QueryRemove     []string
	// Metadata goes to Envoy as dynamic metadata. JSON values.
	Metadata map[string]any
	// Charges are spent, all or none, before an allow stands.
	Charges []Charge
	// StreamUntil is when a stream that this decision opens must end; zero
	// means policy set no end.
	StreamUntil time.Time
	// Explain permits the person to see why (the reasons, on the page).
	Explain bool
	// Revision names the policy that decided; Generation counts activations in
	// this process.
	Revision   string
	Generation uint64
	// Trace says how it came about; empty where the evaluator does not tell.
	Trace Trace
}

// Rule is one rule of a policy: its path, such as neosc.authz.open, and where it
// stands, such as authz.rego:52.
type Rule struct{ Name, At string }

// Trace is what an evaluator tells of how it came to a decision. It is part of no
// decision: two that differ in it alone say the same.
type Trace struct {
	// Rules are all rules of the policy, the same list for all of its decisions;
	// nil if the evaluator does not tell which held.
	Rules []Rule
	// Held has a bit for each of the first 256 of Rules that held, More for those
	// that follow.
	Held [4]uint64
	More []uint64
	// Until is the first instant, in nanoseconds since 1970, at which an equal
	// request may be decided otherwise; math.MaxInt64 if time has no part in it, 0
	// if that is not known. It is not after the request's own time if the decision
	// holds for that instant only.
	Until int64
}

// Has reports whether the i-th of Rules held.
func (t *Trace) Has(i int) bool {
	if i < 64*len(t.Held) {
		return t.Held[i/64]&(1<<(i%64)) != 0
	}
	i -= 64 * len(t.Held)
	return i/64 < len(t.More) && t.More[i/64]&(1<<(i%64)) != 0
}

// QueryParameter is one parameter to set on the request to the upstream, not
// yet percent-encoded.
type QueryParameter struct{ Name, Value string }

// Reason codes that this program itself gives or treats specially. Policy may
// give others: lower-case letters, digits and underscores, at most 64.
const (
	ReasonMatchedPolicy    = "matched_policy"
	ReasonUnauthenticated  = "unauthenticated"
	ReasonUnknownRoute     = "unknown_route"
	ReasonPolicyDenied     = "policy_denied" // a policy that denied and gave no reason
	ReasonPolicyError      = "policy_error"
	ReasonRateLimited      = "rate_limited"
	ReasonInvalidToken     = "invalid_token"
	ReasonAmbiguous        = "ambiguous_credentials"
	ReasonOriginMismatch   = "origin_mismatch"
	ReasonBadRequest       = "bad_request"
	ReasonMethod           = "method_not_allowed"
	ReasonStoreUnavailable = "session_store_unavailable"
	ReasonLimitUnavailable = "limits_unavailable"
	ReasonAuditUnavailable = "audit_unavailable"
	ReasonInternalError    = "internal_error"

	ReasonCertificateExpired  = "client_certificate_expired"
	ReasonCertificateRevoked  = "client_certificate_revoked"
	ReasonCertificateRequired = "client_certificate_required"

	// ReasonMFA and ReasonStepUp are policy's to give: the session needs a second
	// factor, or has to show it anew. Where they stand alone a person is sent to
	// where that is done.
	ReasonMFA    = "mfa_required"
	ReasonStepUp = "step_up_required"
)

// Engine evaluates the active policy.
type Engine interface {
	// Decide evaluates r at r.Time. An undefined or malformed result or a
	// failed evaluation is an error, which callers turn into a denial with
	// status 503 and ReasonPolicyError. A decision is taken wholly by one
	// generation of the policy. Safe for concurrent use.
	Decide(ctx context.Context, r *Request) (*Decision, error)
}

// Charge is one token-bucket debit that policy asks for.
type Charge struct {
	// Name says which limit it is ("user"); Key whose. Together they name the
	// bucket. Each at most 256 bytes.
	Name, Key string
	// Rate is in tokens per second, > 0 and ≤ 1e6.
	Rate float64
	// Burst is the bucket's size in tokens, 1..1e6.
	Burst int
	// Cost is what this request takes, 0..Burst; 0 only looks.
	Cost int
}

// Spent is a limiter's answer for the charges of one request.
type Spent struct {
	// Allowed: every charge was taken. When false none was.
	Allowed bool
	// Limiting is the index of the charge that refused or, when allowed, of
	// the one with the least left. -1 when there were no charges.
	Limiting int
	// Remaining tokens in that charge's bucket, after this request.
	Remaining int
	// RetryAfter is how long until the same request would be admitted, were
	// nothing else charged; 0 when allowed.
	RetryAfter time.Duration
	// Reset is how long until that bucket is full again.
	Reset time.Duration
}

// Limiter spends charges. Implementations are exact: in any window of length t
// a bucket admits at most Burst + Rate·t tokens. Safe for concurrent use.
type Limiter interface {
	// Spend takes all charges or none. Two charges on the same bucket count
	// together. An error means the limiter could not say and its own on_error
	// setting asks for a refusal: fail closed.
	Spend(ctx context.Context, now time.Time, charges []Charge) (Spent, error)
}
