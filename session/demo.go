package session

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// The claims and the role of a demo grant, as policy reads them. They are in the
// live sessions of the grant's person while it is active, and only then.
const (
	// ClaimDemoSession is the grant's id, ClaimDemoExpires its end (RFC 3339),
	// ClaimDemoWorkspace the kind of workspace, ClaimDemoDuration the most seconds
	// that it may last.
	ClaimDemoSession   = "neosc:demo_session_id"
	ClaimDemoExpires   = "neosc:demo_expires_at"
	ClaimDemoWorkspace = "neosc:workspace_type"
	ClaimDemoDuration  = "neosc:max_duration"
	// RoleDemo is the role that opens workspaces.
	RoleDemo = "demo-user"
)

// GrantStatus is where a demo grant is on its way. pending → starting → active →
// expired, revoked or failed; a pending one may be refused.
type GrantStatus string

// The states of a grant. The last four are final.
const (
	GrantPending  GrantStatus = "pending"  // waits for an administrator
	GrantStarting GrantStatus = "starting" // its first steps are under way
	GrantActive   GrantStatus = "active"
	GrantExpired  GrantStatus = "expired"
	GrantRevoked  GrantStatus = "revoked"
	GrantFailed   GrantStatus = "failed"
	GrantRefused  GrantStatus = "refused"
)

// Ended reports whether the status is final.
func (s GrantStatus) Ended() bool {
	return s == GrantExpired || s == GrantRevoked || s == GrantFailed || s == GrantRefused
}

// Known reports whether the status is one that a grant can have.
func (s GrantStatus) Known() bool {
	return s == GrantPending || s == GrantStarting || s == GrantActive || s.Ended()
}

// DemoGrant is temporary access to a workspace. It holds no secret.
type DemoGrant struct {
	// ID is demo-<unix>-<random>, and what ClaimDemoSession says.
	ID     string      `json:"id"`
	Status GrantStatus `json:"status"`
	// UserID, Email, Issuer and Subject say whose it is, as the sessions do.
	UserID       string `json:"user_id"`
	Email        string `json:"email"`
	Issuer       string `json:"issuer,omitempty"`
	Subject      string `json:"subject,omitempty"`
	Organization string `json:"organization,omitempty"`
	// OrganizationID is that of Organization, where there is one.
	OrganizationID string `json:"organization_id,omitempty"`
	// ClientAddr is where it was asked for, as AddressKey names it.
	ClientAddr string `json:"client_addr,omitempty"`
	// WorkspaceType is one of the configured kinds.
	WorkspaceType string `json:"workspace_type"`
	// Role is the grant's own, for identity providers: demo-user-<digits>.
	Role string `json:"role"`
	// Purpose is what the person said, Reason what the administrator said who
	// decided on it or ended it.
	Purpose string `json:"purpose,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// DecidedBy is who approved or refused it.
	DecidedBy string `json:"decided_by,omitempty"`
	// MaxDuration is from StartedAt to ExpiresAt.
	MaxDuration time.Duration `json:"-"`
	RequestedAt time.Time     `json:"requested_at"`
	StartedAt   time.Time     `json:"started_at,omitzero"`
	// ExpiresAt is set when it starts.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// CleanedAt is when all that was made for it was gone again.
	CleanedAt time.Time `json:"cleaned_at,omitzero"`
	// Steps are what is done for it, in the order in which they are done.
	Steps []GrantStep `json:"steps,omitempty"`
	// Again: Demos.Request gave the one that its person had already.
	Again bool `json:"-"`
}

// The phases and the states of a step.
const (
	PhaseStart  = "start"
	PhaseEnd    = "end"
	StepWaiting = "waiting"
	StepDone    = "done"
	StepFailed  = "failed"
)

// GrantStep is one thing done at the start or at the end of a grant.
type GrantStep struct {
	Name string `json:"name"`
	// Phase is start or end.
	Phase string `json:"phase"`
	// State is waiting, done or failed; a failed end is tried on and on.
	State    string    `json:"state"`
	Attempts int       `json:"attempts,omitempty"`
	Error    string    `json:"error,omitempty"`
	At       time.Time `json:"at,omitzero"`
}

// DemoStep makes something for a grant and takes it away again: a container, a
// role at the identity provider. Safe for concurrent use. Each call is bounded
// by ctx and idempotent: after a crash it is made again, and an End may come
// without a Start, while one is under way, or twice. Errors may be shown to
// administrators and hold no secret; one that wraps ErrStepRefused will not get
// better by trying again.
type DemoStep interface {
	Name() string
	// Start is called before the grant begins: its ExpiresAt is when it would end if
	// it began at this very instant.
	Start(ctx context.Context, g DemoGrant) error
	End(ctx context.Context, g DemoGrant) error
	// Owned returns the ids of all grants for which there is something, live or
	// not: what no live grant owns is an orphan, of which End is then called with
	// a grant that has no more than its ID (and Role, Subject where known).
	Owned(ctx context.Context) ([]DemoGrant, error)
}

// DemoRequest asks for a grant.
type DemoRequest struct {
	WorkspaceType string
	Purpose       string
	// Duration is at most the kind's; 0 means that.
	Duration time.Duration
}

// DemoQuery selects grants. Zero fields do not restrict.
type DemoQuery struct {
	UserID string
	Status GrantStatus
	// Live selects those that have not ended.
	Live bool
	// After continues a listing: DemoPage.Next of the page before.
	After string
	// Limit is 1 to 1000; 0 means 100.
	Limit int
}

// DemoPage is a part of a listing, the newest first. Next is "" on the last one.
type DemoPage struct {
	Grants []DemoGrant `json:"demo_sessions"`
	Next   string      `json:"next,omitempty"`
}

// WorkspaceKind is a kind of workspace that can be asked for.
type WorkspaceKind struct {
	Name        string        `json:"name"`
	Title       string        `json:"title"`
	Description string        `json:"description,omitempty"`
	MaxDuration time.Duration `json:"-"`
	// Approval: an administrator has to agree.
	Approval bool `json:"approval,omitempty"`
}

// Demos is just-in-time access. Safe for concurrent use. Each move keeps its
// audit event, whose actor is the Origin's of ctx, and one whose event cannot be
// kept is not made. Errors: ErrNoDemo, ErrDemoState, ErrBadDemo (its text may be
// shown), *DemoCapError, ErrUnavailable.
type Demos interface {
	// Kinds are the kinds of workspaces, in the order of the configuration.
	Kinds() []WorkspaceKind
	// Request makes a grant for a signed-in person: active, or starting where
	// something has to be made for it, or pending where somebody has to agree. Who
	// has a live one of the kind already gets that.
	Request(ctx context.Context, s *Session, r DemoRequest) (DemoGrant, error)
	// Grant returns one.
	Grant(ctx context.Context, id string) (DemoGrant, error)
	PageGrants(ctx context.Context, q DemoQuery) (DemoPage, error)
	// Decide approves or refuses a pending one, by an administrator, who says why.
	Decide(ctx context.Context, id string, approve bool, by Person, reason string) (DemoGrant, error)
	// End ends one now, by its person or an administrator; one that has ended
	// stays as it is.
	End(ctx context.Context, id string, by Person, reason string) (DemoGrant, error)
	// Extend lets an active one last longer, by an administrator, within the cap.
	Extend(ctx context.Context, id string, by time.Duration, who Person, reason string) (DemoGrant, error)
}

// GrantEnder ends the demo grants of accounts that are disabled, go, or move to
// another organization. Safe for concurrent use.
type GrantEnder interface {
	// EndGrants is a part of the transaction that changes an account, so that a
	// crash leaves both or neither. It ends all live grants of a user but, if keep is
	// the id of an organization, those that count for that one. done is to be called
	// once tx is committed: it has live sessions and clean-up follow at once, which
	// any gate does later if it is not. reason may be shown.
	EndGrants(ctx context.Context, tx *sql.Tx, userID, keep, reason string) (done func(context.Context) error, err error)
}

// The actions of demo grants.
const (
	ActionDemoRequested Action = "demo_requested"
	ActionDemoApproved  Action = "demo_approved"
	ActionDemoRefused   Action = "demo_refused"
	ActionDemoStarted   Action = "demo_started"
	ActionDemoExtended  Action = "demo_extended"
	ActionDemoExpired   Action = "demo_expired"
	ActionDemoRevoked   Action = "demo_revoked"
	ActionDemoFailed    Action = "demo_failed"
	// ActionDemoCleaned: everything that was made for a grant is gone.
	ActionDemoCleaned Action = "demo_cleaned"
	// ActionDemoOrphan: something was found, and taken away, that no live grant owns.
	ActionDemoOrphan Action = "demo_orphan_removed"
)

// Errors of demo grants, matched with errors.Is.
var (
	ErrNoDemo = errors.New("no such demo session")
	// ErrDemoState: the move is not one from where the grant is.
	ErrDemoState   = errors.New("the demo session does not allow that now")
	ErrBadDemo     = errors.New("not a possible demo session")
	ErrStepRefused = errors.New("the step was refused for good")
)

// DemoCapError says that there are as many grants as may be.
type DemoCapError struct {
	// Cap is user, organization, address or all.
	Cap string
	// RetryAfter is when one ends at the latest, if that is known.
	RetryAfter time.Duration
}

// Error implements error.
func (e *DemoCapError) Error() string {
	return "there are as many demo sessions as may be for this " + e.Cap
}
