package authz

import (
	"context"
	"time"

	"github.com/neosc/gate/session"
)

// Sessions finds out who asks. Safe for concurrent use.
type Sessions interface {
	// ByCookies returns the session that the given values of the session
	// cookie open at now. Values that open nothing are ignored:
	// session.ErrInvalid if none opens anything, session.ErrAmbiguous if two
	// or more open live sessions, session.ErrUnavailable if it cannot be told.
	ByCookies(ctx context.Context, values []string, now time.Time) (*session.Session, error)
	// ByBearer returns the session of an access token: session.ErrInvalid or
	// session.ErrUnavailable as above.
	ByBearer(ctx context.Context, token string, now time.Time) (*session.Session, error)
}

// Verdict is the kind of answer a request gets.
type Verdict uint8

const (
	// Denied is the zero value: what is not decided is denied.
	Denied Verdict = iota
	// Allowed lets the request through with the decision's mutations.
	Allowed
	// Unauthenticated: signing in may help (401, or a redirect to sign in).
	Unauthenticated
	// Limited: too many requests (429).
	Limited
	// Failed: our own trouble (503), never a redirect.
	Failed
)

// String returns the verdict as logs and metrics show it: allow, deny, limit or
// error. That nobody was signed in is the reason of a denial, not a verdict.
func (v Verdict) String() string {
	switch v {
	case Allowed:
		return "allow"
	case Limited:
		return "limit"
	case Failed:
		return "error"
	default:
		return "deny"
	}
}

// Outcome is the answer to a Request before it is put into words for the
// client.
type Outcome struct {
	Verdict Verdict
	// Status is the HTTP status a denied client gets; 200 on an allow.
	Status int
	// Reasons are never empty.
	Reasons []string
	// Decision is policy's, nil when policy was not asked or failed.
	Decision *Decision
	// Charge and Spent are the limiting charge and the limiter's answer; Charge
	// is nil when nothing was charged.
	Charge *Charge
	Spent  Spent
	// Session is who asked, nil for nobody.
	Session *session.Session
	// StreamFor is how long a stream opened by this answer may live; 0 means
	// without end.
	StreamFor time.Duration
	// Err is the cause of a Failed verdict, for the log alone.
	Err error
}
