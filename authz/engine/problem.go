package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// maxProblems bounds the text of a refusal; the rest is counted.
const maxProblems = 20

// problem is one reason why a policy set is refused.
type problem struct {
	at   *ast.Location
	text string
}

func (p problem) String() string {
	if p.at == nil || p.at.File == "" {
		return p.text
	}
	return fmt.Sprintf("%s:%d: %s", p.at.File, p.at.Row, p.text)
}

// refusal turns problems into one error, sorted by file and line, each once;
// nil for none.
func refusal(ps []problem) error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b problem) int {
		return a.at.Compare(b.at)
	})
	var lines []string
	for _, p := range ps {
		if s := p.String(); !slices.Contains(lines, s) {
			lines = append(lines, s)
		}
	}
	if more := len(lines) - maxProblems; more > 0 {
		lines = append(lines[:maxProblems], fmt.Sprintf("and %d more", more))
	}
	return errors.New("policy refused:\n  " + strings.Join(lines, "\n  "))
}

// compilerProblems turns what OPA's parser and compiler found into problems,
// with what the input document does hold where a policy misread it.
func compilerProblems(err error) []problem {
	errs, ok := errors.AsType[ast.Errors](err)
	if !ok {
		return []problem{{nil, err.Error()}}
	}
	ps := make([]problem, 0, len(errs))
	for _, e := range errs {
		text := e.Message
		if d, ok := e.Details.(*ast.RefErrInvalidDetail); ok && d.Ref.HasPrefix(ast.InputRootRef) {
			text += fieldsOf(d)
		}
		ps = append(ps, problem{e.Location, strings.ReplaceAll(text, "\n", " ")})
	}
	return ps
}

func fieldsOf(d *ast.RefErrInvalidDetail) string {
	var at strings.Builder
	at.WriteString("input")
	for _, t := range d.Ref[1:min(d.Pos, len(d.Ref))] {
		at.WriteString("." + strings.Trim(t.String(), `"`))
	}
	names := make([]string, len(d.OneOf))
	for i, v := range d.OneOf {
		names[i] = strings.Trim(v.String(), `"`)
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s has %s)", at.String(), strings.Join(names, ", "))
}
