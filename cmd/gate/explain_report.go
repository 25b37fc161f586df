package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/extauthz"
	"github.com/neosc/gate/session"
)

// report is an explanation as gate explain prints it. Its JSON names are
// documented in docs/explain.md and stable: fields may be added.
type report struct {
	Verdict string         `json:"verdict"` // allow, deny, limit or error
	Status  int            `json:"status"`
	Reasons []reportReason `json:"reasons"`
	Request reportRequest  `json:"request"`
	Who     *reportWho     `json:"who"` // null: nobody is signed in
	Policy  reportPolicy   `json:"policy"`
	Headers reportHeaders  `json:"headers"`
	Limits  []reportLimit  `json:"limits"`
	// StreamUntil is when a stream that this request opens would be ended.
	StreamUntil *time.Time `json:"stream_until,omitempty"`
	// Recorded is what was decided when the request came; only by request id.
	Recorded *reportRecorded    `json:"recorded,omitempty"`
	Notes    []string           `json:"notes"`
	Rules    []engine.RuleTrace `json:"rules"`
	Trace    reportTrace        `json:"trace"`
}

type reportReason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

type reportRequest struct {
	ID     string    `json:"id,omitempty"`
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	Host   string    `json:"host"`
	Path   string    `json:"path"`
	Route  string    `json:"route"`
	// Matched says by which entry of the routes file.
	Matched string `json:"matched,omitempty"`
	From    string `json:"from,omitempty"`
	// LocalTime is Time in the zone of the policy's hours.
	LocalTime string `json:"local_time,omitempty"`
}

type reportWho struct {
	Email        string   `json:"email"`
	User         string   `json:"user"`
	Organization string   `json:"organization,omitempty"`
	Roles        []string `json:"roles"`
	Groups       []string `json:"groups"`
	Kind         string   `json:"kind"`
	Session      string   `json:"session,omitempty"`
	// Source is where roles and claims come from.
	Source string `json:"source"`
}

type reportPolicy struct {
	Revision   string `json:"revision"`
	Generation uint64 `json:"generation,omitempty"`
	Source     string `json:"source"`
	// Switches are what the policy's switches stood at; absent if it has none.
	Switches map[string]session.SwitchValue `json:"switches,omitempty"`
}

func (q *question) policy() reportPolicy {
	out := reportPolicy{Revision: q.program.Revision(), Generation: q.generation, Source: q.source}
	text, err := json.Marshal(q.program.Data("neosc", "switches"))
	if err != nil || json.Unmarshal(text, &out.Switches) != nil {
		out.Switches = nil // data of another shape: no switches
	}
	return out
}

type reportHeaders struct {
	Set      []reportHeader `json:"set"`      // on the request to the upstream, or on a refusal
	Removed  []string       `json:"removed"`  // from the request to the upstream
	Response []reportHeader `json:"response"` // added to the upstream's answer
}

type reportHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type reportLimit struct {
	Name              string  `json:"name"`
	Key               string  `json:"key"`
	RequestsPerSecond float64 `json:"requests_per_second"`
	Burst             int     `json:"burst"`
	Cost              int     `json:"cost"`
}

type reportRecorded struct {
	Verdict    string         `json:"verdict"`
	Status     int            `json:"status"`
	Reasons    []reportReason `json:"reasons"`
	Revision   string         `json:"revision,omitempty"`
	Generation uint64         `json:"generation,omitempty"`
	TookMicros float64        `json:"took_us"`
	Limit      *reportLimit   `json:"limit,omitempty"`
	RetryAfter float64        `json:"retry_after_s,omitempty"`
	// SamePolicy: the rules of then are those of now. Agrees: so is the verdict.
	SamePolicy bool     `json:"same_policy"`
	Agrees     bool     `json:"agrees"`
	LeftOut    []string `json:"left_out"`
}

type reportTrace struct {
	Events int  `json:"events"`
	Cut    bool `json:"cut"`
}

// question is one request to explain.
type question struct {
	program    *engine.Program
	generation uint64
	source     string // of the policy
	cookieName string
	request    *authz.Request
	session    *session.Session // who asks; nil for nobody
	whoSource  string
	matched    string
	notes      []string
}

// explain decides the question as the gate decides requests, with rules traced
// and nothing charged.
func (q *question) explain(ctx context.Context) (*report, error) {
	r := q.request
	r.Session = nil
	r.Headers = q.withCredential()
	d, err := authz.NewDecider(authz.Options{
		Sessions: onlySession{q.session}, Engine: numbered{q.program, q.generation}, Limiter: chargesNothing{}, CookieName: q.cookieName,
	})
	if err != nil {
		return nil, err
	}
	o := d.Decide(ctx, r)
	out := &report{
		Verdict: o.Verdict.String(), Status: o.Status, Reasons: reasonsOf(o.Reasons), Who: whoOf(q.session, q.whoSource),
		Policy: q.policy(),
	}
	out.complete()
	out.Notes = append(out.Notes, q.notes...)
	hide := func(s string) string { return s }
	if policyAsked(o) {
		e, err := q.program.Explain(ctx, r)
		if err != nil {
			return nil, err
		}
		hide = e.Hide
		out.Rules, out.Trace = e.Rules, reportTrace{e.Events, e.Cut}
		if e.Cut {
			out.Notes = append(out.Notes, "the trace was longer than is read; a rule that is said not to have held may have held later")
		}
	} else {
		out.Notes = append(out.Notes, "the gate answered this by itself, before policy was asked")
	}
	out.Request = q.requestOf(hide)
	if o.Err != nil {
		out.Notes = append(out.Notes, hide(o.Err.Error()))
	}
	out.mutations(q, o, hide)
	return out, nil
}

// complete makes lists of what is empty: in JSON [] and not null.
func (out *report) complete() {
	out.Limits, out.Notes, out.Rules = []reportLimit{}, []string{}, []engine.RuleTrace{}
	out.Headers = reportHeaders{[]reportHeader{}, []string{}, []reportHeader{}}
}

// policyAsked reports whether the outcome is of policy's making.
func policyAsked(o *authz.Outcome) bool {
	return o.Decision != nil || o.Verdict == authz.Failed && len(o.Reasons) == 1 && o.Reasons[0] == authz.ReasonPolicyError
}

func reasonsOf(codes []string) []reportReason {
	out := []reportReason{}
	for _, c := range codes {
		text := extauthz.Detail(c)
		if c == authz.ReasonMatchedPolicy {
			text = "Policy lets this request through."
		}
		out = append(out, reportReason{c, text})
	}
	return out
}

func whoOf(s *session.Session, source string) *reportWho {
	if s == nil {
		return nil
	}
	id := s.Identity
	w := &reportWho{
		Email: id.Email, User: id.UserID, Organization: id.Organization, Roles: append([]string{}, id.Roles...),
		Groups: append([]string{}, id.Groups...), Kind: string(s.Kind), Source: source,
	}
	if s.Key != (session.Key{}) {
		w.Session = s.Key.Short()
	}
	return w
}

func (q *question) requestOf(hide func(string) string) reportRequest {
	r := q.request
	out := reportRequest{ID: r.ID, Time: r.Time.UTC(), Method: r.Method, Host: r.Host, Path: hide(r.Path), Route: r.RouteName, Matched: q.matched}
	if a := r.Source.Addr.Addr(); a.IsValid() {
		out.From = a.String()
	}
	if zone := policyZone(q.program); zone != time.UTC {
		out.LocalTime = r.Time.In(zone).Format("Mon 2006-01-02 15:04:05") + " " + zone.String()
	}
	return out
}

// mutations fills in what the decision would do.
func (out *report) mutations(q *question, o *authz.Outcome, hide func(string) string) {
	d := o.Decision
	if d == nil {
		return
	}
	headers := func(hs []authz.Header) []reportHeader {
		list := []reportHeader{}
		for _, h := range hs {
			v := hide(h.Value)
			if authz.SecretName(h.Name) {
				v = authz.Masked
			}
			list = append(list, reportHeader{h.Name, v})
		}
		return list
	}
	out.Headers.Set, out.Headers.Response = headers(d.Headers), headers(d.ResponseHeaders)
	if o.Verdict == authz.Allowed {
		out.Headers.Removed = append(out.Headers.Removed, d.RemoveRequestHeaders...)
		if r := q.request.Route; r != nil && !r.Gate {
			out.Headers.Removed = append(out.Headers.Removed, "cookie "+q.cookieName)
			if !r.PassAuthorization {
				out.Headers.Removed = append(out.Headers.Removed, "authorization")
			}
		}
		for _, c := range d.Charges {
			out.Limits = append(out.Limits, limitOf(c, hide))
		}
	}
	if o.StreamFor > 0 {
		end := q.request.Time.Add(o.StreamFor).UTC()
		out.StreamUntil = &end
	}
}

func limitOf(c authz.Charge, hide func(string) string) reportLimit {
	return reportLimit{c.Name, hide(c.Key), c.Rate, c.Burst, c.Cost}
}

// credential stands for the one that the session would have come by. It opens
// nothing, and policy never sees the cookie.
const credential = "explained"

func (q *question) withCredential() authz.Headers {
	hs := append(authz.Headers(nil), q.request.Headers...)
	switch {
	case q.session == nil:
		return hs
	case q.session.Kind == session.Browser:
		return append(hs, authz.Header{Name: "cookie", Value: q.cookieName + "=" + credential})
	default:
		return append(hs, authz.Header{Name: "authorization", Value: "Bearer " + credential})
	}
}

// onlySession opens one session by whatever credential.
type onlySession struct{ s *session.Session }

func (x onlySession) ByCookies(ctx context.Context, _ []string, now time.Time) (*session.Session, error) {
	return x.ByBearer(ctx, "", now)
}

func (x onlySession) ByBearer(context.Context, string, time.Time) (*session.Session, error) {
	if x.s == nil {
		return nil, session.ErrInvalid
	}
	return x.s, nil
}

// numbered decides by one program, under the number that it has in the gate.
type numbered struct {
	program    *engine.Program
	generation uint64
}

func (n numbered) Decide(ctx context.Context, r *authz.Request) (*authz.Decision, error) {
	d, err := n.program.Decide(ctx, r)
	if err != nil {
		return nil, err
	}
	d.Generation = n.generation
	return d, nil
}

// chargesNothing lets every charge pass and takes none.
type chargesNothing struct{}

func (chargesNothing) Spend(context.Context, time.Time, []authz.Charge) (authz.Spent, error) {
	return authz.Spent{Allowed: true, Limiting: -1}, nil
}

// policyZone is the time zone of the policy's hours, UTC where it has none.
func policyZone(p *engine.Program) *time.Location {
	name, _ := p.Data("neosc", "hours", "timezone").(string)
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}
