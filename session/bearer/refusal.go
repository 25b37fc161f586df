package bearer

import "github.com/neosc/gate/session"

// refusal is why a token was refused. To the outside each is ErrInvalid; the
// reason is for metrics and tests, and never says what the token held.
type refusal struct{ reason string }

func (r *refusal) Error() string { return session.ErrInvalid.Error() + ": " + r.reason }

// Unwrap makes every refusal the one error that callers know.
func (r *refusal) Unwrap() error { return session.ErrInvalid }

var (
	refuseSize       = &refusal{"size"}      // empty or too long
	refuseForm       = &refusal{"form"}      // neither a JWS nor an opaque token, or not to the letter of it
	refuseHeader     = &refusal{"header"}    // crit, b64, zip or enc: what we would have to understand
	refuseAlgorithm  = &refusal{"algorithm"} // not among the provider's
	refuseType       = &refusal{"type"}      // no access token
	refuseIssuer     = &refusal{"issuer"}    // no provider has it
	refuseAudience   = &refusal{"audience"}  // for somebody else
	refuseClient     = &refusal{"client"}    // issued to a client that may not
	refuseTime       = &refusal{"time"}      // not yet, or times that are none
	refuseExpired    = &refusal{"expired"}   // no longer
	refuseKey        = &refusal{"key"}       // its key is not published
	refuseSignature  = &refusal{"signature"} // does not hold
	refuseIdentity   = &refusal{"identity"}  // names nobody whom we can let in
	refuseBound      = &refusal{"bound"}     // needs a proof that a bearer does not give
	refuseDenied     = &refusal{"denied"}    // taken back
	refuseInactive   = &refusal{"inactive"}  // the provider says so
	refuseNoProvider = &refusal{"unasked"}   // opaque, and there is nobody to ask
	refusals         = []*refusal{refuseSize, refuseForm, refuseHeader, refuseAlgorithm, refuseType, refuseIssuer, refuseAudience, refuseClient, refuseTime, refuseExpired, refuseKey, refuseSignature, refuseIdentity, refuseBound, refuseDenied, refuseInactive, refuseNoProvider}
)
