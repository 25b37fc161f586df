package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// Compile turns a policy set into a program, or says everything that is wrong
// with it: file, line, what and the mend. It is strict (unused variables and
// shadowed names are errors), type-checks against Schema, knows no built-in
// that reaches outside the request, and refuses what edge does not carry: a
// read of a header or body that is never forwarded would be undefined, and a
// rule that denies by it would never fire.
func Compile(src Source, edge Edge) (*Program, error) {
	if err := edge.validate(); err != nil {
		return nil, err
	}
	if src.EntryPoint == "" {
		src.EntryPoint = DefaultEntryPoint
	}
	entry, err := entryPoint(src.EntryPoint)
	if err != nil {
		return nil, err
	}
	if src.Revision == "" {
		if src.Revision, err = src.hash(); err != nil {
			return nil, err
		}
	}
	if len(src.Revision) > 128 || strings.ContainsFunc(src.Revision, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, errors.New("policy revision is longer than 128 bytes or has control characters")
	}
	modules, err := parse(src.Modules)
	if err != nil {
		return nil, err
	}
	data, err := baseDocument(src.Data)
	if err != nil {
		return nil, err
	}
	p := &Program{revision: src.Revision, data: src.Data, texts: maps.Clone(src.Modules), entry: planName(entry), edge: edge, build: newBuilder(edge), timeout: cmp.Or(src.Timeout, DefaultTimeout)}
	log := takeLogRules(modules)
	for name := range log {
		delete(p.texts, name)
	}
	others := map[string]*ast.Module{} // compiling changes modules
	for name, m := range modules {
		if len(log) > 0 {
			others[name] = m.Copy()
		}
	}
	if err := p.compile(modules, data, entry); err != nil {
		return nil, err
	}
	if err := p.compileLogRules(log, others); err != nil {
		return nil, err
	}
	if err := refusal(analyse(p.compiler, data, entry, &p.edge)); err != nil {
		return nil, err
	}
	return p, nil
}

// DefaultTimeout is how long one decision may take: several hundred times the
// usual, and less than callers wait.
const DefaultTimeout = 50 * time.Millisecond

// entryPoint reads "data.neosc.authz.decision" or "neosc/authz/decision".
func entryPoint(s string) (ast.Ref, error) {
	parts := strings.Split(s, "/")
	if dotted, ok := strings.CutPrefix(s, "data."); ok {
		parts = strings.Split(dotted, ".")
	}
	ref := ast.DefaultRootRef.Copy()
	for _, part := range parts {
		if !ast.IsVarCompatibleString(part) {
			return nil, fmt.Errorf("policy entry point %q is no path of a rule: write it as \"data.neosc.authz.decision\"", s)
		}
		ref = ref.Append(ast.StringTerm(part))
	}
	return ref, nil
}

// planName is how plans call an entry point.
func planName(entry ast.Ref) string {
	parts := make([]string, 0, len(entry))
	for _, t := range entry[1:] {
		parts = append(parts, string(t.Value.(ast.String)))
	}
	return strings.Join(parts, "/")
}

func parse(texts map[string]string) (map[string]*ast.Module, error) {
	if len(texts) == 0 {
		return nil, errors.New("policy refused: there are no .rego files in it")
	}
	opts := ast.ParserOptions{RegoVersion: ast.RegoV1, ProcessAnnotation: true}
	modules := make(map[string]*ast.Module, len(texts))
	var problems []problem
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		m, err := ast.ParseModuleWithOpts(name, texts[name], opts)
		if err != nil {
			problems = append(problems, compilerProblems(err)...)
			continue
		}
		modules[name] = m
	}
	problems = append(problems, checkBuiltins(modules)...)
	return modules, refusal(problems)
}

// maxDataValues bounds base data: 100,000 entries of some fields each fit well.
const maxDataValues = 5_000_000

func baseDocument(data map[string]any) (ast.Object, error) {
	c := converter{left: maxDataValues}
	t, err := c.object(data, 0)
	if err != nil {
		return nil, fmt.Errorf("policy data: %w", err)
	}
	return t.Value.(ast.Object), nil
}

// policyCompiler is strict, checks types against Schema and knows no built-in that
// is taken away. taken says which paths base data has, so that no rule hides one.
func policyCompiler(taken func([]string) (bool, error)) *ast.Compiler {
	schemas := ast.NewSchemaSet()
	schemas.Put(ast.SchemaRootRef, Schema())
	schemas.Put(ast.SchemaRootRef.Append(ast.StringTerm("input")), Schema())
	c := ast.NewCompiler().
		WithCapabilities(capabilities()).
		WithDefaultRegoVersion(ast.RegoV1).
		WithStrict(true).
		WithSchemas(schemas).
		WithUseTypeCheckAnnotations(true).
		WithPathConflictsCheck(taken)
	c.SetErrorLimit(maxProblems)
	return c
}

// compile fills in what evaluates.
func (p *Program) compile(modules map[string]*ast.Module, data ast.Object, entry ast.Ref) error {
	ctx := context.Background()
	p.store = inmem.NewFromASTObject(data)
	txn, err := p.store.NewTransaction(ctx)
	if err != nil {
		return fmt.Errorf("policy data: %w", err)
	}
	p.txn = txn // read-only and never closed: nobody ever writes to this store
	p.compiler = policyCompiler(storage.NonEmpty(ctx, p.store, txn))
	if p.compiler.Compile(modules); p.compiler.Failed() {
		return refusal(compilerProblems(p.compiler.Errors))
	}
	if len(p.compiler.GetRules(entry)) == 0 {
		return fmt.Errorf("policy refused: there is no rule %s; define it, or set policy.entrypoint to the rule that decides", entry)
	}
	qc := p.compiler.QueryCompiler()
	query := ast.NewBody(ast.Equality.Expr(ast.NewTerm(entry), ast.VarTerm(string(resultVar))))
	if p.query, err = qc.Compile(query); err != nil {
		return refusal(compilerProblems(err))
	}
	p.queryCompiler = qc
	return nil
}
