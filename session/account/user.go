package account

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/neosc/gate/session"
)

// User is a local account.
type User struct {
	ID    string
	Email string // as NormalizeEmail returns it
	Name  string
	// Organization is the name of that with OrganizationID.
	Organization   string
	OrganizationID string
	Roles          []string
	// PasswordHash is in PHC string format. It never leaves this package's
	// callers: session.User, which is shown, has none.
	PasswordHash string
	Disabled     bool
	// EmailVerified is needed for Roles to count.
	EmailVerified bool
	// MFA is whether a second factor is asked of it.
	MFA bool
	// Demo, if there, gives the account a demo session at each sign-in.
	Demo      *DemoGrant
	CreatedAt time.Time
	UpdatedAt time.Time
}

// DemoGrant is what a demo account gets at each sign-in.
type DemoGrant struct {
	// WorkspaceType ("linux") tells the workspace proxy what to start.
	WorkspaceType string
	// Seconds is how long the demo lasts; 0 means it has no end of its own.
	Seconds int
}

func (g DemoGrant) validate() error {
	if g.WorkspaceType == "" {
		return badUser("demo workspace type is empty")
	}
	if g.Seconds < 0 || g.Seconds > 365*24*3600 {
		return badUser("demo of %d s: want 0 (no end) to a year", g.Seconds)
	}
	return checkText("demo workspace type", g.WorkspaceType)
}

// public returns what operators are shown.
func (u *User) public() session.User {
	return session.User{
		ID: u.ID, Email: u.Email, Name: u.Name, Organization: u.Organization, Roles: u.Roles,
		Demo: u.Demo != nil, Disabled: u.Disabled, CreatedAt: u.CreatedAt,
		OrganizationID: u.OrganizationID, EmailVerified: u.EmailVerified, MFA: u.MFA,
	}
}

// clean checks u and normalises its email and roles.
func (u *User) clean() error {
	var err error
	if u.Email, err = NormalizeEmail(u.Email); err != nil {
		return err
	}
	if err := checkText("name", u.Name); err != nil {
		return err
	}
	if err := checkText("organization", u.Organization); err != nil {
		return err
	}
	if u.Roles, err = cleanRoles(u.Roles); err != nil {
		return err
	}
	if u.Demo != nil {
		return u.Demo.validate()
	}
	return nil
}

func cleanRoles(roles []string) ([]string, error) {
	roles, err := session.CheckNames("role", roles)
	if err != nil {
		return nil, badUser("%v", err)
	}
	if roles == nil {
		roles = []string{}
	}
	return roles, nil
}

func newUserID() string { return "usr_" + newID() }

// newID returns 128 random bits in hex.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
