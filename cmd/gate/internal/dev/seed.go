package dev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// SeedUser is one user of the demo.
type SeedUser struct {
	Email, Name, Organization string
	Roles                     []string
	// Password is in the clear: Users.Add keeps only its hash.
	Password string
	// WorkspaceType is the kind of desktop whose demo session this person gets
	// at each sign-in; "" means no demo session.
	WorkspaceType string
	// DemoSeconds is how long that demo session holds after a sign-in; 0 means
	// as long as the sign-in itself.
	DemoSeconds int
}

// Users is where accounts are kept.
type Users interface {
	// Exists reports whether there is an account with this email.
	Exists(ctx context.Context, email string) (bool, error)
	// Add creates the account and keeps its password hashed.
	Add(ctx context.Context, u SeedUser) error
}

// seedUsers are one person per role, and a second neosc who has no demo session
// and is therefore refused at the workspace.
func seedUsers(domain string) []SeedUser {
	const org = "Kappa4"
	return []SeedUser{
		{Email: "admin@" + domain, Name: "Ada Admin", Organization: org, Roles: []string{"admin"}, WorkspaceType: "linux"},
		{Email: "neosc@" + domain, Name: "Nora Neosc", Organization: org, Roles: []string{"neosc"}, WorkspaceType: "linux"},
		{Email: "neosc2@" + domain, Name: "Nils Neosc", Organization: org, Roles: []string{"neosc"}},
		{Email: "user@" + domain, Name: "Uma User", Organization: org, Roles: []string{"user"}},
		{Email: "demo@" + domain, Name: "Dana Demo", Organization: org, Roles: []string{"demo-user"}, WorkspaceType: "linux", DemoSeconds: 1800},
	}
}

// Seed adds the demo's users that are not there yet, each with a random
// password, and prints those passwords: this once, since only hashes are kept.
// Users of an earlier run stay as they are. What was added is printed even if
// a later one fails.
// config is the configuration by which commands reach this gate.
func Seed(ctx context.Context, users Users, domain, config string, out io.Writer) error {
	var added []SeedUser
	var kept []string
	var failed error
	for _, u := range seedUsers(domain) {
		there, err := users.Exists(ctx, u.Email)
		if err == nil && there {
			kept = append(kept, u.Email)
			continue
		}
		if err == nil {
			u.Password = newPassword()
			err = users.Add(ctx, u)
		}
		if err != nil {
			failed = fmt.Errorf("adding user %s: %w", u.Email, err)
			break
		}
		added = append(added, u)
	}
	return errors.Join(failed, printSeeded(out, config, added, kept))
}

func printSeeded(out io.Writer, config string, added []SeedUser, kept []string) error {
	var b strings.Builder
	if len(added) > 0 {
		b.WriteString("Users of this demo. The passwords are shown this once and kept only as hashes:\n\n")
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(t, "  EMAIL\tPASSWORD\tROLE\tDEMO SESSION")
		for _, u := range added {
			_, _ = fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", u.Email, u.Password, strings.Join(u.Roles, ","), demoWords(u))
		}
		_ = t.Flush()
		b.WriteByte('\n')
	}
	if len(kept) > 0 {
		fmt.Fprintf(&b, "Kept from an earlier run, passwords unchanged: %s.\n"+
			"For a new password: gate user passwd EMAIL -config %s\n\n", strings.Join(kept, ", "), config)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func demoWords(u SeedUser) string {
	switch {
	case u.WorkspaceType == "":
		return "none: refused at the workspace"
	case u.DemoSeconds > 0:
		return fmt.Sprintf("%s, %d minutes from sign-in", u.WorkspaceType, u.DemoSeconds/60)
	default:
		return u.WorkspaceType
	}
}

const (
	// passwordAlphabet leaves out what people mistake for each other (0 O o,
	// 1 l I, 5 S, 2 Z, 8 B).
	passwordAlphabet = "abcdefghijkmnpqrstuvwxyzACDEFGHJKLMNPQRTUVWXY34679"
	// passwordLength gives 20·log2(50) = 112 bits.
	passwordLength = 20
)

// newPassword draws each character evenly: bytes beyond the last whole multiple
// of the alphabet are thrown away, or the first characters would come up more
// often.
func newPassword() string {
	const fair = 256 - 256%len(passwordAlphabet)
	out := make([]byte, 0, passwordLength)
	var random [2 * passwordLength]byte
	for len(out) < passwordLength {
		_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the program instead
		for _, x := range random {
			if int(x) < fair && len(out) < passwordLength {
				out = append(out, passwordAlphabet[int(x)%len(passwordAlphabet)])
			}
		}
	}
	return string(out)
}
