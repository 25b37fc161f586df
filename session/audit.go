package session

import (
	"context"
	"fmt"
	"time"
)

// Action is what an audit event tells of. The names are kept: people search
// for them, and alerts name them.
type Action string

// The actions of signing in and of sessions.
const (
	// ActionLogin and ActionSSOLogin: somebody signed in, or tried to, with a
	// password here or at a provider.
	ActionLogin    Action = "login"
	ActionSSOLogin Action = "sso_login"
	ActionLogout   Action = "logout"
	// ActionSessionCreated comes with every session, ActionSessionExpired with
	// the end of its time, ActionSessionRevoked with any end before that.
	ActionSessionCreated Action = "session_created"
	ActionSessionExpired Action = "session_expired"
	ActionSessionRevoked Action = "session_revoked"
	// ActionTokenIssued and ActionTokenRevoked are the same of service tokens,
	// and of access tokens that are refused from now on.
	ActionTokenIssued  Action = "token_issued"
	ActionTokenRevoked Action = "token_revoked"
	// ActionRoleAssigned and ActionRoleRevoked name the roles that somebody got
	// or lost.
	ActionRoleAssigned Action = "role_assigned"
	ActionRoleRevoked  Action = "role_revoked"
	// ActionAuditPruned: days of the trail that were kept long enough are taken
	// out, of which the details name the first and the last entry.
	ActionAuditPruned Action = "audit_pruned"
	// ActionPolicySwitched: a switch of the policy was set, or set back; the
	// details name it and its values before and after.
	ActionPolicySwitched Action = "policy_switched"
	// ActionPolicyActivated and ActionPolicyRefused: a policy set was offered and
	// decides from now on, or was refused, so that the one before goes on. The details
	// name its revision, who signed it and, of a refused one, the reason.
	ActionPolicyActivated Action = "policy_activated"
	ActionPolicyRefused   Action = "policy_refused"
	// ActionRequestAllowed and ActionRequestDenied are decisions about requests,
	// where those are kept.
	ActionRequestAllowed Action = "request_allowed"
	ActionRequestDenied  Action = "request_denied"
)

// Outcome is how what an event tells of ended.
type Outcome string

// Outcomes of events.
const (
	OutcomeSuccess Outcome = "success"
	OutcomeDenied  Outcome = "denied"
)

// Person is somebody in an event.
type Person struct {
	ID    string `json:"id,omitempty"`
	Email string `json:"email,omitempty"`
}

// Origin is where a request came from.
type Origin struct {
	// ClientIP is an address without a port, as the edge saw it.
	ClientIP  string `json:"client_ip,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// Actor is who asks, where that is not the person whom it concerns.
	Actor Person `json:"-"`
}

type originKey struct{}

// WithOrigin has events of what is done by ctx tell where the request came from.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf returns what WithOrigin was told, else nothing.
func OriginOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}

// Operator is who speaks to the gate over its admin socket.
func Operator() Person { return Person{ID: "operator"} }

// Event is one thing that the audit trail tells. It never holds a secret.
type Event struct {
	// Time is when it was; the trail sets it if it is zero.
	Time   time.Time `json:"time"`
	Action Action    `json:"action"`
	// Actor did it, and User is whom it concerns; mostly the same.
	Actor        Person `json:"actor,omitzero"`
	User         Person `json:"user,omitzero"`
	Organization string `json:"organization,omitempty"`
	// Session is the key of the session, as Key.String gives it, or "".
	Session string `json:"session,omitempty"`
	Origin
	Outcome Outcome `json:"outcome"`
	// Details say more, in few and short words; the trail cuts what is long.
	Details map[string]string `json:"details,omitempty"`
	// Once, if set, names what comes to pass once: the trail keeps the first event
	// of that name and takes others for kept. So who cannot tell whether it was
	// kept, such as after a crash, appends it again. At most 200 bytes; not shown.
	Once string `json:"-"`
}

// NewEvent returns the event of an action that came to pass, by and to a
// session's person, as a request of ctx asked.
func NewEvent(ctx context.Context, a Action, s *Session) Event {
	e := Event{Action: a, Outcome: OutcomeSuccess, Origin: OriginOf(ctx)}
	if s != nil {
		e.User = Person{ID: s.Identity.UserID, Email: s.Identity.Email}
		e.Organization = s.Identity.Organization
		if s.Key != (Key{}) {
			e.Session = s.Key.String()
		}
	}
	if e.Actor = e.Origin.Actor; e.Actor == (Person{}) {
		e.Actor = e.User
	}
	return e
}

// Auditor keeps events. Safe for concurrent use.
type Auditor interface {
	// Append returns once the events are on disk, all of them or none and one
	// after another; an error wraps ErrUnavailable, and then they may be there
	// or not.
	Append(ctx context.Context, events ...Event) error
}

// AuditEntry is an event with its place in the trail.
type AuditEntry struct {
	// Number counts from 1 without a gap.
	Number uint64 `json:"number"`
	Event
	// Hash is that of this entry and all before it, in hex.
	Hash string `json:"hash"`
}

// AuditQuery selects entries. Zero fields do not restrict.
type AuditQuery struct {
	// User is the id, or the email in any case, of whom an entry concerns or
	// who did it.
	User   string
	Action Action
	// Text is to be in a value of the entry, with ASCII letters in any case: in an
	// id, an email, an address, the user agent, a detail. At most 256 bytes.
	Text string
	// Since is the first instant and Until the one after the last. An entry that
	// was added more than five minutes from its own time may be left out.
	Since, Until time.Time
	// Before continues a listing: only entries with a smaller number.
	Before uint64
	// Limit is the most entries to return: 1 to 1000; 0 means 100.
	Limit int
}

// AuditReader lists the trail. Safe for concurrent use.
type AuditReader interface {
	// Entries returns what q selects, the newest first. An error wraps
	// ErrUnavailable if the trail cannot be read, and is an AuditPaused if a search
	// for Text took its time: the entries beside it are what it has found so far.
	Entries(ctx context.Context, q AuditQuery) ([]AuditEntry, error)
}

// AuditPaused tells that a search has not come to its end: it goes on with the
// same query and this Before.
type AuditPaused struct {
	Before uint64
}

// Error implements error.
func (e *AuditPaused) Error() string {
	return fmt.Sprintf("the search has looked at all entries from %d on, and goes on before that", e.Before)
}
