package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/admin"
)

func demoCommand() command {
	return verbs("demo", "Show, begin and end the demo sessions of a running gate", []command{
		{"list", "list demo sessions", demoListCommand},
		{"show", "show one, with what is done for it", demoShow},
		{"request", "ask for one for somebody", demoRequest},
		{"approve", "agree to one that waits", demoMove("approve", "Agrees to a demo session that waits for it, which begins at once.")},
		{"refuse", "refuse one that waits", demoMove("refuse", "Refuses a demo session that waits for an administrator.")},
		{"end", "end one now", demoMove("end", "Ends a demo session now: its role and claims are gone from all sessions on return, and\nwhat was made for it is being taken away.")},
		{"extend", "let one last longer", demoExtend},
	})
}

func demoListCommand(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("demo list", "gate demo list [flags]", "Lists demo sessions, the newest first. Times are UTC.", s)
	user := f.String("user", "", "only those of this user `id`")
	status := f.String("status", "", "only those in this `state`: pending, starting, active, expired, revoked, failed or refused")
	live := f.Bool("live", false, "only those that have not ended")
	limit := f.Int("limit", 100, "at most so `many`, 1 to 1000")
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	var found []admin.DemoSession
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		found, err = c.Demos(ctx, *user, *status, *live, *limit)
		return found, err
	}, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "ID\tSTATE\tKIND\tEMAIL\tREQUESTED\tEXPIRES\tENDED\tCLEANED")
		for _, g := range found {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", visible(g.ID), g.Status, visible(g.WorkspaceType), visible(g.Email),
				demoTime(g.RequestedAt), demoTime(g.ExpiresAt), demoTime(g.EndedAt), demoTime(g.CleanedAt))
		}
		_ = t.Flush() // an output that is gone has nobody to be told
		mayBeMore(w, len(found), *limit, "-limit shows them; -user, -status and -live choose")
	})
}

// demoTime is an instant, or "-" for none.
func demoTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

func demoShow(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("demo show", "gate demo show ID [flags]", "Shows a demo session and the steps that are done for it. Times are UTC.", s)
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	var g admin.DemoSession
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		g, err = c.Demo(ctx, rest[0])
		return g, err
	}, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, line := range [][2]string{
			{"id", g.ID}, {"state", string(g.Status)}, {"kind", g.WorkspaceType}, {"email", g.Email}, {"organization", g.Organization}, {"from", g.ClientAddr},
			{"role", g.Role}, {"lasts", (time.Duration(g.MaxDuration) * time.Second).String()}, {"purpose", g.Purpose}, {"decided by", g.DecidedBy}, {"reason", g.Reason},
			{"requested", demoTime(g.RequestedAt)}, {"started", demoTime(g.StartedAt)}, {"expires", demoTime(g.ExpiresAt)}, {"ended", demoTime(g.EndedAt)}, {"cleaned", demoTime(g.CleanedAt)},
		} {
			if line[1] != "" && line[1] != "-" {
				fmt.Fprintf(t, "%s\t%s\n", line[0], visible(line[1]))
			}
		}
		for _, x := range g.Steps {
			fmt.Fprintf(t, "%s %s\t%s\n", x.Phase, visible(x.Name), stepWords(x))
		}
		_ = t.Flush() // an output that is gone has nobody to be told
	})
}

func stepWords(x session.GrantStep) string {
	out := []string{x.State}
	if x.Attempts > 1 {
		out = append(out, fmt.Sprintf("%d tries", x.Attempts))
	}
	if !x.At.IsZero() {
		out = append(out, demoTime(x.At))
	}
	if x.Error != "" {
		out = append(out, visible(x.Error))
	}
	return strings.Join(out, ", ")
}

func demoRequest(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("demo request", "gate demo request EMAIL -kind KIND [flags]",
		"Asks for a demo session for somebody who has an account or was signed in by a provider.\nWho has a live one of the kind keeps that.", s)
	var n admin.NewDemo
	f.StringVar(&n.WorkspaceType, "kind", "", "`kind` of workspace; needed")
	f.StringVar(&n.Purpose, "purpose", "", "what it is for, a `text`")
	f.StringVar(&n.Duration, "duration", "", "how `long`, for example 20m (default: the kind's)")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	if n.WorkspaceType == "" {
		fmt.Fprintln(s.err, "gate demo request: -kind is missing; see gate demo request -h")
		return exitUsage
	}
	n.Email = rest[0]
	return f.moved(s, func(c *admin.Client) (admin.DemoSession, error) { return c.AddDemo(ctx, n) })
}

// moved runs what moves a demo session, and says where it is then.
func (f *operatorFlags) moved(s streams, move func(*admin.Client) (admin.DemoSession, error)) int {
	var g admin.DemoSession
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		g, err = move(c)
		return g, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "%s of %s is %s", visible(g.ID), visible(g.Email), g.Status)
		if g.Status == session.GrantActive {
			fmt.Fprintf(w, " until %s", demoTime(g.ExpiresAt))
		}
		fmt.Fprintln(w)
	})
}

func demoMove(move, purpose string) func(context.Context, []string, streams) int {
	return func(ctx context.Context, args []string, s streams) int {
		f := operatorFlagSet("demo "+move, "gate demo "+move+" ID [flags]", purpose, s)
		reason := f.String("reason", "", "why, a `text`")
		rest, code, done := f.operands(args, 1, 1)
		if done {
			return code
		}
		return f.moved(s, func(c *admin.Client) (admin.DemoSession, error) {
			return c.ChangeDemo(ctx, rest[0], admin.DemoChange{Move: move, Reason: *reason})
		})
	}
}

func demoExtend(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("demo extend", "gate demo extend ID DURATION [flags]", "Lets an active demo session last longer, by for example 10m, within demo.extension.", s)
	reason := f.String("reason", "", "why, a `text`")
	rest, code, done := f.operands(args, 2, 2)
	if done {
		return code
	}
	return f.moved(s, func(c *admin.Client) (admin.DemoSession, error) {
		return c.ChangeDemo(ctx, rest[0], admin.DemoChange{Move: "extend", By: rest[1], Reason: *reason})
	})
}
