package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine/machine"
	"github.com/open-policy-agent/opa/v1/ast"
)

// Bounds of one decision. They are far above what policies need and far below
// what a reply may hold; past them the decision is malformed.
const (
	maxReasons         = 16
	maxReason          = 64
	maxHeaders         = 64
	maxHeaderName      = 128
	maxHeaderValue     = 8 << 10
	maxBody            = 32 << 10
	maxQueryParameters = 64
	maxQueryValue      = 4 << 10
	maxCharges         = 16
	maxBucketName      = 256
	maxRate            = 1e6
)

// parser reads one decision, whichever evaluator it came from. The first thing
// wrong with it is the error; what was read so far is thrown away.
type parser struct {
	edge *Edge
	d    *authz.Decision
	room *room
}

// room holds a decision of the usual size in one piece.
type room struct {
	decision authz.Decision
	reasons  [4]string
	headers  [12]authz.Header
	charges  [2]authz.Charge
	removals [4]string
}

// parseDecision reads what OPA's evaluator said.
func parseDecision(v ast.Value, edge *Edge) (*authz.Decision, error) {
	x, err := machine.FromAST(v)
	if err != nil {
		return nil, failf(Malformed, "%w", err)
	}
	return readDecision(x, edge)
}

// readDecision reads what the entry point said: a boolean, or an object with
// opa-envoy-plugin's fields and ours. Unknown fields are ignored, as there. The
// decision keeps texts of v but no value.
func readDecision(v *machine.Value, edge *Edge) (*authz.Decision, error) {
	r := new(room)
	p := parser{edge: edge, d: &r.decision, room: r}
	switch v.Kind() {
	case machine.Bool:
		p.d.Allowed = v.Bool()
	case machine.Object:
		if err := p.object(v); err != nil {
			return nil, failf(Malformed, "%w", err)
		}
	default:
		return nil, failf(Malformed, "the decision is of type %s, want a boolean or an object with \"allowed\"", kindName(v))
	}
	if len(p.d.Reasons) == 0 {
		p.d.Reasons = append(r.reasons[:0], authz.ReasonPolicyDenied)
		if p.d.Allowed {
			p.d.Reasons[0] = authz.ReasonMatchedPolicy
		}
	}
	return p.d, nil
}

func (p *parser) object(o *machine.Value) error {
	allowed := o.Field("allowed")
	if allowed == nil {
		return fmt.Errorf("the decision has no \"allowed\": give it a default of false")
	}
	if allowed.Kind() != machine.Bool {
		return wrongType("allowed", allowed, "a boolean")
	}
	p.d.Allowed = allowed.Bool()
	return eachField(o, func(k, v *machine.Value) error {
		if k.Kind() != machine.String {
			return nil
		}
		return p.field(k.Text(), v)
	})
}

// field reads one field; how the compound ones are read is in decision_fields.go.
func (p *parser) field(name string, v *machine.Value) (err error) {
	switch name {
	case "reasons":
		p.d.Reasons, err = p.reasons(v)
	case "headers":
		p.d.Headers, err = p.headers(name, v, !p.d.Allowed)
	case "response_headers_to_add":
		p.d.ResponseHeaders, err = p.headers(name, v, true)
	case "request_headers_to_remove":
		p.d.RemoveRequestHeaders, err = p.removals(v)
	case "http_status":
		p.d.Status, err = p.status(v)
	case "body":
		p.d.Body, err = boundedString(name, v, maxBody)
	case "query_parameters_to_set":
		p.d.QuerySet, err = p.querySet(v)
	case "query_parameters_to_remove":
		p.d.QueryRemove, err = stringList(name, v, nil, maxQueryParameters, maxQueryValue)
	case "dynamic_metadata":
		p.d.Metadata, err = p.metadata(v)
	case "rate_limits":
		p.d.Charges, err = p.charges(v)
	case "stream_until":
		p.d.StreamUntil, err = p.streamUntil(v)
	case "explain":
		if v.Kind() != machine.Bool {
			return wrongType(name, v, "a boolean")
		}
		p.d.Explain = v.Bool()
	}
	return err
}

func (p *parser) reasons(v *machine.Value) ([]string, error) {
	reasons, err := stringList("reasons", v, p.room.reasons[:0], maxReasons, maxReason)
	if err != nil {
		return nil, err
	}
	for i, r := range reasons {
		if !isCode(r) {
			return nil, fmt.Errorf("reasons[%d] is no code: want 1 to %d of a-z, 0-9 and _", i, maxReason)
		}
	}
	slices.Sort(reasons)
	return slices.Compact(reasons), nil
}

func isCode(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != ""
}

// status is read on an allow too, so that a bad one is found, but means
// nothing there.
func (p *parser) status(v *machine.Value) (int, error) {
	if v.Kind() != machine.Number {
		return 0, wrongType("http_status", v, "a number")
	}
	status, ok := v.Int()
	if !ok || status < 100 || status > 599 {
		return 0, fmt.Errorf("http_status is not a whole number from 100 to 599")
	}
	if p.d.Allowed {
		return 0, nil
	}
	return int(status), nil
}

func (p *parser) metadata(v *machine.Value) (map[string]any, error) {
	if v.Kind() != machine.Object {
		return nil, wrongType("dynamic_metadata", v, "an object")
	}
	c := converter{left: maxMetadataValues}
	m, err := c.nativeObject(v, 0)
	if err != nil {
		return nil, fmt.Errorf("dynamic_metadata: %w", err)
	}
	return m, nil
}

// maxMetadataValues bounds dynamic metadata, which Envoy copies into every
// access log line.
const maxMetadataValues = 1000

// streamUntil reads an instant: RFC 3339 text or nanoseconds since 1970.
func (p *parser) streamUntil(v *machine.Value) (time.Time, error) {
	switch v.Kind() {
	case machine.String:
		t, err := time.Parse(time.RFC3339Nano, v.Text())
		if err != nil {
			return time.Time{}, fmt.Errorf("stream_until is not RFC 3339, e.g. \"2026-03-05T20:00:00-06:00\"")
		}
		return t, nil
	case machine.Number:
		ns, ok := v.Int()
		// Seconds and milliseconds of any year after 1970 lie below 1e15; taken
		// as nanoseconds they would end every stream at once.
		if !ok || ns < 1e15 {
			return time.Time{}, fmt.Errorf("stream_until is not whole nanoseconds since 1970 (time.now_ns is; seconds are not)")
		}
		return time.Unix(0, ns), nil
	default:
		return time.Time{}, wrongType("stream_until", v, "RFC 3339 text or nanoseconds since 1970")
	}
}

// removals may name what may be set, and credentials, and no more: Envoy's
// mutation rules ignore the rest in silence, and the upstream would see what
// policy took away.
func (p *parser) removals(v *machine.Value) ([]string, error) {
	names, err := stringList("request_headers_to_remove", v, p.room.removals[:0], maxHeaders, maxHeaderName)
	if err != nil {
		return nil, err
	}
	for i, n := range names {
		if !validHeaderName(n) {
			return nil, fmt.Errorf("request_headers_to_remove[%d] is no header name", i)
		}
		if names[i] = strings.ToLower(n); !p.edge.removable(names[i]) {
			return nil, fmt.Errorf("request_headers_to_remove[%d] is %s, which policy may not change on the request: name it in set_headers of the routes file, or take it out", i, names[i])
		}
	}
	return names, nil
}

func wrongType(name string, v *machine.Value, want string) error {
	return fmt.Errorf("%s is of type %s, want %s", name, kindName(v), want)
}
