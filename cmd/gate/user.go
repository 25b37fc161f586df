package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/admin"
)

func userCommand() command {
	return verbs("user", "Show and change the local accounts of a running gate", []command{
		{"add", "add an account", userAdd},
		{"passwd", "change a password and end the account's sessions", userPasswd},
		{"role", "set the roles of an account and of its live sessions", userRole},
		{"list", "list accounts", userList},
		{"remove", "remove an account and end its sessions", userRemove},
		{"disable", "keep an account from signing in and end its sessions", userDisable},
		{"enable", "let a disabled account sign in again", userEnable},
		{"move", "move an account to another organization", userMove},
		{"invite", "invite somebody into an organization by mail", userInvite},
		{"import", "add accounts with the SHA-256 password hashes of an older program", userImport},
		{"mfa-reset", "take an account's second factors away and end its sessions", userMFAReset},
	})
}

func userAdd(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("user add", "gate user add EMAIL [flags]",
		"Adds an account. Without -stdin its password is generated and printed once.", s)
	var n admin.NewUser
	var roles list
	f.StringVar(&n.Name, "name", "", "full `name`")
	f.StringVar(&n.Organization, "organization", "", "`organization`")
	f.Var(&roles, "role", "`role`; may be given more than once or with commas")
	f.BoolVar(&n.Demo, "demo", false, "give a demo session's claims at each sign-in")
	stdin := f.Bool("stdin", false, "read the password from standard input")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	n.Email, n.Roles = rest[0], roles
	var u admin.ChangedUser
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		if *stdin {
			if n.Password, err = readPassword(s); err != nil {
				return nil, err
			}
		}
		u, err = c.AddUser(ctx, n)
		return u, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "added %s with roles %s\n", visible(u.User.Email), visibleList(u.User.Roles))
		showPassword(w, u)
	})
}

func userPasswd(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("user passwd", "gate user passwd EMAIL [flags]",
		"Changes a password and ends the account's sessions. Without -stdin the password is\ngenerated and printed once. It is never an argument: other users can see those.", s)
	stdin := f.Bool("stdin", false, "read the password from standard input")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	var u admin.ChangedUser
	return f.do(s, func(c *admin.Client) (any, error) {
		password := ""
		var err error
		if *stdin {
			if password, err = readPassword(s); err != nil {
				return nil, err
			}
		}
		u, err = c.SetPassword(ctx, rest[0], password)
		return u, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "changed the password of %s and ended %s\n", visible(u.User.Email), sessionsText(u.SessionsEnded))
		showPassword(w, u)
	})
}

func userRole(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("user role", "gate user role EMAIL ROLE... [flags]",
		"Gives an account exactly these roles, and its live sessions at once.", s)
	none := f.Bool("none", false, "take all roles away")
	rest, code, done := f.operands(args, 1, 1000)
	if done {
		return code
	}
	roles := list{}
	for _, r := range rest[1:] {
		_ = roles.Set(r) // never fails
	}
	if (len(roles) == 0) != *none {
		fmt.Fprintln(s.err, "gate user role: name the roles, or take all away with -none; not both")
		return exitUsage
	}
	var u admin.ChangedUser
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		u, err = c.SetRoles(ctx, rest[0], roles)
		return u, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "%s has roles %s now, in %s too\n", visible(u.User.Email), visibleList(u.User.Roles), sessionsText(u.SessionsChanged))
	})
}

func userList(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("user list", "gate user list [flags]", "Lists the local accounts, and whom providers have signed in: by issuer and subject, so\nthat the same email may be there more than once. Times are UTC.", s)
	search := f.String("search", "", "only those with this `text` in their email or name, in any case")
	limit := f.Int("limit", 1000, "at most so `many`, 1 to 1000")
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	var users []session.User
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		users, err = c.Users(ctx, *search, *limit)
		return users, err
	}, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "EMAIL\tROLES\tORGANIZATION\tID\tPROVIDER\tCREATED\tLAST SEEN\tNOTES")
		for _, u := range users {
			notes := list{}
			if u.Demo {
				notes = append(notes, "demo")
			}
			if u.Disabled {
				notes = append(notes, "disabled")
			}
			provider, lastSeen := "local", "-"
			if u.Provider != "" {
				provider = visible(u.Provider)
			}
			if !u.LastSeen.IsZero() {
				lastSeen = u.LastSeen.UTC().Format("2006-01-02 15:04")
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", orDash(visible(u.Email)), visibleList(u.Roles), orDash(visible(u.Organization)), visible(u.ID),
				provider, u.CreatedAt.UTC().Format("2006-01-02"), lastSeen, visibleList(notes))
		}
		_ = t.Flush() // an output that is gone has nobody to be told
		mayBeMore(w, len(users), *limit, "-search finds somebody, -limit shows up to 1000")
	})
}

func userRemove(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("user remove", "gate user remove EMAIL [flags]", "Removes an account and ends its sessions.", s)
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	var u admin.ChangedUser
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		u, err = c.RemoveUser(ctx, rest[0])
		return u, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "removed %s and ended %s\n", visible(u.User.Email), sessionsText(u.SessionsEnded))
	})
}

// readPassword reads one line, unseen where it is typed at a terminal.
func readPassword(s streams) (string, error) {
	if tty, ok := s.in.(*os.File); ok && term.IsTerminal(int(tty.Fd())) {
		fmt.Fprint(s.err, "Password: ")
		b, err := term.ReadPassword(int(tty.Fd()))
		fmt.Fprintln(s.err)
		if err != nil {
			return "", fmt.Errorf("the password cannot be read: %w", err)
		}
		return nonEmpty(string(b))
	}
	line, err := bufio.NewReader(io.LimitReader(s.in, 8<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("the password cannot be read: %w", err)
	}
	return nonEmpty(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"))
}

func nonEmpty(password string) (string, error) {
	if password == "" {
		return "", errors.New("no password came on standard input; leave -stdin out to have one generated")
	}
	return password, nil
}

func showPassword(w io.Writer, u admin.ChangedUser) {
	if u.Password != "" {
		fmt.Fprintf(w, "password: %s (shown this once)\n", u.Password)
	}
}

func sessionsText(n int) string {
	if n == 1 {
		return "1 session"
	}
	return fmt.Sprintf("%d sessions", n)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
