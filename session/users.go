package session

import (
	"context"
	"errors"
	"time"
)

// User is a local account, or somebody whom a provider signed in, as operators
// see it. It holds no password.
type User struct {
	ID           string         `json:"id"`
	Email        string         `json:"email"`
	Name         string         `json:"name,omitempty"`
	Organization string         `json:"organization,omitempty"`
	Roles        []string       `json:"roles"`
	Claims       map[string]any `json:"claims,omitempty"`
	// Demo accounts get a demo session's claims at each sign-in.
	Demo      bool      `json:"demo,omitempty"`
	Disabled  bool      `json:"disabled,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	// Provider, Issuer and Subject say whose account it is and what it is called
	// there; empty for local accounts. LastSeen is when the provider last said so.
	Provider string    `json:"provider,omitempty"`
	Issuer   string    `json:"issuer,omitempty"`
	Subject  string    `json:"subject,omitempty"`
	LastSeen time.Time `json:"last_seen,omitzero"`
	// OrganizationID is that of a local account, EmailVerified whether its roles
	// count, MFA whether a second factor is asked of it.
	OrganizationID string `json:"organization_id,omitempty"`
	EmailVerified  bool   `json:"email_verified,omitempty"`
	MFA            bool   `json:"mfa_enabled,omitempty"`
}

// NewUser is an account to be. Email and Password are needed.
type NewUser struct {
	Email, Name, Organization, Password string
	Roles                               []string
	Demo                                bool
	// PasswordSHA256, instead of Password, is the unsalted SHA-256 of a password
	// in hex, as older programs kept it. The first sign-in replaces it.
	PasswordSHA256 string
}

// Users is what operators do with local accounts besides what Members does: an
// Origin whose actor is Operator may take the last administrator's role there. An
// email names an account whatever its case. Changes keep their audit events, and
// one whose event cannot be kept is not made. Safe for concurrent use. Methods return ErrUnavailable
// when accounts cannot be asked, and an error that wraps ErrBadUser, and whose
// text may be shown, for a value that no account can have (an email without @,
// a short password, a role with a comma).
type Users interface {
	// AddUser stores an account: ErrUserExists if its email is taken.
	AddUser(ctx context.Context, u NewUser) (User, error)
	// UserByEmail returns one account: ErrNoUser if there is none.
	UserByEmail(ctx context.Context, email string) (User, error)
	// SetPassword changes the password of one account: ErrNoUser if there is none.
	// It does not end its sessions; callers do.
	SetPassword(ctx context.Context, email, password string) (User, error)
}

// Errors of Users, matched with errors.Is.
var (
	ErrNoUser     = errors.New("no such user")
	ErrUserExists = errors.New("user exists already")
	ErrBadUser    = errors.New("not a valid user")
)
