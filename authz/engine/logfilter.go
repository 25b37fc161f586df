package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Rules of the package system.log see decision records and not requests: they
// are compiled apart from those that decide.
var logPackage = ast.Ref{ast.DefaultRootDocument, ast.StringTerm("system"), ast.StringTerm("log")}

// logRules are a program's data.system.log.mask and drop.
type logRules struct {
	compiler   *ast.Compiler
	queries    ast.QueryCompiler
	store      storage.Store
	txn        storage.Transaction
	mask, drop ast.Body // nil: there is none
}

// takeLogRules takes modules of the package system.log out of a set and returns
// them.
func takeLogRules(modules map[string]*ast.Module) map[string]*ast.Module {
	taken := map[string]*ast.Module{}
	for name, m := range modules {
		if m.Package.Path.HasPrefix(logPackage) {
			taken[name] = m
			delete(modules, name)
		}
	}
	return taken
}

// compileLogRules compiles log modules beside the others, whose
// helpers they may use. Their input has no schema.
func (p *Program) compileLogRules(log, others map[string]*ast.Module) error {
	if len(log) == 0 {
		return nil
	}
	all := maps.Clone(log)
	maps.Copy(all, others)
	c := ast.NewCompiler().WithCapabilities(capabilities()).WithDefaultRegoVersion(ast.RegoV1).WithStrict(true)
	c.SetErrorLimit(maxProblems)
	if c.Compile(all); c.Failed() {
		return refusal(compilerProblems(c.Errors))
	}
	l := &logRules{compiler: c, queries: c.QueryCompiler(), store: p.store, txn: p.txn}
	for _, x := range []struct {
		ref ast.Ref
		to  *ast.Body
	}{{logPackage.Append(ast.StringTerm("mask")), &l.mask}, {logPackage.Append(ast.StringTerm("drop")), &l.drop}} {
		if len(c.GetRules(x.ref)) == 0 {
			continue
		}
		body, err := l.queries.Compile(ast.NewBody(ast.Equality.Expr(ast.NewTerm(x.ref), ast.VarTerm(string(resultVar)))))
		if err != nil {
			return refusal(compilerProblems(err))
		}
		*x.to = body
	}
	if l.mask == nil && l.drop == nil {
		return fmt.Errorf("policy refused: the package system.log has neither a rule mask nor a rule drop: define one, or take the package out")
	}
	p.log = l
	return nil
}

// LogFilter applies data.system.log.mask and drop of the active policy to
// decision records, as OPA's own decision log does. Safe for concurrent use.
type LogFilter struct {
	engine *Engine
}

// NewLogFilter returns the filter of e's active policy, whichever that is.
func NewLogFilter(e *Engine) *LogFilter { return &LogFilter{e} }

func (f *LogFilter) rules() *logRules {
	if p, _ := f.engine.Active(); p != nil {
		return p.log
	}
	return nil
}

// Active reports whether the active policy masks or drops.
func (f *LogFilter) Active() bool { return f.rules() != nil }

// Apply masks a record in place, or says that it is to be dropped. What is
// removed is named in the record's "erased", what is replaced in "masked".
func (f *LogFilter) Apply(ctx context.Context, record map[string]any) (drop bool, err error) {
	if l := f.rules(); l != nil {
		return l.apply(ctx, record)
	}
	return false, nil
}

func (l *logRules) apply(ctx context.Context, record map[string]any) (drop bool, err error) {
	input, err := ast.InterfaceToValue(record)
	if err != nil {
		return false, err
	}
	now := time.Now()
	if l.drop != nil {
		v, err := l.eval(ctx, l.drop, input, now)
		if err != nil {
			return false, fmt.Errorf("data.system.log.drop: %w", err)
		}
		if v != nil && v.Compare(ast.Boolean(true)) == 0 {
			return true, nil
		}
	}
	if l.mask == nil {
		return false, nil
	}
	v, err := l.eval(ctx, l.mask, input, now)
	if err != nil || v == nil {
		return false, err
	}
	list, err := ast.JSON(v)
	if err != nil {
		return false, err
	}
	rules, ok := list.([]any)
	if !ok {
		return false, errors.New("data.system.log.mask gives no set or array")
	}
	for _, rule := range rules {
		if err := mask(record, rule); err != nil {
			return false, fmt.Errorf("data.system.log.mask: %w", err)
		}
	}
	closeGaps(record)
	return false, nil
}

// eval returns the value of a query, nil if it is undefined.
func (l *logRules) eval(ctx context.Context, body ast.Body, input ast.Value, now time.Time) (ast.Value, error) {
	cancel := topdown.NewCancel()
	timer := time.AfterFunc(time.Second, cancel.Cancel)
	defer timer.Stop()
	var out ast.Value
	err := topdown.NewQuery(body).WithQueryCompiler(l.queries).WithCompiler(l.compiler).WithStore(l.store).WithTransaction(l.txn).
		WithMetrics(metrics.NoOp()).WithCancel(cancel).WithTime(now).WithInput(ast.NewTerm(input)).
		Iter(ctx, func(qr topdown.QueryResult) error {
			out = qr[resultVar].Value
			return nil
		})
	return out, err
}

// mask applies one rule: a JSON pointer of what to remove, or an object with
// "op" (remove or upsert), "path" and "value".
func mask(record map[string]any, rule any) error {
	op, path, value := "remove", "", any(nil)
	switch rule := rule.(type) {
	case string:
		path = rule
	case map[string]any:
		op, _ = rule["op"].(string)
		path, _ = rule["path"].(string)
		value = rule["value"]
	}
	parts := strings.Split(path, "/")
	if len(parts) < 2 || parts[0] != "" || parts[1] != "input" && parts[1] != "result" && parts[1] != "nd_builtin_cache" {
		return fmt.Errorf("%.80q is no JSON pointer below /input, /result or /nd_builtin_cache", path)
	}
	if op != "remove" && op != "upsert" {
		return fmt.Errorf("%.40q is no operation: remove and upsert are", op)
	}
	for i, p := range parts {
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(p)
	}
	changed, done := change(record, parts[1:], op, value)
	if !done {
		return nil
	}
	if _, ok := changed.(map[string]any); !ok {
		return errors.New("a record is an object")
	}
	name := "erased"
	if op == "upsert" {
		name = "masked"
	}
	note(record, name, path)
	return nil
}

// change walks to the last part and removes or sets it there. Where the way ends
// before, nothing is done.
func change(in any, path []string, op string, value any) (out any, done bool) {
	last := len(path) == 1
	switch in := in.(type) {
	case map[string]any:
		at, there := in[path[0]]
		switch {
		case !last && there:
			at, done = change(at, path[1:], op, value)
			in[path[0]] = at
		case last && op == "remove" && there:
			delete(in, path[0])
			done = true
		case last && op == "upsert":
			in[path[0]], done = value, true
		}
		return in, done
	case []any:
		i, err := strconv.Atoi(path[0])
		switch {
		case err != nil || i < 0 || i >= len(in):
			return in, false
		case !last:
			in[i], done = change(in[i], path[1:], op, value)
			return in, done
		case op == "upsert":
			in[i] = value
			return in, true
		}
		in[i] = gone{}
		return in, true
	}
	return in, false
}

// gone stands where an element of an array was removed until all rules are applied:
// they name elements by where those are in the record that they saw. With the places
// moved up at once, of four removed elements two stayed.
type gone struct{}

// closeGaps moves up what comes after elements that were removed.
func closeGaps(in any) any {
	switch in := in.(type) {
	case map[string]any:
		for k, v := range in {
			in[k] = closeGaps(v)
		}
	case []any:
		in = slices.DeleteFunc(in, func(v any) bool { return v == gone{} })
		for i, v := range in {
			in[i] = closeGaps(v)
		}
		return in
	}
	return in
}

// note adds a path to the record's list of a name, once and in order.
func note(record map[string]any, name, path string) {
	var all []string
	if list, ok := record[name].([]any); ok {
		for _, x := range list {
			if s, ok := x.(string); ok {
				all = append(all, s)
			}
		}
	}
	if !slices.Contains(all, path) {
		all = append(all, path)
	}
	sort.Strings(all)
	out := make([]any, len(all))
	for i, s := range all {
		out[i] = s
	}
	record[name] = out
}
