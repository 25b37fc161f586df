package extauthz

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/neosc/gate/authz"
)

// failedRetry is when a client may try again after trouble of ours: most of it
// (a restart, a failover) is over within a second.
const failedRetry = time.Second

// deny answers anything but an allow. The gRPC status is never 0: Envoy reads
// status 0 as an allow, whatever else the message says.
func (s *Server) deny(r *authz.Request, o *authz.Outcome) *authv3.CheckResponse {
	body := &authv3.DeniedHttpResponse{}
	status := o.Status
	switch {
	case o.Decision != nil && o.Verdict == authz.Denied && (o.Decision.Body != "" || len(o.Decision.Headers) > 0):
		s.policyAnswer(body, o)
	case o.Verdict == authz.Unauthenticated && redirectable(r) && !byToken(r) && status == http.StatusUnauthorized && r.Route != nil:
		status = http.StatusFound
		s.toSignIn(r, body)
	case audienceOf(r) == person:
		s.page(r, o, body)
	default:
		s.problem(r, o, body)
	}
	addLimits(s, o, body)
	if o.Verdict == authz.Unauthenticated && status == http.StatusUnauthorized {
		add(body, "www-authenticate", challenge(o))
	}
	body.Status = &typev3.HttpStatus{Code: typev3.StatusCode(status)}
	resp := &authv3.CheckResponse{
		Status:          &rpcstatus.Status{Code: int32(grpcCode(o.Verdict))},
		DynamicMetadata: metadata(r, o),
	}
	if o.Verdict == authz.Failed { // answered as our own trouble: not retried, not counted as a denial
		add(body, "retry-after", strconv.Itoa(int(failedRetry.Seconds())))
		resp.HttpResponse = &authv3.CheckResponse_ErrorResponse{ErrorResponse: body}
	} else {
		resp.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: body}
	}
	return resp
}

// policyAnswer lets a policy word its own denial, as opa-envoy-plugin does.
func (s *Server) policyAnswer(body *authv3.DeniedHttpResponse, o *authz.Outcome) {
	body.Body = o.Decision.Body
	typed := false
	for _, h := range o.Decision.Headers {
		typed = typed || h.Name == "content-type"
		add(body, h.Name, h.Value)
	}
	if body.Body != "" && !typed {
		add(body, "content-type", "text/plain; charset=utf-8")
	}
}

// toSignIn redirects to the gate with the way back. The return target is built
// from the routes file's origin, never from Host or X-Forwarded-*.
func (s *Server) toSignIn(r *authz.Request, body *authv3.DeniedHttpResponse) {
	target := s.opt.SignInURL
	if origin := authz.OwnOrigin(r); origin != "" {
		target += "?rd=" + url.QueryEscape(origin+r.Path)
	}
	add(body, "location", target)
	add(body, "cache-control", "no-store")
}

func (s *Server) page(r *authz.Request, o *authz.Outcome, body *authv3.DeniedHttpResponse) {
	p := s.opt.RefusalPage(Refusal{
		Status: o.Status, Reasons: o.Reasons, Request: r, Session: r.Session, RetryAfter: retryAfter(o),
		Charge: o.Charge, Spent: o.Spent,
		Explain: o.Decision != nil && o.Decision.Explain,
	})
	add(body, "content-type", p.ContentType)
	for _, h := range p.Headers {
		add(body, h.Name, h.Value)
	}
	body.Body = p.Body
}

// retryAfter is the wait that a page advises.
func retryAfter(o *authz.Outcome) time.Duration {
	if o.Verdict == authz.Failed {
		return failedRetry
	}
	return o.Spent.RetryAfter
}

// problem is a problem document (RFC 9457) for programs.
type problem struct {
	Type      string   `json:"type"`
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Detail    string   `json:"detail"`
	Reasons   []string `json:"reasons"`
	RequestID string   `json:"request_id,omitempty"`
}

func (s *Server) problem(r *authz.Request, o *authz.Outcome, body *authv3.DeniedHttpResponse) {
	p := problem{Type: "about:blank", Title: http.StatusText(o.Status), Status: o.Status, Detail: Detail(o.Reasons...), Reasons: o.Reasons, RequestID: clip(r.ID, 128)}
	if o.Verdict == authz.Limited {
		p.Type = "https://iana.org/assignments/http-problem-types#quota-exceeded"
	}
	b, err := json.Marshal(p)
	if err != nil { // cannot happen: strings and numbers only
		b = []byte(`{"type":"about:blank"}`)
	}
	add(body, "content-type", "application/problem+json")
	add(body, "cache-control", "no-store")
	body.Body = string(b)
}

// plainTrouble is the answer when not even a refusal could be put together.
func (s *Server) plainTrouble() *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(codes.Unavailable)},
		HttpResponse: &authv3.CheckResponse_ErrorResponse{ErrorResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
			Body:   `{"type":"about:blank","title":"Service Unavailable","status":503,"reasons":["internal_error"]}`,
			Headers: []*corev3.HeaderValueOption{
				{Header: &corev3.HeaderValue{Key: "content-type", Value: "application/problem+json"}},
				{Header: &corev3.HeaderValue{Key: "retry-after", Value: "1"}},
			},
		}},
	}
}

func addLimits(s *Server, o *authz.Outcome, body *authv3.DeniedHttpResponse) {
	if o.Verdict == authz.Limited && o.Charge != nil {
		for _, h := range s.opt.LimitHeaders(*o.Charge, o.Spent) {
			add(body, h.Name, h.Value)
		}
	}
}

// challenge is the WWW-Authenticate value (RFC 6750, 3): an error code only if
// credentials were presented.
func challenge(o *authz.Outcome) string {
	if o.Reasons[0] == authz.ReasonUnauthenticated {
		return `Bearer realm="neosc"`
	}
	return `Bearer realm="neosc", error="invalid_token"`
}

// add appends a response header. The action stays unset: that is how repeated
// fields (Set-Cookie) all arrive.
func add(body *authv3.DeniedHttpResponse, name, value string) {
	body.Headers = append(body.Headers, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: value}})
}

func grpcCode(v authz.Verdict) codes.Code {
	switch v {
	case authz.Unauthenticated:
		return codes.Unauthenticated
	case authz.Limited:
		return codes.ResourceExhausted
	case authz.Failed:
		return codes.Unavailable
	default:
		return codes.PermissionDenied
	}
}

// details say to a program's author what each of our reasons means.
var details = map[string]string{
	authz.ReasonUnauthenticated:  "Nobody is signed in. Sign in, or send a bearer token.",
	authz.ReasonInvalidToken:     "The bearer token opens nothing: it is malformed, expired, revoked or not for here.",
	authz.ReasonAmbiguous:        "The request carries two valid sessions. Send one.",
	authz.ReasonOriginMismatch:   "An unsafe request or an upgrade by cookie must carry the Origin of its own host or of one that the route allows.",
	authz.ReasonUnknownRoute:     "No route of the gate answers here.",
	authz.ReasonRateLimited:      "Too many requests. Retry-After says when the next one is admitted.",
	authz.ReasonBadRequest:       "The request cannot be read unambiguously.",
	authz.ReasonMethod:           "The method is not one that has rules here.",
	authz.ReasonPolicyError:      "The policy could not decide. Nothing was done; the operator's log has the cause under this request id.",
	authz.ReasonStoreUnavailable: "Sessions cannot be looked up now. You are not signed out.",
	authz.ReasonLimitUnavailable: "Limits cannot be looked up now.",
	authz.ReasonInternalError:    "The gate failed on this request. The operator's log has the cause under this request id.",
	"role_required":              "None of your roles opens this.",
	"read_only":                  "Your role may read here, not write.",
	"demo_required":              "This needs a demo session.",
	"demo_expired":               "Your demo session is over.",
	"outside_business_hours":     "This is open in business hours only.",
}

// Detail says in a sentence what one or more reasons mean; reasons that are a
// policy's own have none.
func Detail(reasons ...string) string {
	var known []string
	for _, r := range reasons {
		if d, ok := details[r]; ok {
			known = append(known, d)
		}
	}
	if len(known) == 0 {
		return "Policy refuses this request."
	}
	return strings.Join(known, " ")
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
