package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/admin"
)

func auditCommand() command {
	return verbs("audit", "Show the audit trail, and prove that nobody changed it", []command{
		{"list", "list entries of a running gate's trail", auditList},
		{"verify", "read the whole trail and find what was changed, removed or cut off", auditVerify},
		{"key", "print the public keys that check the trail's checkpoints", auditKey},
	})
}

func auditList(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("audit list", "gate audit list [flags]", "Lists entries of the audit trail, newest first. Times are UTC.", s)
	q := admin.AuditQuery{}
	action, since := "", ""
	f.StringVar(&q.User, "user", "", "only what this user (`id` or email) did, or what was done to them")
	f.StringVar(&action, "action", "", "only this `action`, for example login, sso_login, logout, session_revoked or role_assigned")
	f.StringVar(&since, "since", "", "only from this `instant` on (2026-03-05T10:15:30Z), or from so long ago (24h)")
	f.Uint64Var(&q.Before, "before", 0, "only entries with a smaller `number`, for the next page")
	f.IntVar(&q.Limit, "limit", 100, "at most so `many`, 1 to 1000")
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	q.Action = session.Action(action)
	var err error
	if q.Since, err = sinceWhen(since, time.Now()); err != nil {
		fmt.Fprintf(s.err, "gate audit list: -since %v\n", err)
		return exitUsage
	}
	var found []session.AuditEntry
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		found, err = c.Audit(ctx, q)
		return found, err
	}, func(w io.Writer) { printEntries(w, found) })
}

// sinceWhen reads an instant, or how long ago it was; "" is the zero time.
func sinceWhen(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither an instant (2026-03-05T10:15:30Z) nor a time above zero (24h)", text)
	}
	return t, nil
}

func printEntries(w io.Writer, entries []session.AuditEntry) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tTIME\tACTION\tOUTCOME\tUSER\tBY\tFROM\tSESSION\tDETAILS")
	for _, e := range entries {
		var details []string
		for name, value := range e.Details {
			details = append(details, name+"="+value)
		}
		slices.Sort(details)
		by := ""
		if e.Actor != e.User {
			by = nameOf(e.Actor)
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%.16s\t%s\n", e.Number, e.Time.UTC().Format("2006-01-02 15:04:05"), visible(string(e.Action)), visible(string(e.Outcome)),
			orDash(visible(nameOf(e.User))), orDash(visible(by)), orDash(visible(e.ClientIP)), orDash(visible(e.Session)), visible(strings.Join(details, " ")))
	}
	_ = t.Flush() // an output that is gone has nobody to be told
}

// nameOf is what people call somebody by.
func nameOf(p session.Person) string {
	if p.Email != "" {
		return p.Email
	}
	return p.ID
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
