package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// TestOptions are for RunTests.
type TestOptions struct {
	// Run, if set, is a regular expression; only tests whose "package.name" it
	// matches are run.
	Run string
	// Timeout bounds one test; 0 means DefaultTestTimeout.
	Timeout time.Duration
}

// DefaultTestTimeout is how long one test may take.
const DefaultTestTimeout = 30 * time.Second

// TestReport is what came of a policy set's tests.
type TestReport struct {
	// Revision is the set's, without its tests.
	Revision string
	// Tests are sorted by file and line.
	Tests []TestResult
	// Files says which lines of the set's own modules the tests reached, sorted
	// by name; tests themselves are not in it.
	Files []FileCoverage
}

// TestResult is one rule test_….
type TestResult struct {
	// Name is as "neosc.authz_test.test_permit"; File and Line say where it is.
	Name string
	File string
	Line int
	// Skipped is a rule todo_test_…
	Skipped bool
	// Failed: it was undefined, false or, for a test with cases, false for some.
	Failed bool
	// Err is why it could not be evaluated to its end, "" otherwise.
	Err string
	// Cases are the names of the cases that failed, sorted; Count is how many
	// cases there are, 0 for a test without any.
	Cases []string
	Count int
	// FailedAt is where evaluation stopped, "authz_test.rego:12", and Values the
	// expression there with what its variables stood for; both "" unless Failed.
	FailedAt, Values string
	// Output is what print() said.
	Output   string
	Duration time.Duration
}

// Passed reports whether it ran and held.
func (r *TestResult) Passed() bool { return !r.Failed && !r.Skipped && r.Err == "" }

// FileCoverage is which lines of one module were reached.
type FileCoverage struct {
	File           string
	Covered, Lines int
	// Missed are lines that no test comes to, ascending.
	Missed []int
}

// Passed reports whether no test failed; a set without tests has not passed.
func (r *TestReport) Passed() bool {
	ran := false
	for i := range r.Tests {
		if !r.Tests[i].Passed() && !r.Tests[i].Skipped {
			return false
		}
		ran = ran || r.Tests[i].Passed()
	}
	return ran
}

// RunTests compiles src for edge, which refuses what activation would, and runs
// the rules test_… of tests (Rego texts by file name) with OPA's tester and the
// built-ins that the gate has. Failed tests are run again, traced, to say why.
// The error is for sets and tests that do not compile, and for a ctx that ends.
func RunTests(ctx context.Context, src Source, tests map[string]string, edge Edge, o TestOptions) (*TestReport, error) {
	program, err := Compile(src, edge)
	if err != nil {
		return nil, err
	}
	if o.Run != "" {
		if _, err := regexp.Compile(o.Run); err != nil {
			return nil, fmt.Errorf("which tests to run: %w", err)
		}
	}
	t := &testRun{program: program, texts: maps.Clone(src.Modules), options: o}
	for name, text := range tests {
		if _, taken := t.texts[name]; taken {
			return nil, fmt.Errorf("%s is a policy and a test at once", name)
		}
		t.texts[name] = text
	}
	covered := cover.New()
	results, err := t.run(ctx, o.Run, covered)
	if err != nil {
		return nil, err
	}
	report := &TestReport{Revision: program.Revision()}
	for _, r := range results {
		report.Tests = append(report.Tests, t.result(ctx, r))
	}
	slices.SortFunc(report.Tests, func(a, b TestResult) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Name, b.Name))
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	report.Files = t.coverage(covered, src.Modules)
	return report, nil
}

// testRun is one run of a set with its tests.
type testRun struct {
	program *Program // whose data the tests see
	texts   map[string]string
	options TestOptions
	modules map[string]*ast.Module // as compiled last
}

// run runs the tests that filter matches, with a tracer for coverage or, where
// covered is nil, with whole traces.
func (t *testRun) run(ctx context.Context, filter string, covered *cover.Cover) ([]*tester.Result, error) {
	modules, err := parse(t.texts) // anew each time: compiling rewrites them
	if err != nil {
		return nil, err
	}
	t.modules = modules
	store, txn := t.program.store, t.program.txn
	compiler := policyCompiler(storage.NonEmpty(ctx, store, txn)).WithEnablePrintStatements(true)
	runner := tester.NewRunner().SetCompiler(compiler).SetStore(store).SetModules(modules).
		CapturePrintOutput(true).SetTimeout(cmp.Or(t.options.Timeout, DefaultTestTimeout)).Filter(filter)
	if covered != nil {
		runner.SetCoverageRuns(nil).SetCoverageQueryTracer(covered)
	} else {
		runner.EnableTracing(true)
	}
	ch, err := runner.RunTests(ctx, txn)
	if err != nil {
		if errs, ok := errors.AsType[ast.Errors](err); ok {
			return nil, refusal(compilerProblems(errs))
		}
		return nil, err
	}
	var results []*tester.Result
	for r := range ch {
		results = append(results, r)
	}
	return results, ctx.Err()
}

func (t *testRun) result(ctx context.Context, r *tester.Result) TestResult {
	out := TestResult{
		Name: testName(r), File: r.Location.File, Line: r.Location.Row,
		Skipped: r.Skip, Failed: r.Fail, Output: string(r.Output), Duration: r.Duration,
	}
	for name, c := range r.SubResults.Iter {
		if len(c.SubResults) > 0 {
			continue
		}
		if out.Count++; c.Fail {
			out.Cases = append(out.Cases, strings.Join(name, ", "))
		}
	}
	slices.Sort(out.Cases)
	if r.Error != nil {
		out.Err = r.Error.Error()
		return out
	}
	if r.Fail {
		out.FailedAt, out.Values = t.why(ctx, r)
	}
	return out
}

// testName leaves out what stands for the cases of a test.
func testName(r *tester.Result) string {
	name, _, _ := strings.Cut(r.Name, "[")
	return strings.TrimPrefix(r.Package, "data.") + "." + name
}

// why runs one failed test again and says at which of its own expressions
// evaluation stopped, and with which values. "" when a trace tells nothing.
func (t *testRun) why(ctx context.Context, r *tester.Result) (at, values string) {
	again, err := t.run(ctx, "^"+regexp.QuoteMeta("data."+testName(r))+"$", nil)
	if err != nil {
		return "", ""
	}
	var failed *topdown.Event
	for _, x := range again {
		for _, e := range x.Trace {
			if e.Op == topdown.FailOp && e.Location != nil && e.Location.File == r.Location.File && inRule(e, x) {
				failed = e
			}
		}
	}
	if failed == nil {
		return "", ""
	}
	var b bytes.Buffer
	if topdown.PrettyEvent(&b, failed, topdown.PrettyEventOpts{PrettyVars: true}) != nil {
		return "", ""
	}
	return fmt.Sprintf("%s:%d", failed.Location.File, failed.Location.Row), strings.TrimRight(b.String(), "\n ")
}

// inRule reports whether an event is of the test's own text.
func inRule(e *topdown.Event, r *tester.Result) bool {
	lines := bytes.Count(r.Location.Text, []byte("\n"))
	return e.Location.Row >= r.Location.Row && e.Location.Row <= r.Location.Row+lines
}

func (t *testRun) coverage(covered *cover.Cover, own map[string]string) []FileCoverage {
	report := covered.Report(t.modules)
	var files []FileCoverage
	for _, name := range slices.Sorted(maps.Keys(own)) {
		f := report.Files[name]
		if f == nil {
			continue
		}
		c := FileCoverage{File: name, Covered: f.CoveredLines, Lines: f.CoveredLines + f.NotCoveredLines}
		for _, gap := range f.NotCovered {
			for line := gap.Start.Row; line <= gap.End.Row; line++ {
				if !f.IsCovered(line) && !slices.Contains(c.Missed, line) {
					c.Missed = append(c.Missed, line)
				}
			}
		}
		slices.Sort(c.Missed)
		files = append(files, c)
	}
	return files
}
