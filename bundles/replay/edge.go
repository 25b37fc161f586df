package replay

import (
	"slices"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
)

// Edge says which requests were recorded behind the same edge as the policy that
// is tried is meant for. What another edge did not forward is in no record, and
// looks as if it had not been sent. The zero value takes all records as complete.
type Edge struct {
	// Routes is the revision of the routes file, which Envoy names in each request.
	Routes string
	// Unsure are the headers that the policy may read and that not every edge
	// forwards, in lower case. A name that ends in "*" is in no request.
	Unsure []string
}

// EdgeOf is the edge of a routes file with that revision, which forwards the
// headers forwarded, among them those that every edge does. j reads no others:
// a policy that does is refused for this edge.
func EdgeOf(j *engine.Judge, revision string, forwarded, always []string) Edge {
	e := Edge{Routes: revision}
	names, all, _ := j.Needs()
	if all {
		names = forwarded
	}
	for _, name := range names {
		if !slices.Contains(always, name) {
			e.Unsure = append(e.Unsure, name)
		}
	}
	return e
}

// lacks returns a pointer to what r may lack because another edge saw it.
func (e *Edge) lacks(r *authz.Request) string {
	if len(e.Unsure) == 0 || e.Routes != "" && r.Extensions["routes"] == e.Routes {
		return ""
	}
	for _, name := range e.Unsure {
		if _, n := r.Headers.Get(name); n == 0 {
			return "/input/attributes/request/http/headers/" + name
		}
	}
	return ""
}
