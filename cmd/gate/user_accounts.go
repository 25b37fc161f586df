package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/admin"
)

func userDisable(ctx context.Context, args []string, s streams) int {
	return userState(ctx, args, s, true, "disable", "Keeps an account from signing in and ends its sessions. Nothing of it is removed.")
}

func userEnable(ctx context.Context, args []string, s streams) int {
	return userState(ctx, args, s, false, "enable", "Lets a disabled account sign in again.")
}

func userState(ctx context.Context, args []string, s streams, disabled bool, verb, purpose string) int {
	f := operatorFlagSet("user "+verb, "gate user "+verb+" EMAIL [flags]", purpose, s)
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	var u admin.ChangedUser
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		u, err = c.SetDisabled(ctx, rest[0], disabled)
		return u, err
	}, func(w io.Writer) {
		if disabled {
			fmt.Fprintf(w, "disabled %s and ended %s\n", visible(u.User.Email), sessionsText(u.SessionsEnded))
			return
		}
		fmt.Fprintf(w, "%s may sign in again\n", visible(u.User.Email))
	})
}

func userMove(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("user move", "gate user move EMAIL ORGANIZATION [flags]",
		"Moves an account to an organization, named by its name or id, and its live sessions at once.", s)
	rest, code, done := f.operands(args, 2, 2)
	if done {
		return code
	}
	var u admin.ChangedUser
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		u, err = c.MoveUser(ctx, rest[0], rest[1])
		return u, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "%s is in %s now, in %s too\n", visible(u.User.Email), visible(u.User.Organization), sessionsText(u.SessionsChanged))
	})
}

func userInvite(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("user invite", "gate user invite EMAIL [flags]",
		"Mails a link by which somebody may register, or join with the account of that email.\nIt is good once and for a week. Where the gate sends no mail, the link is printed.", s)
	var roles list
	organization := f.String("organization", session.DefaultOrganization, "name or id of the `organization`")
	f.Var(&roles, "role", "`role` of a new account (default user); may be given more than once or with commas")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	var i session.Invitation
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		i, err = c.Invite(ctx, *organization, rest[0], roles)
		return i, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "invited %s until %s UTC\n", visible(i.Email), i.ExpiresAt.UTC().Format("2006-01-02 15:04"))
		if i.Link != "" {
			fmt.Fprintf(w, "hand this link over, it is shown this once: %s\n", i.Link)
		}
	})
}

// oldUser is a line of the file to import: what the older program kept of an
// account.
type oldUser struct {
	Email        string   `json:"email"`
	Name         string   `json:"name"`
	Organization string   `json:"organization"`
	Role         string   `json:"role"`
	Roles        []string `json:"roles"`
	PasswordHash string   `json:"password_hash"`
	// What it kept besides is made anew here.
	MongoID    any `json:"_id"`
	ID         any `json:"id"`
	MFAEnabled any `json:"mfa_enabled"`
	CreatedAt  any `json:"created_at"`
}

// imported says what became of a file.
type imported struct {
	Imported int `json:"imported"`
	Kept     int `json:"kept"`
}

func userImport(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("user import", "gate user import FILE [flags]",
		"Adds the accounts of FILE (- is standard input): a JSON object a line, with email,\npassword_hash (unsalted SHA-256 in hex), name, organization and role. Those whose email\nis there already stay as they are, so that it may be run again. The old hashes are\nnot kept as they are, and each goes away at the first sign-in.", s)
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	var out imported
	return f.do(s, func(c *admin.Client) (any, error) {
		in := s.in
		if rest[0] != "-" {
			file, err := os.Open(rest[0])
			if err != nil {
				return nil, err
			}
			defer func() { _ = file.Close() }()
			in = file
		}
		err := importUsers(ctx, c, in, rest[0], &out)
		return out, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "imported %d accounts; %d were there already\n", out.Imported, out.Kept)
	})
}

func importUsers(ctx context.Context, c *admin.Client, in io.Reader, name string, out *imported) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<10)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		u, err := parseOldUser(line)
		if err == nil {
			_, err = c.AddUser(ctx, u)
		}
		if p, ok := errors.AsType[*admin.Problem](err); ok && p.Status == http.StatusConflict {
			out.Kept++
			continue
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w (%d accounts before it are imported; run it again once it is mended)", name, n, err, out.Imported)
		}
		out.Imported++
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	return nil
}

func parseOldUser(line string) (admin.NewUser, error) {
	var o oldUser
	d := json.NewDecoder(strings.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return admin.NewUser{}, fmt.Errorf("not an account: %w", err)
	}
	switch {
	case o.Email == "":
		return admin.NewUser{}, errors.New("email is missing")
	case o.PasswordHash == "":
		return admin.NewUser{}, errors.New("password_hash is missing")
	case o.Role != "" && o.Roles != nil:
		return admin.NewUser{}, errors.New("there are role and roles; keep one")
	case o.Role != "":
		o.Roles = []string{o.Role}
	}
	return admin.NewUser{Email: o.Email, Name: o.Name, Organization: o.Organization, Roles: o.Roles, PasswordSHA256: o.PasswordHash}, nil
}
