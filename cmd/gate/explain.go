package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/neosc/gate/session/web/admin"
)

// exitDenied is gate explain's code with -exit-code for what is not allowed.
const exitDenied = 3

func explainCommand() command {
	return command{"explain", "say why a request is allowed or refused, rule by rule", runExplain}
}

const explainUsage = `gate explain [-as EMAIL | -roles R1,R2] -url URL [flags]
       gate explain -request-id ID [flags]
       gate explain -decision ID [-decisions FILE] [-bundle PLACE] [flags]`

const explainPurpose = `Decides a request as the gate would and says why, rule by rule, with the values that made
each rule hold or not. It charges nothing and changes nothing.

By -url the request is made up, and judged by the routes file and the policy of the
configuration; no gate need run, unless -as without -roles asks one who somebody is.
By -request-id it is a recent one of the running gate: the id is in the X-Request-Id of
the answer, on the page of a refusal and in the logs.
By -decision it is any of a decision log, by the policy of -bundle or the configuration's.`

// explainFlags are gate explain's flags.
type explainFlags struct {
	*operatorFlags
	asked
	requestID string

	decision, decisions, bundle, html string

	switches          list
	verbose, exitCode bool
}

func newExplainFlags(s streams) *explainFlags {
	f := &explainFlags{operatorFlags: operatorFlagSet("explain", explainUsage, explainPurpose, s)}
	f.claims, f.settings = claims{}, claims{}
	f.StringVar(&f.as, "as", "", "`email` of who asks: their newest live session or local account, or with -roles just the name")
	f.Var(&f.roles, "roles", "`roles` of who asks, with commas; instead of asking a running gate")
	f.Var(&f.groups, "group", "`group` of who asks; may be given more than once")
	f.Var(f.claims, "claim", "`claim` NAME=TEXT, or NAME:=JSON; may be given more than once")
	f.StringVar(&f.url, "url", "", "`URL` asked for")
	f.StringVar(&f.method, "method", "GET", "`method`, in capitals")
	f.Var(&f.headers, "header", "`header` 'Name: value' of the request; may be given more than once")
	f.StringVar(&f.address, "address", "", "`IP` address of the client")
	f.StringVar(&f.at, "at", "", "`time` of the request: 2026-03-08T21:00:00-06:00, or \"2026-03-08 21:00\" by the clock\nof the policy's business hours (default: now)")
	f.Var(f.settings, "set", "policy `setting` NAME:=JSON of the route, in place of the routes file's, for example\nbusiness_hours:=true; may be given more than once")
	f.StringVar(&f.requestID, "request-id", "", "`id` of a recent request of the running gate")
	f.StringVar(&f.decision, "decision", "", "`id` of a recorded decision, or of its request")
	f.StringVar(&f.decisions, "decisions", "", "decision log that it is in: a `file` (default: the configuration's decisions.file)")
	f.StringVar(&f.bundle, "bundle", "", "with -decision, the policy that decides: a `folder` or a bundle .tar.gz (default: the\nconfiguration's)")
	f.Var(&f.switches, "switch", "with -decision, `NAME=VALUE` of a switch of the policy; may be given more than once")
	f.StringVar(&f.html, "html", "", "also write a page that shows it to this `file`")
	f.BoolVar(&f.verbose, "v", false, "show all rules and all values")
	f.BoolVar(&f.exitCode, "exit-code", false, "exit with 3 when the request is not allowed")
	return f
}

// wrong says what is wrong with the command line, "" if nothing is.
func (f *explainFlags) wrong() string {
	f.Visit(func(x *flag.Flag) { f.rolesGiven = f.rolesGiven || x.Name == "roles" })
	if f.decision != "" {
		return f.besides("decision", "decisions", "bundle", "switch", "config", "json", "html", "v", "exit-code")
	}
	if f.bundle != "" || f.decisions != "" || f.switches != nil {
		return "-decisions, -bundle and -switch go with -decision"
	}
	switch {
	case f.requestID == "" && f.url == "":
		return "say what to explain: -url, -request-id or -decision"
	case f.requestID == "":
		return ""
	}
	return f.besides("request-id", "config", "socket", "json", "html", "v", "exit-code")
}

// besides says which flag does not go with the first of those that are allowed.
func (f *explainFlags) besides(allowed ...string) string {
	other := ""
	f.Visit(func(x *flag.Flag) {
		if !slices.Contains(allowed, x.Name) {
			other = x.Name
		}
	})
	if other != "" {
		return "-" + allowed[0] + " says everything about the request; take -" + other + " out"
	}
	return ""
}

func runExplain(ctx context.Context, args []string, s streams) int {
	f := newExplainFlags(s)
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	if w := f.wrong(); w != "" {
		fmt.Fprintf(s.err, "gate explain: %s; see gate explain -h\n", w)
		return exitUsage
	}
	out, err := f.report(ctx)
	if err == nil && f.html != "" {
		err = out.htmlFile(f.html)
	}
	if err == nil {
		err = f.print(s.out, out, func(w io.Writer) { out.text(w, f.verbose) })
	}
	if err != nil {
		return fail(s.err, "explain", err)
	}
	if f.exitCode && out.Verdict != "allow" {
		return exitDenied
	}
	return exitOK
}

func (f *explainFlags) report(ctx context.Context) (*report, error) {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if f.decision != "" {
		return f.fromLog(ctx)
	}
	if f.requestID != "" {
		c, err := f.client()
		if err != nil {
			return nil, err
		}
		return recordedReport(ctx, c, f.requestID)
	}
	cfg, err := loadConfig(f.config)
	if err != nil {
		return nil, err
	}
	socket := f.socket
	if socket == "" {
		socket = cfg.Listen.Admin
	}
	q, err := f.question(ctx, cfg, admin.NewClient(socket))
	if err != nil {
		return nil, err
	}
	return q.explain(ctx)
}

// recordedReport has the running gate explain one of its decisions: it alone
// has the rules that it decides by.
func recordedReport(ctx context.Context, c *admin.Client, id string) (*report, error) {
	raw, err := c.Decision(ctx, id)
	if err != nil {
		return nil, err
	}
	out := new(report)
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, errors.New("the gate's answer is not what this command knows; are both of one version?")
	}
	return out, nil
}
