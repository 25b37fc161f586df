package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/cmd/gate/internal/config"
)

const policyTestPurpose = `Runs the rules test_… of a policy folder, with the built-ins that the gate has, after it has
refused whatever the gate would refuse: built-ins that are taken away, headers that Envoy
does not forward or that may not be set, fields that the input does not have.

What Envoy forwards is in the routes file: that of -config or -routes, else routes.yaml in
the folder or beside it, else what the samples forward and let be set.`

// policyTests are the flags of gate policy test.
type policyTests struct {
	*flags
	config, routes, run string
	watch, verbose      bool
	coverage            bool
	least               float64
	entry               string
}

func policyTest(ctx context.Context, args []string, s streams) int {
	f := &policyTests{flags: flagSet("policy test", "gate policy test [-watch] [-coverage] [DIR]", policyTestPurpose, s)}
	f.StringVar(&f.config, "config", "", "configuration `file` whose routes, entry point and policy folder are meant")
	f.StringVar(&f.routes, "routes", "", "routes `file` that says which headers there are")
	f.StringVar(&f.entry, "entrypoint", "", "`rule` that decides (default that of -config, else "+engine.DefaultEntryPoint+")")
	f.StringVar(&f.run, "run", "", "run only tests whose package and name match this regular `expression`")
	f.BoolVar(&f.watch, "watch", false, "run again whenever the folder changes, until Ctrl-C")
	f.BoolVar(&f.coverage, "coverage", false, "say which lines no test comes to")
	f.Float64Var(&f.least, "least", 0, "fail when fewer `percent` of the lines are covered")
	f.BoolVar(&f.verbose, "v", false, "name the tests that passed too")
	rest, code, done := f.operands(args, 0, 1)
	if done {
		return code
	}
	if f.least < 0 || f.least > 100 {
		fmt.Fprintln(s.err, "gate policy test: -least is percent, 0 to 100; see gate policy test -h")
		return exitUsage
	}
	set, err := f.set(rest)
	if err != nil {
		return fail(s.err, "policy test", err)
	}
	if !f.watch {
		return f.once(ctx, set, s)
	}
	rounds := 0
	err = bundles.Watch(ctx, set.dir, 100*time.Millisecond, func(ctx context.Context) {
		if rounds++; rounds > 1 {
			fmt.Fprintf(s.out, "\n--- %s changed: run %d\n", set.dir, rounds)
		}
		f.once(ctx, set, s)
		if ctx.Err() == nil {
			fmt.Fprintln(s.out, "waiting for changes; Ctrl-C ends")
		}
	})
	return fail(s.err, "policy test", err)
}

// testSet is which folder is tested, and against what.
type testSet struct {
	dir, entry string
	config     *config.Config
	routes     string // "" means those of the samples
}

// set finds out what the command line means.
func (f *policyTests) set(rest []string) (*testSet, error) {
	set := &testSet{dir: ".", routes: f.routes}
	if f.config != "" {
		cfg, err := loadConfig(f.config)
		if err != nil {
			return nil, err
		}
		set.config, set.entry = cfg, cfg.Policy.Entrypoint
		set.dir, set.routes = cmp.Or(cfg.Policy.Path, set.dir), cmp.Or(f.routes, cfg.Routes)
	}
	if len(rest) > 0 {
		set.dir = rest[0]
	}
	set.entry = cmp.Or(f.entry, set.entry)
	if info, err := os.Stat(set.dir); err != nil {
		return nil, fmt.Errorf("policy folder: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is a file: name the folder that it is in, and with -run the tests", set.dir)
	}
	for _, near := range []string{filepath.Join(set.dir, "routes.yaml"), filepath.Join(set.dir, "..", "routes.yaml")} {
		if _, err := os.Stat(near); err == nil && set.routes == "" {
			set.routes = near
		}
	}
	return set, nil
}

// edge is what Envoy forwards and lets be set.
func (t *testSet) edge() (engine.Edge, error) {
	name, text := "the samples' routes", []byte(sampleRoutes)
	if t.routes != "" {
		raw, err := os.ReadFile(t.routes)
		if err != nil {
			return engine.Edge{}, fmt.Errorf("routes file: %w", err)
		}
		name, text = t.routes, raw
	}
	f, err := route.Parse(name, text)
	if err != nil {
		return engine.Edge{}, err
	}
	cfg := t.config
	if cfg == nil {
		d := config.Default()
		cfg = &d
	}
	return edge(cfg, f), nil
}

// sampleRoutes sets and forwards what the samples' routes files do.
const sampleRoutes = `gate: https://gate.example.com
set_headers: [x-pomerium-*, x-session-id, x-user-email, x-workspace-type]
strip_headers: [x-session-*, x-user-*, x-workspace-*]
upstreams: {}
hosts: [{origin: "https://gate.example.com", routes: [{name: gate, prefix: /, upstream: gate}]}]
`

// once runs the tests and says what came of them.
func (f *policyTests) once(ctx context.Context, set *testSet, s streams) int {
	report, err := runPolicyTests(ctx, set, f.run)
	if ctx.Err() != nil {
		return exitOK
	}
	if err != nil {
		return fail(s.err, "policy test", err)
	}
	failed := f.show(s.out, set.dir, report)
	percent := coverageOf(report)
	if f.coverage || f.least > 0 {
		showMissed(s.out, set.dir, report, percent)
	}
	switch {
	case failed:
		return exitError
	case len(report.Tests) == 0:
		fmt.Fprintf(s.err, "gate policy test: there are no tests in %s%s: write rules test_… in files *_test.rego\n", set.dir, matching(f.run))
		return exitError
	case percent < f.least:
		fmt.Fprintf(s.err, "gate policy test: %.1f%% of the lines are covered, want %g%%\n", percent, f.least)
		return exitError
	}
	return exitOK
}

func matching(run string) string {
	if run == "" {
		return ""
	}
	return " that match " + strconv.Quote(run)
}

func runPolicyTests(ctx context.Context, set *testSet, run string) (*engine.TestReport, error) {
	edge, err := set.edge()
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(set.dir)
	if err != nil {
		return nil, fmt.Errorf("policy folder: %w", err)
	}
	defer root.Close()
	src, err := bundles.Load(root.FS())
	if err != nil {
		return nil, err
	}
	tests, err := bundles.LoadTests(root.FS())
	if err != nil {
		return nil, err
	}
	src.EntryPoint = set.entry
	return engine.RunTests(ctx, src, tests, edge, engine.TestOptions{Run: run})
}

// show lists what did not pass, and how many did.
func (f *policyTests) show(w io.Writer, dir string, r *engine.TestReport) (failed bool) {
	passed, bad, skipped := 0, 0, 0
	var took time.Duration
	for i := range r.Tests {
		t := &r.Tests[i]
		took += t.Duration
		word := "ok  "
		switch {
		case t.Skipped:
			skipped++
			word = "skip"
		case t.Passed():
			passed++
		default:
			bad++
			word = "FAIL"
		}
		if t.Passed() && !f.verbose {
			continue
		}
		fmt.Fprintf(w, "%s  %s:%d  %s\n", word, filepath.Join(dir, t.File), t.Line, t.Name)
		showFailure(w, dir, t)
	}
	fmt.Fprintf(w, "%d passed, %d failed", passed, bad)
	if skipped > 0 {
		fmt.Fprintf(w, ", %d skipped", skipped)
	}
	fmt.Fprintf(w, "  policy %s  %.1f s\n", r.Revision, took.Seconds())
	return bad > 0
}

// showFailure says why, with what the expression's parts stood for.
func showFailure(w io.Writer, dir string, t *engine.TestResult) {
	if t.Passed() || t.Skipped {
		return
	}
	if t.Err != "" {
		fmt.Fprintf(w, "      %s\n", indent(t.Err))
	}
	const most = 10
	if len(t.Cases) > 0 {
		fmt.Fprintf(w, "      %d of %d cases: %s\n", len(t.Cases), t.Count, visible(strings.Join(t.Cases[:min(most, len(t.Cases))], "; ")))
	}
	if t.Values != "" {
		fmt.Fprintf(w, "      %s\n      %s\n", filepath.Join(dir, t.FailedAt), indent(t.Values))
	}
	if t.Output != "" {
		fmt.Fprintf(w, "      printed:\n      %s\n", indent(strings.TrimSpace(t.Output)))
	}
}

func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n      ") }

func coverageOf(r *engine.TestReport) float64 {
	covered, lines := 0, 0
	for _, f := range r.Files {
		covered, lines = covered+f.Covered, lines+f.Lines
	}
	if lines == 0 {
		return 100
	}
	return 100 * float64(covered) / float64(lines)
}

// showMissed lists the lines of each file, consecutive ones together.
func showMissed(w io.Writer, dir string, r *engine.TestReport, percent float64) {
	for _, f := range r.Files {
		if f.Lines == 0 || len(f.Missed) == 0 {
			continue
		}
		fmt.Fprintf(w, "%5.1f%%  %s  not covered: %s\n", 100*float64(f.Covered)/float64(f.Lines), filepath.Join(dir, f.File), ranges(f.Missed))
	}
	fmt.Fprintf(w, "%5.1f%% of the lines are covered\n", percent)
}

// ranges writes ascending numbers as "3, 7-9".
func ranges(lines []int) string {
	var b strings.Builder
	for i := 0; i < len(lines); {
		j := i
		for j+1 < len(lines) && lines[j+1] == lines[j]+1 {
			j++
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(lines[i]))
		if j > i {
			fmt.Fprintf(&b, "-%d", lines[j])
		}
		i = j + 1
	}
	return b.String()
}
