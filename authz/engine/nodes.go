package engine

import "github.com/open-policy-agent/opa/v1/ast"

// nodes is a set of places in the input document that still hold the request's
// headers or body somewhere below: what a value may be, when it is more than
// one field.
type nodes uint8

const (
	atInput nodes = 1 << iota
	atAttributes
	atRequest
	atHTTP
	atHeaders
)

// below says where a field of a node leads: to another node, or to 0 for a
// field without headers in it. A field that is not there at all is not in it.
var below = map[nodes]map[string]nodes{
	atInput: {
		"version": 0, "attributes": atAttributes, "parsed_path": 0, "parsed_query": 0, "route": 0, "session": 0,
	},
	atAttributes: {"source": 0, "destination": 0, "request": atRequest, "contextExtensions": 0},
	atRequest:    {"time": 0, "http": atHTTP},
	atHTTP: {
		"id": 0, "method": 0, "headers": atHeaders, "path": 0, "host": 0, "scheme": 0, "protocol": 0,
	},
}

var nodeNames = []string{
	"input", "input.attributes", "input.attributes.request", "input.attributes.request.http",
	"input.attributes.request.http.headers",
}

// each calls f with every single node of the set and its name.
func (n nodes) each(f func(one nodes, name string)) {
	for i, name := range nodeNames {
		if one := nodes(1) << i; n&one != 0 {
			f(one, name)
		}
	}
}

// deepest is the name of the node nearest to the headers.
func (n nodes) deepest() (name string) {
	n.each(func(_ nodes, s string) { name = s })
	return name
}

// reader is told what is read while a reference is followed; nil is told
// nothing.
type reader interface {
	header(name string, at *ast.Location)
	absent(field string, at *ast.Location)
	dynamic(node string, at *ast.Location)
}

// follow walks from a set of nodes along the rest of a reference and returns
// where it may end.
func follow(from nodes, rest []*ast.Term, at *ast.Location, r reader) nodes {
	for _, t := range rest {
		if from == 0 {
			return 0
		}
		key, fixed := t.Value.(ast.String)
		if !fixed {
			if !ast.IsConstant(t.Value) && r != nil {
				r.dynamic(from.deepest(), at)
			}
			return 0
		}
		var next nodes
		from.each(func(one nodes, name string) {
			if one == atHeaders {
				if r != nil {
					r.header(string(key), at)
				}
				return
			}
			to, there := below[one][string(key)]
			if !there && r != nil {
				r.absent(name+"."+string(key), at)
			}
			next |= to
		})
		from = next
	}
	return from
}
