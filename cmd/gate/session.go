package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/neosc/gate/session/web/admin"
)

func sessionCommand() command {
	return verbs("session", "Show, create and end the sessions of a running gate", []command{
		{"create", "create a session and print its credential once", sessionCreate},
		{"list", "list live sessions", sessionList},
		{"revoke", "end sessions", sessionRevoke},
	})
}

func sessionCreate(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("session create", "gate session create -email EMAIL [flags]",
		"Creates a session for whomever you say and prints its cookie, the only time it is shown.\nNo account is needed.", s)
	n := admin.NewSession{Claims: map[string]any{}}
	var roles list
	var lifetime time.Duration
	f.StringVar(&n.Email, "email", "", "`email`; needed")
	f.StringVar(&n.UserID, "user", "", "user `id` (default: operator: and the email)")
	f.StringVar(&n.Name, "name", "", "full `name`")
	f.StringVar(&n.Organization, "organization", "", "`organization`")
	f.Var(&roles, "role", "`role`; may be given more than once or with commas")
	f.Var(claims(n.Claims), "claim", "`claim` NAME=TEXT, or NAME:=JSON; may be given more than once")
	f.DurationVar(&lifetime, "lifetime", 0, "how long it lives, at most and by default as configured, for example 8h")
	service := f.Bool("service", false, "create a service session, whose credential is a bearer token")
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	if n.Email == "" {
		fmt.Fprintln(s.err, "gate session create: -email is missing; see gate session create -h")
		return exitUsage
	}
	if lifetime < 0 {
		fmt.Fprintf(s.err, "gate session create: -lifetime %s is negative\n", lifetime)
		return exitUsage
	}
	n.Roles = roles
	if lifetime > 0 {
		n.Lifetime = lifetime.String()
	}
	if *service {
		n.Kind = "service"
	}
	var out admin.CreatedSession
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		out, err = c.CreateSession(ctx, n)
		return out, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "key:     %s\n", out.Key)
		if out.Token != "" {
			fmt.Fprintf(w, "token:   %s\n", out.Token)
		} else {
			fmt.Fprintf(w, "cookie:  %s\n", out.Cookie)
		}
		fmt.Fprintf(w, "expires: %s\n", out.ExpiresAt.UTC().Format(time.RFC3339))
	})
}

func sessionList(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("session list", "gate session list [flags]", "Lists live sessions, newest first. Times are UTC.", s)
	user := f.String("user", "", "only those of this user `id`")
	email := f.String("email", "", "only those of this `email`")
	limit := f.Int("limit", 100, "at most so `many`, 1 to 1000")
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	var found []admin.SessionInfo
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		found, err = c.Sessions(ctx, *user, *email, *limit)
		return found, err
	}, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "KEY\tEMAIL\tROLES\tKIND\tPROVIDER\tCREATED\tEXPIRES")
		for _, x := range found {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.Key, visible(x.Email), visibleList(x.Roles), x.Kind, visible(x.Provider),
				x.CreatedAt.UTC().Format("2006-01-02 15:04:05"), x.ExpiresAt.UTC().Format("2006-01-02 15:04:05"))
		}
		_ = t.Flush() // an output that is gone has nobody to be told
		mayBeMore(w, len(found), *limit, "-limit shows them, -user and -email those of somebody")
	})
}

func sessionRevoke(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("session revoke", "gate session revoke KEY | -user ID | -email EMAIL | -all",
		"Ends one session or access token by its key, all of somebody, or all of everybody.\nTokens of providers end on every replica too, until new ones are issued.", s)
	user := f.String("user", "", "end all sessions of this user `id`")
	email := f.String("email", "", "end all sessions of this `email`")
	all := f.Bool("all", false, "end everybody's sessions, and every access token that was issued before now")
	rest, code, done := f.operands(args, 0, 1)
	if done {
		return code
	}
	said := len(rest)
	if *all {
		said++
	}
	for _, v := range []string{*user, *email} {
		if v != "" {
			said++
		}
	}
	if said != 1 {
		fmt.Fprintln(s.err, "gate session revoke: give one of KEY, -user, -email and -all; `gate session list` shows them")
		return exitUsage
	}
	n := 0
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		switch {
		case len(rest) == 1:
			n, err = c.RevokeSession(ctx, rest[0])
		case *all:
			n, err = c.RevokeAll(ctx)
		default:
			n, err = c.RevokeSessions(ctx, *user, *email)
		}
		return map[string]int{"ended": n}, err
	}, func(w io.Writer) {
		if len(rest) == 1 { // also when it was over before: nobody counts that
			fmt.Fprintf(w, "session %.16s is over\n", rest[0])
			return
		}
		fmt.Fprintf(w, "ended %s\n", sessionsText(n))
	})
}

// claims is the flag -claim. A name may hold colons (neosc:demo_session_id),
// so only one right before the equals sign means JSON.
type claims map[string]any

func (c claims) String() string { return "" }

func (c claims) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok || strings.TrimSuffix(name, ":") == "" {
		return fmt.Errorf("want NAME=TEXT or NAME:=JSON")
	}
	if name, isJSON := strings.CutSuffix(name, ":"); isJSON {
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c[name] = v
		return nil
	}
	c[name] = value
	return nil
}
