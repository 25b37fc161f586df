package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/observe/decisionlog"
	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/authz/switches"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/replay"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session"
)

// Exit codes of the commands that compare two policies, as diff has them.
const (
	exitSame      = 0
	exitDifferent = 1
	exitTrouble   = 2
)

func replayCommand() command {
	return command{"replay", "decide recorded requests by another policy and show what would change", runReplay}
}

const replayUsage = `gate replay [-decisions FILE] [-bundle PLACE] [flags]`

const replayPurpose = `Decides the requests of a decision log anew, each at its own instant, by the policy in
-bundle (a folder, or a bundle .tar.gz), and says what would be decided otherwise: verdicts,
headers and limits, by route, roles and the rules that made the difference, each with an
example and the command that explains it. Nothing is charged and nothing is changed.
A request of which the policy may read something that is not in its record (secrets, what
the policy masks, what was too long) is counted as not replayable, never as the same.
Exit codes: 0 nothing changes, 1 something does, 2 trouble, interrupted, no request was
decided anew, or more lines are broken than are records.`

// replayFlags are gate replay's flags.
type replayFlags struct {
	*flags
	config, decisions, bundle, route string
	switches                         list
	json, quiet                      bool
	workers, most                    int
	strict                           bool
}

func newReplayFlags(s streams) *replayFlags {
	f := &replayFlags{flags: flagSet("replay", replayUsage, replayPurpose, s)}
	f.StringVar(&f.config, "config", "gate.yaml", "configuration `file`: its routes file says which headers reach policy")
	f.StringVar(&f.decisions, "decisions", "", "decision log, with the older files beside it: a `file`, may be compressed (default: the\nconfiguration's decisions.file; - for stdin)")
	f.StringVar(&f.bundle, "bundle", "", "policy to try: a `folder` or a bundle .tar.gz (default: the configuration's)")
	f.StringVar(&f.route, "route", "", "replay requests of this `route` alone")
	f.Var(&f.switches, "switch", "`NAME=VALUE` of a switch of the policy; may be given more than once")
	f.BoolVar(&f.json, "json", false, "print JSON")
	f.BoolVar(&f.quiet, "q", false, "no progress on stderr")
	f.IntVar(&f.workers, "workers", 0, "records decided at once (default: one for each CPU)")
	f.IntVar(&f.most, "n", 40, "print at most `N` groups; 0 prints all")
	f.BoolVar(&f.strict, "strict", false, "exit with 1 also when a request was not replayable, or a line is no record; a last line\nthat is cut off does not count")
	return f
}

func runReplay(ctx context.Context, args []string, s streams) int {
	f := newReplayFlags(s)
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	if f.workers < 0 || f.most < 0 {
		fmt.Fprintln(s.err, "gate replay: -workers and -n are 0 or more")
		return exitUsage
	}
	r, err := f.replay(ctx, s)
	if err == nil {
		err = f.print(s.out, r)
	}
	if err != nil {
		fmt.Fprintf(s.err, "gate replay: %s\n", err)
		return exitTrouble
	}
	switch {
	case r.Interrupted:
		fmt.Fprintf(s.err, "gate replay: interrupted; this is what %d records came to\n", r.Records)
		return exitTrouble
	case r.Unreadable():
		fmt.Fprintf(s.err, "gate replay: %d lines are no records and %d are, so little is known of the traffic: is this a decision log, and whole?\n", r.Broken(), r.Records+r.Others)
		return exitTrouble
	case r.Replayed() == 0: // a check that looked at nothing must not pass
		fmt.Fprintf(s.err, "gate replay: of %d records none was decided anew, so nothing is known of the policy\n", r.Records)
		return exitTrouble
	case r.Changed > 0 || f.strict && r.NotReplayable+r.Broken() > 0:
		return exitDifferent
	}
	return exitSame
}

func (f *replayFlags) replay(ctx context.Context, s streams) (*replay.Report, error) {
	cfg, err := loadConfig(f.config)
	if err != nil {
		return nil, err
	}
	p, err := triedProgram(cfg, f.bundle, f.switches)
	if err != nil {
		return nil, err
	}
	routes, err := loadRoutes(cfg)
	if err != nil {
		return nil, err
	}
	judge := engine.NewJudge(p)
	o := replay.Options{Judge: judge, Workers: f.workers, Edge: replay.EdgeOf(judge, routes.Revision(), routes.Forwarded(), route.AlwaysForwarded())}
	if f.route != "" {
		o.Only = func(r *decisionlog.Record) bool { return r.Route == f.route }
	}
	if !f.quiet {
		start := time.Now()
		o.Progress = func(n int64) {
			fmt.Fprintf(s.err, "gate replay: %d records, %.0f a second\n", n, float64(n)/time.Since(start).Seconds())
		}
	}
	var out *replay.Report
	if f.decisions == "-" {
		out, err = replay.Reader(ctx, o, "stdin", s.in)
	} else {
		var file string
		if file, err = f.file(cfg); err == nil {
			out, err = replay.Log(ctx, o, file)
		}
	}
	if err == nil {
		f.explain(out)
	}
	return out, err
}

func (f *replayFlags) file(cfg *config.Config) (string, error) {
	file := cmp.Or(f.decisions, cfg.Decisions.File)
	if file == "" {
		return "", fmt.Errorf("%s keeps no decisions in a file: name one with -decisions", f.config)
	}
	return file, nil
}

// explain puts the command that explains it to each example.
func (f *replayFlags) explain(r *replay.Report) {
	of := func(x *replay.Example) {
		if f.decisions == "-" {
			return
		}
		words := []string{"gate", "explain"}
		if f.config != "gate.yaml" {
			words = append(words, "-config", f.config)
		}
		words = append(words, "-decision", x.DecisionID, "-decisions", x.File)
		if f.bundle != "" {
			words = append(words, "-bundle", f.bundle)
		}
		for _, x := range f.switches {
			words = append(words, "-switch", x)
		}
		for i := range words {
			words[i] = shellWord(words[i])
		}
		x.Explain = strings.Join(words, " ")
	}
	for i := range r.Groups {
		of(r.Groups[i].Example)
	}
	for i := range r.Missing {
		of(r.Missing[i].Example)
	}
}

// shellWord quotes what a shell would take for more than a word.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=+,@") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (f *replayFlags) print(w io.Writer, r *replay.Report) error {
	if f.json {
		return (&operatorFlags{json: true}).print(w, r, nil)
	}
	replayText(w, r, f.most)
	return nil
}

// triedTimeout is how long one decision may take where nobody waits for it.
const triedTimeout = 5 * time.Second

// triedProgram compiles the policy at a place, or that of the config, for trying
// it out: with switches as given, else at their defaults.
func triedProgram(cfg *config.Config, place string, set []string) (*engine.Program, error) {
	p, _, err := triedRules(cfg, place, set)
	return p, err
}

// triedRules is triedProgram with the texts of the rules.
func triedRules(cfg *config.Config, place string, set []string) (*engine.Program, map[string]string, error) {
	routes, err := loadRoutes(cfg)
	if err != nil {
		return nil, nil, err
	}
	src, err := triedSet(cfg, place)
	if err != nil {
		return nil, nil, err
	}
	src.EntryPoint, src.Timeout = cfg.Policy.Entrypoint, triedTimeout
	stored, err := switchFlags(set)
	if err == nil {
		err = errors.Join(src.Identify(), checkActions(&src))
	}
	if err == nil {
		if err = switches.Fits(src.Data, stored); err != nil {
			return nil, nil, fmt.Errorf("-switch: %w", err)
		}
		src.Data, src.Revision, err = switches.Fold(src.Data, src.Revision, stored)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("policy refused: %w", err)
	}
	p, err := engine.Compile(src, edge(cfg, routes))
	return p, src.Modules, err
}

func triedSet(cfg *config.Config, place string) (engine.Source, error) {
	if place == "" {
		return policySet(cfg)
	}
	o, err := bundles.Open(place)
	if err != nil {
		return engine.Source{}, fmt.Errorf("-bundle: %w", err)
	}
	return o.Source, nil
}

// switchFlags reads NAME=VALUE.
func switchFlags(set []string) (stored []session.StoredSwitch, err error) {
	for _, x := range set {
		name, text, ok := strings.Cut(x, "=")
		if !ok {
			return nil, fmt.Errorf("-switch %q: want NAME=VALUE", x)
		}
		v, err := switchValue(text)
		if err != nil {
			return nil, fmt.Errorf("-switch %s: %w", name, err)
		}
		stored = append(stored, session.StoredSwitch{Name: name, Value: &v, Version: 1})
	}
	return stored, nil
}
