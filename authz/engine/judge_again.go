package engine

import (
	"context"
	"unicode/utf8"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine/machine"
)

// Again is Decide for a request of which it is known what was decided. If that is
// decided again, same is true and there is no decision: none is made to be compared
// and thrown away. It may be false though nothing differs: whoever gets a decision
// looks what of it does.
func (j *Judge) Again(ctx context.Context, r *authz.Request, was *authz.Decision) (d *authz.Decision, same bool, err error) {
	if j.fast == nil {
		d, err = j.program.Decide(ctx, r)
		return d, false, err
	}
	d, same, err = j.against(ctx, r, was)
	if err == errLeft {
		d, err = j.program.Decide(ctx, r)
	}
	return d, same, err
}

// says reports whether v is a decision that readDecision takes and that says what
// was says, without making one: where it can be told at a glance, that is. What
// is rare, such as a header with several values or in upper case, counts as
// another.
func says(v *machine.Value, was *authz.Decision, edge *Edge) bool {
	if v.Kind() != machine.Object {
		return false
	}
	allowed := v.Field("allowed")
	if allowed == nil || allowed.Kind() != machine.Bool || allowed.Bool() != was.Allowed {
		return false
	}
	c := comparison{was: was, edge: edge}
	for i := range v.Len() {
		if k := v.Key(i); k.Kind() == machine.String && !c.field(k.Text(), v.At(i)) {
			return false
		}
	}
	return c.complete()
}

// comparison goes through the fields of a decision.
type comparison struct {
	was  *authz.Decision
	edge *Edge
	// Fields that were there: of the others was must have none.
	reasons, status, headers, response, removals, body, charges, stream, explain bool
}

// complete reports whether was says nothing besides.
func (c *comparison) complete() bool {
	was := c.was
	return c.reasons &&
		(c.status || was.Status == 0) &&
		(c.headers || len(was.Headers) == 0) &&
		(c.response || len(was.ResponseHeaders) == 0) &&
		(c.removals || len(was.RemoveRequestHeaders) == 0) &&
		(c.body || was.Body == "") &&
		(c.charges || len(was.Charges) == 0) &&
		(c.stream || was.StreamUntil.IsZero()) &&
		(c.explain || !was.Explain) &&
		len(was.QuerySet)+len(was.QueryRemove)+len(was.Metadata) == 0
}

// field reports whether a field has what was has.
func (c *comparison) field(name string, v *machine.Value) bool {
	was := c.was
	switch name {
	case "reasons":
		c.reasons = true
		return sameReasons(v, was.Reasons)
	case "headers":
		c.headers = true
		return c.sameHeaders(v, was.Headers, !was.Allowed)
	case "response_headers_to_add":
		c.response = true
		return c.sameHeaders(v, was.ResponseHeaders, true)
	case "request_headers_to_remove":
		c.removals = true
		return c.sameRemovals(v)
	case "http_status":
		c.status = true
		status, err := (&parser{d: was}).status(v)
		return err == nil && status == was.Status
	case "body":
		c.body = true
		return v.Kind() == machine.String && v.Text() == was.Body && len(was.Body) <= maxBody && utf8.ValidString(was.Body)
	case "rate_limits":
		c.charges = true
		return sameCharges(v, was.Charges)
	case "stream_until":
		c.stream = true
		end, err := (&parser{d: was}).streamUntil(v)
		return err == nil && end.Equal(was.StreamUntil)
	case "explain":
		c.explain = true
		return v.Kind() == machine.Bool && v.Bool() == was.Explain
	case "query_parameters_to_set", "query_parameters_to_remove", "dynamic_metadata":
		return false
	}
	return true // allowed, or a field that means nothing
}

// sameReasons takes codes in their order, each once.
func sameReasons(v *machine.Value, was []string) bool {
	if n := v.Len(); (v.Kind() != machine.Array && v.Kind() != machine.Set) || n != len(was) || n == 0 || n > maxReasons {
		return false
	}
	v.Sort()
	for i := range was {
		code := v.At(i).Text()
		if code != was[i] || len(code) > maxReason || !isCode(code) || i > 0 && was[i-1] >= code {
			return false
		}
	}
	return true
}

func (c *comparison) sameHeaders(o *machine.Value, was []authz.Header, response bool) bool {
	if o.Kind() != machine.Object || o.Len() != len(was) || len(was) > maxHeaders {
		return false
	}
	o.Sort()
	for i := range was {
		k, v := o.Key(i).Text(), o.At(i)
		if k != was[i].Name || v.Kind() != machine.String || v.Text() != was[i].Value || !validHeaderValue(was[i].Value) {
			return false
		}
		name := c.edge.nameOf(k)
		settable := name.settable
		if response {
			settable = name.responseSettable
		}
		if !name.valid || name.lower != k || !settable {
			return false
		}
	}
	return true
}

func (c *comparison) sameRemovals(v *machine.Value) bool {
	was := c.was.RemoveRequestHeaders
	if (v.Kind() != machine.Array && v.Kind() != machine.Set) || v.Len() != len(was) || len(was) > maxHeaders {
		return false
	}
	v.Sort()
	for i := range was {
		name := v.At(i).Text()
		if name != was[i] || len(name) > maxHeaderName {
			return false
		}
		if n := c.edge.nameOf(name); !n.valid || n.lower != name || !c.edge.removable(name) {
			return false
		}
	}
	return true
}

func sameCharges(v *machine.Value, was []authz.Charge) bool {
	if (v.Kind() != machine.Array && v.Kind() != machine.Set) || v.Len() != len(was) || len(was) > maxCharges {
		return false
	}
	v.Sort()
	for i := range was {
		if v.At(i).Kind() != machine.Object {
			return false
		}
		if now, err := charge(v.At(i)); err != nil || now != was[i] {
			return false
		}
	}
	return true
}
