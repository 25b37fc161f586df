package session

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// The gate's own pages at which one-time links of mails point, each with the
// parameter token. A GET shows a form and spends nothing, since mail scanners
// follow links; the form's POST does.
const (
	// VerifyPath asks for the password of the registration (Registrar.VerifyEmail).
	VerifyPath = "/account/verify"
	// ResetPath asks for a new password (Registrar.ResetPassword).
	ResetPath = "/account/reset"
	// InvitationPath offers to register (Registrar.Register) or, to somebody who
	// is signed in, to join (Organizations.AcceptInvitation).
	InvitationPath = "/account/invitation"
)

// DefaultOrganization is the name of the organization of everybody who was
// invited to none; DefaultOrganizationID is its id.
const (
	DefaultOrganization   = "Default Organization"
	DefaultOrganizationID = "org_default"
)

// The actions of accounts and organizations.
const (
	ActionRegister             Action = "register"
	ActionEmailVerified        Action = "email_verified"
	ActionPasswordChanged      Action = "password_changed"
	ActionPasswordResetAsked   Action = "password_reset_requested"
	ActionPasswordReset        Action = "password_reset"
	ActionUserChanged          Action = "user_changed"
	ActionUserDisabled         Action = "user_disabled"
	ActionUserEnabled          Action = "user_enabled"
	ActionUserMoved            Action = "user_moved"
	ActionUserRemoved          Action = "user_removed"
	ActionUserImported         Action = "user_imported"
	ActionInvited              Action = "user_invited"
	ActionInvitationAccepted   Action = "invitation_accepted"
	ActionInvitationRevoked    Action = "invitation_revoked"
	ActionOrganizationCreated  Action = "organization_created"
	ActionOrganizationModified Action = "organization_changed"
)

// Registration is what somebody wants an account with.
type Registration struct {
	Email, Password, Name string
	// Organization is what they call their organization. It joins none, or
	// whoever knows a tenant's name would be in it: it is kept in the audit trail
	// for the administrators to see, and does nothing else.
	Organization string
	// Invitation is the token of an invitation, or "". It came by mail to the
	// address that it is bound to, and so the email is verified with it.
	Invitation string
}

// Registrar lets people make and keep accounts of their own. Safe for
// concurrent use. All of its methods but RegistrationOpen charge guess budgets
// by clientAddr and by account, as Authenticator.SignIn does, and return
// *TooManyGuessesError; ErrBusy when all places for hashing or mailing are
// taken; an error that wraps ErrBadUser, whose text may be shown, for values
// that no account can have; and one that wraps ErrUnavailable when accounts, or
// the audit trail, cannot be reached. They keep their own audit events, with
// the Origin of ctx.
type Registrar interface {
	// RegistrationOpen reports whether anybody may register. Who has an
	// invitation always may.
	RegistrationOpen() bool
	// Register keeps a registration until its email is verified (24 h), and
	// sends the link by which it is. The identity that it returns is good for a
	// session (by TokenIssuer) at once: it has a user id, the unverified email
	// and no role. VerifyEmail gives its live sessions the role.
	//
	// An email that has an account already gets the very same answer, after the
	// same work, but nobody gets a link: its owner is told by mail.
	// ErrRegistrationClosed if it is, ErrLink for an invitation that does not
	// hold or is another email's, ErrUserExists only for a valid invitation.
	Register(ctx context.Context, r Registration, clientAddr string) (Identity, error)
	// VerifyEmail makes the account of a registration: from now on it signs in
	// and its role counts. It needs the registration's password: else somebody
	// could register another's address and wait for the owner to follow the
	// link. The identity is as after Authenticator.SignIn. ErrLink if the link is
	// spent, over or none; ErrCredentials for a wrong password, which spends nothing.
	VerifyEmail(ctx context.Context, token, password, clientAddr string) (Identity, error)
	// RequestReset mails a link to choose a new password (1 h) to an account's
	// owner. Whether there is one it does not say, nor does its time. ErrNoMail
	// if this gate sends none.
	RequestReset(ctx context.Context, email, clientAddr string) error
	// ResetPassword sets a password by such a link and ends all sessions of the
	// account: ErrLink if the link is spent, over or none. A password that is
	// refused spends nothing.
	ResetPassword(ctx context.Context, token, password, clientAddr string) (User, error)
	// ChangePassword sets a password for who knows the present one, and ends all
	// sessions of the account but keep: ErrCredentials for a wrong one.
	ChangePassword(ctx context.Context, userID, current, password, clientAddr string, keep Key) error
}

// UserQuery selects accounts. Zero fields do not restrict.
type UserQuery struct {
	// Organization is an id. Search is a part of the email or the name, in any case.
	Organization, Search string
	// After continues a listing: UserPage.Next of the page before.
	After string
	// Limit is the most accounts to return: 1 to 1000; 0 means 100.
	Limit int
}

// UserPage is a part of a listing, by email. Next is "" on the last one.
type UserPage struct {
	Users []User `json:"users"`
	Next  string `json:"next,omitempty"`
}

// UserChange says what is to be changed of an account; nil leaves it.
type UserChange struct {
	Name *string
	// Roles are all that it is to have.
	Roles    *[]string
	Disabled *bool
	// MFA is whether a second factor is asked of it.
	MFA *bool
	// Organization is the id of that to move to.
	Organization *string
}

// ChangedUser is an account as it is now, with how many sessions were changed
// or ended with it.
type ChangedUser struct {
	User                           User
	SessionsChanged, SessionsEnded int
}

// Members administers accounts together with their live sessions: what they
// return holds in those too, on all replicas within a second. Each change keeps
// its audit events, whose actor is the Origin's of ctx; one whose event cannot
// be kept is not made. Safe for concurrent use. Errors: ErrNoUser, ErrBadUser,
// ErrNoOrganization, ErrLastAdmin, ErrUnavailable.
type Members interface {
	PageUsers(ctx context.Context, q UserQuery) (UserPage, error)
	// UserByID returns one account. Who has registered only, or comes from a
	// provider, has none.
	UserByID(ctx context.Context, id string) (User, error)
	// ChangeUser changes one account; disabling it ends its sessions. What one's
	// own profile may change (the name) the caller has to see to.
	ChangeUser(ctx context.Context, id string, c UserChange) (ChangedUser, error)
	// DeleteUser removes an account and ends its sessions.
	DeleteUser(ctx context.Context, id string) (ChangedUser, error)
}

// Organization is a group of accounts: a tenant.
type Organization struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Domain is a host name that people know it by, or "". It admits nobody.
	Domain string `json:"domain"`
	// UsersCount and WorkspacesCount are counted at the time of asking.
	UsersCount      int       `json:"users_count"`
	WorkspacesCount int       `json:"workspaces_count"`
	CreatedAt       time.Time `json:"created_at"`
	// Settings is a JSON object of at most MaxSettings bytes.
	Settings json.RawMessage `json:"settings"`
}

// MaxSettings bounds an organization's settings, in bytes of compact JSON.
const MaxSettings = 16 << 10

// OrganizationQuery selects organizations. Zero fields do not restrict.
type OrganizationQuery struct {
	// Member is the id of an account: only its own organization. One that has
	// no account here has none.
	Member string
	// After continues a listing: OrganizationPage.Next of the page before.
	After string
	// Limit is the most to return: 1 to 1000; 0 means 100.
	Limit int
}

// OrganizationPage is a part of a listing, by name. Next is "" on the last one.
type OrganizationPage struct {
	Organizations []Organization `json:"organizations"`
	Next          string         `json:"next,omitempty"`
}

// OrganizationChange says what is to be changed; nil leaves it.
type OrganizationChange struct {
	Name, Domain *string
	Settings     *json.RawMessage
}

// NewInvitation invites the owner of an email into an organization.
type NewInvitation struct {
	// Organization is an id.
	Organization, Email string
	// Roles are those of an account that is made by it; nil means "user". An
	// account that there is already keeps its own.
	Roles []string
}

// Invitation is one that waits to be accepted.
type Invitation struct {
	// ID names it and opens nothing.
	ID           string    `json:"id"`
	Organization string    `json:"organization"`
	Email        string    `json:"email"`
	Roles        []string  `json:"roles"`
	CreatedAt    time.Time `json:"created_at"`
	ExpiresAt    time.Time `json:"expires_at"`
	// Link is there only where no mail can be sent, and only when it is made:
	// whoever invites has to hand it over.
	Link string `json:"link,omitempty"`
}

// Organizations administers them. Safe for concurrent use. Each change keeps
// its audit event, as those of Members do, and an organization's name is
// changed in live sessions too. Errors: ErrNoOrganization, ErrBusy,
// ErrOrganizationExists, ErrBadUser (its text may be shown), ErrUnavailable.
type Organizations interface {
	PageOrganizations(ctx context.Context, q OrganizationQuery) (OrganizationPage, error)
	Organization(ctx context.Context, id string) (Organization, error)
	CreateOrganization(ctx context.Context, name, domain string) (Organization, error)
	ChangeOrganization(ctx context.Context, id string, c OrganizationChange) (Organization, error)
	// Invite mails a link that is good once and for a week. A new invitation of
	// the same email into the same organization takes the place of the old one.
	Invite(ctx context.Context, n NewInvitation) (Invitation, error)
	// Invitations lists those of an organization that wait, at most 1000.
	Invitations(ctx context.Context, organization string) ([]Invitation, error)
	// RevokeInvitation ends one by its id: ErrLink if there is none.
	RevokeInvitation(ctx context.Context, id string) error
	// AcceptInvitation moves an account into the organization that its own email
	// was invited to: ErrLink for any other token.
	AcceptInvitation(ctx context.Context, userID, token string) (ChangedUser, error)
}

// Workspaces counts the workspaces of organizations, by their ids; those that
// it does not name have none. Safe for concurrent use.
type Workspaces interface {
	CountWorkspaces(ctx context.Context, organizations []string) (map[string]int, error)
}

// Mail is a message of plain text.
type Mail struct {
	// To is one address, without a name.
	To, Subject, Text string
}

// Mailer sends mail. Safe for concurrent use.
type Mailer interface {
	// SendMail returns once the mail is out of this process' hands, or an error,
	// which holds neither the text nor a secret; it is bounded in time by ctx.
	// ErrMailRefused if this mail will not be taken however often it is sent.
	SendMail(ctx context.Context, m Mail) error
}

// Errors of accounts, matched with errors.Is.
var (
	// ErrRegistrationClosed: only who is invited may register.
	ErrRegistrationClosed = errors.New("registration is closed")
	// ErrLink: a one-time link that was used, is over, or never was. One error
	// for every cause.
	ErrLink = errors.New("the link is not valid any more")
	// ErrNoMail: this gate sends no mail, and so nothing that takes one works.
	ErrNoMail = errors.New("no mail can be sent")
	// ErrMailRefused: the mail's recipient or text is one that the server never takes.
	ErrMailRefused = errors.New("the mail is refused")
	// ErrNoOrganization and ErrOrganizationExists: there is none, or its name is taken.
	ErrNoOrganization     = errors.New("no such organization")
	ErrOrganizationExists = errors.New("an organization has this name already")
	// ErrLastAdmin: the change would leave no account with the role admin that
	// can sign in.
	ErrLastAdmin = errors.New("this is the last account with the role admin")
)
