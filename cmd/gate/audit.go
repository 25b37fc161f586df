package main

import (
	"context"
	"errors"
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
		{"export", "write entries of a running gate's trail to a file, as many as there are", auditExport},
		{"verify", "read the whole trail and find what was changed, removed or cut off", auditVerify},
		{"key", "print the public keys that check the trail's checkpoints", auditKey},
	})
}

// auditQuestion are the flags that select entries.
type auditQuestion struct {
	q                    admin.AuditQuery
	action, since, until string
}

func (a *auditQuestion) flags(f *operatorFlags) {
	f.StringVar(&a.q.User, "user", "", "only what this user (`id` or email) did, or what was done to them")
	f.StringVar(&a.action, "action", "", "only this `action`, for example login, sso_login, logout, session_revoked or role_assigned")
	f.StringVar(&a.q.Text, "text", "", "only entries with this `text` in a value, letters a to z in any case")
	f.StringVar(&a.since, "since", "", "only from this `instant` on (2026-03-05T10:15:30Z), or from so long ago (24h)")
	f.StringVar(&a.until, "until", "", "only before this `instant`, or until so long ago")
	f.Uint64Var(&a.q.Before, "before", 0, "only entries with a smaller `number`, for the next page")
}

// query is what the flags said.
func (a *auditQuestion) query(now time.Time) (q admin.AuditQuery, err error) {
	q = a.q
	q.Action = session.Action(a.action)
	if q.Since, err = sinceWhen(a.since, now); err != nil {
		return q, fmt.Errorf("-since %w", err)
	}
	if q.Until, err = sinceWhen(a.until, now); err != nil {
		return q, fmt.Errorf("-until %w", err)
	}
	return q, nil
}

func auditList(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("audit list", "gate audit list [flags]", "Lists entries of the audit trail, newest first. Times are UTC.", s)
	var question auditQuestion
	question.flags(f)
	limit := f.Int("limit", 100, "at most so `many`, 1 to 1000")
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	q, err := question.query(time.Now())
	if err == nil && (*limit < 1 || *limit > 1000) {
		err = fmt.Errorf("-limit %d is not 1 to 1000", *limit)
	}
	if err != nil {
		fmt.Fprintf(s.err, "gate audit list: %v\n", err)
		return exitUsage
	}
	found := []session.AuditEntry{}
	return f.do(s, func(c *admin.Client) (any, error) {
		err := eachAuditPage(ctx, c, q, *limit, func(page []session.AuditEntry) error {
			found = append(found, page...)
			return nil
		})
		return found, err
	}, func(w io.Writer) {
		printEntries(w, found)
		mayBeMore(w, len(found), *limit, "-limit shows them, gate audit export all")
	})
}

// eachAuditPage reads on, page by page and where a search has paused, until there is
// no more or as many as wanted; 0 means all.
func eachAuditPage(ctx context.Context, c *admin.Client, q admin.AuditQuery, most int, do func([]session.AuditEntry) error) error {
	for n := 0; most == 0 || n < most; {
		if q.Limit = auditAtOnce; most > 0 {
			q.Limit = min(auditAtOnce, most-n)
		}
		page, err := c.Audit(ctx, q)
		paused, ok := errors.AsType[*session.AuditPaused](err)
		if err != nil && !ok {
			return err
		}
		if err := do(page); err != nil {
			return err
		}
		n += len(page)
		switch {
		case ok:
			q.Before = paused.Before
		case len(page) < q.Limit:
			return nil
		default:
			q.Before = page[len(page)-1].Number
		}
	}
	return nil
}

// auditAtOnce is how many entries one question to the gate asks for.
const auditAtOnce = 1000

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
