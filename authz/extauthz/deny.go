package extauthz

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/extauthz/wire"
	"github.com/neosc/gate/session"
)

// failedRetry is when a client may try again after trouble of ours: most of it
// (a restart, a failover) is over within a second.
const failedRetry = time.Second

// deny answers anything but an allow. The gRPC status is never 0: Envoy reads
// status 0 as an allow, whatever else the message says.
func (s *Server) deny(c *call, o *authz.Outcome) {
	r, w := &c.r, &c.resp
	status := o.Status
	switch {
	case o.Decision != nil && o.Verdict == authz.Denied && (o.Decision.Body != "" || len(o.Decision.Headers) > 0):
		policyAnswer(w, o)
	case o.Verdict == authz.Unauthenticated && redirectable(r) && !byToken(r) && status == http.StatusUnauthorized && r.Route != nil:
		status = http.StatusFound
		s.toSignIn(r, w, s.opt.SignInURL)
	case s.provable(r, o) && redirectable(r):
		status = http.StatusFound
		s.toSignIn(r, w, s.opt.SecondFactorURL)
	case audienceOf(r) == person:
		s.page(r, o, w)
	default:
		writeProblem(r, o, w)
	}
	if o.Verdict == authz.Limited && o.Charge != nil {
		for _, h := range s.opt.LimitHeaders(*o.Charge, o.Spent) {
			w.Header(h.Name, h.Value)
		}
	}
	if status == http.StatusUnauthorized && (o.Verdict == authz.Unauthenticated || secondFactorAlone(o)) {
		w.Header("www-authenticate", challenge(o))
	}
	c.kind, c.code = wire.Denied, grpcCode(o.Verdict)
	if o.Verdict == authz.Failed { // answered as our own trouble: not retried, not counted as a denial
		w.Header("retry-after", strconv.Itoa(int(failedRetry.Seconds())))
		c.kind = wire.Error
	}
	w.Status(status)
	addMetadata(c, o)
}

// policyAnswer lets a policy word its own denial, as opa-envoy-plugin does.
func policyAnswer(w *wire.Response, o *authz.Outcome) {
	w.Body(o.Decision.Body)
	typed := false
	for _, h := range o.Decision.Headers {
		typed = typed || h.Name == "content-type"
		w.Header(h.Name, h.Value)
	}
	if o.Decision.Body != "" && !typed {
		w.Header("content-type", "text/plain; charset=utf-8")
	}
}

// provable reports whether a browser's session would get through by showing a
// second factor, and nothing else. The page on which that is done is not sent to
// itself: a policy that closes it is a mistake, and must not be a circle.
func (s *Server) provable(r *authz.Request, o *authz.Outcome) bool {
	if s.opt.SecondFactorURL == "" || o.Verdict != authz.Denied || r.Route == nil || r.Session == nil || r.Session.Kind != session.Browser || byToken(r) {
		return false
	}
	path, _, _ := strings.Cut(r.Path, "?")
	return secondFactorAlone(o) && !(r.Route.Gate && r.Route.Origin+path == s.opt.SecondFactorURL)
}

// secondFactorAlone reports whether that is all that is missing.
func secondFactorAlone(o *authz.Outcome) bool {
	return len(o.Reasons) == 1 && (o.Reasons[0] == authz.ReasonMFA || o.Reasons[0] == authz.ReasonStepUp)
}

// toSignIn redirects to a page of the gate's with the way back. The return target is built
// from the routes file's origin, never from Host or X-Forwarded-*.
func (s *Server) toSignIn(r *authz.Request, w *wire.Response, target string) {
	if origin := authz.OwnOrigin(r); origin != "" {
		target += "?rd=" + url.QueryEscape(origin+r.Path)
	}
	w.Header("location", target)
	w.Header("cache-control", "no-store")
}

func (s *Server) page(r *authz.Request, o *authz.Outcome, w *wire.Response) {
	p := s.opt.RefusalPage(Refusal{
		Status: o.Status, Reasons: o.Reasons, Request: r, Session: r.Session, RetryAfter: retryAfter(o),
		Charge: o.Charge, Spent: o.Spent,
		Explain: o.Decision != nil && o.Decision.Explain,
	})
	w.Header("content-type", p.ContentType)
	for _, h := range p.Headers {
		w.Header(h.Name, h.Value)
	}
	w.Body(p.Body)
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

// writeProblem answers a program.
func writeProblem(r *authz.Request, o *authz.Outcome, w *wire.Response) {
	p := problem{Type: "about:blank", Title: http.StatusText(o.Status), Status: o.Status, Detail: Detail(o.Reasons...), Reasons: o.Reasons, RequestID: clip(r.ID, 128)}
	if o.Verdict == authz.Limited {
		p.Type = "https://iana.org/assignments/http-problem-types#quota-exceeded"
	}
	b, err := json.Marshal(p)
	if err != nil { // cannot happen: strings and numbers only
		b = []byte(`{"type":"about:blank"}`)
	}
	w.Header("content-type", "application/problem+json")
	w.Header("cache-control", "no-store")
	w.Body(string(b))
}

// plainTrouble is the encoded answer when not even a refusal could be put
// together.
func plainTrouble() ([]byte, error) {
	var w wire.Response
	w.Status(http.StatusServiceUnavailable)
	w.Header("content-type", "application/problem+json")
	w.Header("retry-after", "1")
	w.Body(`{"type":"about:blank","title":"Service Unavailable","status":503,"reasons":["internal_error"]}`)
	return w.AppendTo(nil, wire.Error, grpcCode(authz.Failed))
}

// challenge is the WWW-Authenticate value (RFC 6750, 3): an error code only if
// credentials were presented; that of RFC 9470 if they are too weak.
func challenge(o *authz.Outcome) string {
	if secondFactorAlone(o) {
		return `Bearer realm="neosc", error="insufficient_user_authentication"`
	}
	if o.Reasons[0] == authz.ReasonUnauthenticated {
		return `Bearer realm="neosc"`
	}
	return `Bearer realm="neosc", error="invalid_token"`
}

func grpcCode(v authz.Verdict) uint8 {
	switch v {
	case authz.Unauthenticated:
		return uint8(codes.Unauthenticated)
	case authz.Limited:
		return uint8(codes.ResourceExhausted)
	case authz.Failed:
		return uint8(codes.Unavailable)
	default:
		return uint8(codes.PermissionDenied)
	}
}

// details say to a program's author what each of our reasons means.
var details = map[string]string{
	authz.ReasonUnauthenticated:     "Nobody is signed in. Sign in, or send a bearer token.",
	authz.ReasonInvalidToken:        "The bearer token opens nothing: it is malformed, expired, revoked or not for here.",
	authz.ReasonAmbiguous:           "The request carries two valid sessions. Send one.",
	authz.ReasonOriginMismatch:      "An unsafe request or an upgrade by cookie must carry the Origin of its own host or of one that the route allows.",
	authz.ReasonUnknownRoute:        "No route of the gate answers here.",
	authz.ReasonRateLimited:         "Too many requests. Retry-After says when the next one is admitted.",
	authz.ReasonBadRequest:          "The request cannot be read unambiguously.",
	authz.ReasonMethod:              "The method is not one that has rules here.",
	authz.ReasonPolicyError:         "The policy could not decide. Nothing was done; the operator's log has the cause under this request id.",
	authz.ReasonStoreUnavailable:    "Sessions cannot be looked up now. You are not signed out.",
	authz.ReasonLimitUnavailable:    "Limits cannot be looked up now.",
	authz.ReasonAuditUnavailable:    "What is decided cannot be kept now.",
	authz.ReasonInternalError:       "The gate failed on this request. The operator's log has the cause under this request id.",
	authz.ReasonCertificateExpired:  "The client certificate is not valid at this time.",
	authz.ReasonCertificateRevoked:  "The client certificate has been revoked.",
	authz.ReasonCertificateRequired: "This host wants a client certificate on a connection of its own.",
	authz.ReasonMFA:                 "A second factor is required, and this session began without one.",
	authz.ReasonStepUp:              "The second factor has to be shown anew.",
	"role_required":                 "None of your roles opens this.",
	"read_only":                     "Your role may read here, not write.",
	"demo_required":                 "This needs a demo session.",
	"demo_expired":                  "Your demo session is over.",
	"outside_business_hours":        "This is open in business hours only.",
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
