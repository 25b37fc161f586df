package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// taken says why a built-in function is not there, and what to do instead; ""
// means it is there. Policies are pure: what they ask of the world outside the
// request would be unbounded in time and could not be replayed.
func taken(name string) string {
	switch {
	case name == "http.send":
		return "policies make no requests: put what it fetched into the bundle's data or into the session's claims at sign-in"
	case name == "net.lookup_ip_addr":
		return "policies ask no name server: compare addresses with net.cidr_contains, with the ranges as data"
	case name == "opa.runtime":
		return "policies do not see the machine they run on: put settings into the bundle's data or the route's policy settings"
	case strings.HasPrefix(name, "rand."), name == "uuid.rfc4122":
		return "policies are repeatable and have no randomness: use input.attributes.request.http.id or input.session.id to tell requests or sessions apart"
	case strings.HasPrefix(name, "uuid."):
		return "uuid functions are not offered: compare the text itself, or use regex.match"
	}
	return ""
}

// capabilities are OPA's without what is taken, and without network access for
// remote schemas.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool { return taken(b.Name) != "" })
	c.AllowNet = []string{}
	return c
}

// checkBuiltins names every use of a taken built-in. The compiler would only
// say that the function is undefined.
func checkBuiltins(modules map[string]*ast.Module) []problem {
	var found []problem
	report := func(ref *ast.Term) bool {
		r, ok := ref.Value.(ast.Ref)
		if !ok {
			return false
		}
		name := r.String()
		if mend := taken(name); mend != "" {
			found = append(found, problem{ref.Location, fmt.Sprintf("built-in %s is not available: %s", name, mend)})
		}
		return false
	}
	for _, m := range modules {
		ast.WalkExprs(m, func(e *ast.Expr) bool {
			if terms, ok := e.Terms.([]*ast.Term); ok {
				report(terms[0])
			}
			for _, w := range e.With {
				report(w.Target)
				report(w.Value)
			}
			return false
		})
		ast.WalkTerms(m, func(t *ast.Term) bool {
			if call, ok := t.Value.(ast.Call); ok {
				report(call[0])
			}
			return false
		})
	}
	return found
}
