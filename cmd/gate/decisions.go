package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/authz/observe/decisionlog"
)

func decisionsCommand() command {
	return command{"decisions", "find recorded decisions by request id, user, route, reason, verdict or time", runDecisions}
}

const decisionsUsage = `gate decisions [-request-id ID | -user WHO | -route NAME | -reason CODE | …] [flags]`

const decisionsPurpose = `Prints recorded decisions of the decision log, oldest first: those for which everything
that the flags say is true. The log is the file of the configuration's decisions.file, or
that of -decisions, with the older files beside it (FILE.1, FILE.2 …).
Lines that are no records are counted and said on stderr.`

// decisionFlags are gate decisions' flags.
type decisionFlags struct {
	*flags
	config, file                          string
	requestID, user, route, reason, since string
	until, verdict                        string
	json, follow                          bool
	most                                  int
	from, to                              time.Time
}

func newDecisionFlags(s streams) *decisionFlags {
	f := &decisionFlags{flags: flagSet("decisions", decisionsUsage, decisionsPurpose, s)}
	f.StringVar(&f.config, "config", "gate.yaml", "configuration `file` whose decisions.file is read")
	f.StringVar(&f.file, "decisions", "", "decision log, in place of the configuration's: a `file`")
	f.StringVar(&f.requestID, "request-id", "", "`id` of the request, or of the decision")
	f.StringVar(&f.user, "user", "", "`id` or email of who asked; nobody for those who were not signed in")
	f.StringVar(&f.route, "route", "", "`name` of the route")
	f.StringVar(&f.reason, "reason", "", "`code` among the reasons")
	f.StringVar(&f.verdict, "verdict", "", "`verdict`: allow, deny, limit or error")
	f.StringVar(&f.since, "since", "", "not before this `time`: RFC 3339, or a duration back from now (2h, 30m)")
	f.StringVar(&f.until, "until", "", "before this `time`")
	f.BoolVar(&f.json, "json", false, "print the records as they are, one a line")
	f.BoolVar(&f.follow, "follow", false, "go on with decisions that are recorded from now on, until interrupted")
	f.IntVar(&f.most, "n", 0, "print the newest `N` of them alone")
	return f
}

func (f *decisionFlags) read(now time.Time) error {
	var err error
	if f.from, err = whenFlag("since", f.since, now); err != nil {
		return err
	}
	if f.to, err = whenFlag("until", f.until, now); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{"", "allow", "deny", "limit", "error"}, f.verdict):
		return errors.New("-verdict is allow, deny, limit or error")
	case f.most < 0 || f.most > 10_000:
		return errors.New("-n is from 0 (all) to 10000")
	case f.follow && f.most > 0:
		return errors.New("-follow has no newest ones: take -n out")
	}
	return nil
}

func whenFlag(name, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, fmt.Errorf("-%s %q is no time: write 2026-03-08T21:00:00Z, or 2h for two hours ago", name, s)
	}
	return t, nil
}

// wants reports whether a record is looked for.
func (f *decisionFlags) wants(r *decisionlog.Record) bool {
	who := f.user == "" || r.User == f.user || strings.EqualFold(r.Email, f.user) || f.user == "nobody" && r.User == "" && r.Email == ""
	return who &&
		(f.requestID == "" || r.RequestID == f.requestID || r.DecisionID == f.requestID) &&
		(f.route == "" || r.Route == f.route) &&
		(f.verdict == "" || r.Verdict == f.verdict) &&
		(f.reason == "" || slices.Contains(r.Reasons, f.reason)) &&
		(f.from.IsZero() || !r.Time.Before(f.from)) &&
		(f.to.IsZero() || r.Time.Before(f.to))
}

func runDecisions(ctx context.Context, args []string, s streams) int {
	f := newDecisionFlags(s)
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	if err := f.read(time.Now()); err != nil {
		fmt.Fprintf(s.err, "gate decisions: %v; see gate decisions -h\n", err)
		return exitUsage
	}
	file, err := decisionFile(f.file, f.config)
	if err == nil {
		err = f.find(ctx, file, s)
	}
	if err != nil {
		return fail(s.err, "decisions", err)
	}
	return exitOK
}

// decisionFile is the log that a flag or the configuration names.
func decisionFile(flag, config string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	cfg, err := loadConfig(config)
	if err != nil {
		return "", err
	}
	if cfg.Decisions.File == "" {
		return "", fmt.Errorf("%s keeps no decisions in a file: set decisions.file there, or name one with -decisions", config)
	}
	return cfg.Decisions.File, nil
}

// find prints what is looked for.
func (f *decisionFlags) find(ctx context.Context, file string, s streams) error {
	bad := &badLines{w: s.err}
	var newest []string
	lines, found := 0, 0
	print := func(l decisionlog.Line) error {
		if lines++; l.Err == nil && f.requestID != "" && !mayHave(l.Text, f.requestID) {
			return nil
		}
		r, text := f.record(l, bad)
		if r == nil || !f.wants(r) {
			return nil
		}
		if found++; f.most > 0 {
			if newest = append(newest, f.said(r, text)); len(newest) > f.most {
				newest = newest[1:]
			}
			return nil
		}
		_, err := io.WriteString(s.out, f.said(r, text))
		return err
	}
	if f.follow {
		err := decisionlog.Follow(ctx, file, print, func() error { bad.sum(); return nil })
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return fmt.Errorf("decision log: %w", err)
	}
	if err := decisionlog.Scan(ctx, file, print); err != nil {
		return fmt.Errorf("decision log: %w", err)
	}
	for _, x := range newest {
		if _, err := io.WriteString(s.out, x); err != nil {
			return err
		}
	}
	bad.sum()
	if found == 0 {
		fmt.Fprintf(s.err, "gate decisions: none of the %d lines of %s is what was asked for\n", lines, file)
	}
	return nil
}

// record reads a line; nil for one that is none, which is counted.
func (f *decisionFlags) record(l decisionlog.Line, bad *badLines) (*decisionlog.Record, string) {
	err := l.Err
	if err == nil {
		text := string(l.Text)
		var r *decisionlog.Record
		if r, err = decisionlog.Parse(text); err == nil {
			return r, text
		}
	}
	bad.add(l, err)
	return nil, ""
}

func (f *decisionFlags) said(r *decisionlog.Record, text string) string {
	if f.json {
		return text + "\n"
	}
	return decisionText(r)
}

// decisionText says a decision in a line.
func decisionText(r *decisionlog.Record) string {
	method, place := "", ""
	if q := r.Request; q != nil {
		path, _ := q.SplitPath()
		method, place = q.Method, q.Host+path
	}
	return visible(fmt.Sprintf("%s %-5s %d %s %s %s route=%s user=%s id=%s",
		r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), r.Verdict, r.Status, strings.Join(r.Reasons, ","), method, place,
		orDash(r.Route), orDash(cmp.Or(r.Email, r.User)), orDash(r.RequestID))) + "\n"
}

// badLines counts lines that are no records and names the first few.
type badLines struct {
	w io.Writer
	n int
}

// namedBad is how many are named.
const namedBad = 10

func (b *badLines) add(l decisionlog.Line, err error) {
	if b.n++; b.n <= namedBad {
		fmt.Fprintf(b.w, "%s:%d: %s\n", visible(l.File), l.Number, visible(err.Error()))
	}
}

// sum says how many more there were.
func (b *badLines) sum() {
	if b.n > namedBad {
		fmt.Fprintf(b.w, "… and %d more lines that are no records\n", b.n-namedBad)
	}
}
