package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine/machine"
)

// rulesOf lists a program's rules as traces name them.
func rulesOf(m *machine.Program) []authz.Rule {
	rules := make([]authz.Rule, len(m.Rules()))
	for i, r := range m.Rules() {
		rules[i] = authz.Rule{Name: strings.TrimPrefix(r.Name, "data."), At: fmt.Sprintf("%s:%d", r.File, r.Row)}
	}
	return rules
}

// traceOf copies what a frame keeps of an evaluation; up to 256 rules make no
// garbage.
func traceOf(rules []authz.Rule, j *judgement) authz.Trace {
	t := authz.Trace{Rules: rules, Until: j.horizon.Until}
	if n := copy(t.Held[:], j.hits); n < len(j.hits) {
		t.More = slices.Clone(j.hits[n:])
	}
	if j.horizon.Volatile {
		t.Until = 1
	}
	return t
}
