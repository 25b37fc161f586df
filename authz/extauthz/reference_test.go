package extauthz

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// generated answers by the generated messages, which is what the answers that
// are written as bytes must decode to.
type generated struct{ opt Options }

func (s generated) answer(r *authz.Request, o *authz.Outcome) *authv3.CheckResponse {
	if o.Verdict == authz.Allowed {
		return s.allow(r, o)
	}
	return s.deny(r, o)
}

func (s generated) allow(r *authz.Request, o *authz.Outcome) *authv3.CheckResponse {
	d := o.Decision
	ok := &authv3.OkHttpResponse{}
	for _, h := range d.Headers {
		if !s.opt.Settable(h.Name) || h.Name == s.opt.AssertionHeader {
			s.opt.Logger.Error("policy sets a request header that set_headers of the routes file does not name, or the signed identity", "header", h.Name, "route", r.RouteName)
			return s.deny(r, refPolicyFault(o))
		}
		refSet(ok, h)
	}
	if r.Session != nil && r.Route.PassIdentityHeaders {
		token, err := s.opt.Assertion(r.Session, r.Host, r.Time)
		if err != nil {
			s.opt.Logger.Error("the identity cannot be signed", "error", err, "route", r.RouteName, "request_id", clip(r.ID, 128))
			return s.deny(r, refOwnFault(o))
		}
		ok.Headers = append(ok.Headers, refOverwrite(s.opt.AssertionHeader, token))
	}
	ok.HeadersToRemove = append(ok.HeadersToRemove, d.RemoveRequestHeaders...)
	if !r.Route.Gate {
		s.stripCredentials(r, ok)
	}
	if o.StreamFor > 0 {
		ms := max(1, o.StreamFor.Milliseconds())
		ok.Headers = append(ok.Headers, refOverwrite(streamLimitHeader, strconv.FormatInt(ms, 10)))
	}
	for _, h := range d.ResponseHeaders {
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: h.Name, Value: h.Value}})
	}
	if bad, fine := refSetQuery(ok, d); !fine {
		s.opt.Logger.Error("policy sets a query parameter that needs percent-encoding, which Envoy refuses with validate_mutations on", "parameter", bad, "route", r.RouteName)
		return s.deny(r, refPolicyFault(o))
	}
	return &authv3.CheckResponse{
		Status:          &rpcstatus.Status{},
		HttpResponse:    &authv3.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: refMetadata(r, o),
	}
}

func refSetQuery(ok *authv3.OkHttpResponse, d *authz.Decision) (bad string, fine bool) {
	for _, q := range d.QuerySet {
		if !plainQuery(q.Name) || !plainQuery(q.Value) {
			return q.Name, false
		}
		ok.QueryParametersToSet = append(ok.QueryParametersToSet, &corev3.QueryParameter{Key: q.Name, Value: q.Value})
	}
	for _, name := range d.QueryRemove {
		ok.QueryParametersToRemove = append(ok.QueryParametersToRemove, url.QueryEscape(name))
	}
	return "", true
}

func (s generated) stripCredentials(r *authz.Request, ok *authv3.OkHttpResponse) {
	if _, n := r.Headers.Get("authorization"); n > 0 && !r.Route.PassAuthorization {
		ok.HeadersToRemove = append(ok.HeadersToRemove, "authorization")
	}
	var rest []string
	found := false
	for _, h := range r.Headers {
		if h.Name != "cookie" {
			continue
		}
		kept, had := session.StripCookie(h.Value, s.opt.CookieName)
		found = found || had
		if !utf8.ValidString(kept) {
			kept = readableCookies(kept)
		}
		if kept != "" {
			rest = append(rest, kept)
		}
	}
	switch {
	case !found:
	case len(rest) == 0:
		ok.HeadersToRemove = append(ok.HeadersToRemove, "cookie")
	default: // setting Cookie overwrites every field of that name
		ok.Headers = append(ok.Headers, refOverwrite("cookie", strings.Join(rest, "; ")))
	}
}

func refSet(ok *authv3.OkHttpResponse, h authz.Header) {
	for _, before := range ok.Headers {
		if before.Header.Key == h.Name {
			before.Header.Value += ", " + h.Value
			return
		}
	}
	ok.Headers = append(ok.Headers, refOverwrite(h.Name, h.Value))
}

func refOverwrite(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

func refMetadata(r *authz.Request, o *authz.Outcome) *structpb.Struct {
	f := make(map[string]*structpb.Value, 8)
	if o.Decision != nil {
		for k, v := range o.Decision.Metadata {
			if pv, err := structpb.NewValue(v); err == nil {
				f[k] = pv
			}
		}
		f["policy_revision"] = structpb.NewStringValue(o.Decision.Revision)
	}
	f["decision"] = structpb.NewStringValue(o.Verdict.String())
	f["reason"] = structpb.NewStringValue(strings.Join(o.Reasons, ","))
	if s := r.Session; s != nil {
		f["user"] = structpb.NewStringValue(s.Identity.UserID)
		f["email"] = structpb.NewStringValue(s.Identity.Email)
		f["session"] = structpb.NewStringValue(s.Key.Short())
	}
	return &structpb.Struct{Fields: f}
}

func refPolicyFault(o *authz.Outcome) *authz.Outcome {
	return refFault(o, authz.ReasonPolicyError)
}

func refOwnFault(o *authz.Outcome) *authz.Outcome { return refFault(o, authz.ReasonInternalError) }

func refFault(o *authz.Outcome, reason string) *authz.Outcome {
	return &authz.Outcome{Verdict: authz.Failed, Status: 503, Reasons: []string{reason}, Session: o.Session}
}

func (s generated) deny(r *authz.Request, o *authz.Outcome) *authv3.CheckResponse {
	body := &authv3.DeniedHttpResponse{}
	status := o.Status
	switch {
	case o.Decision != nil && o.Verdict == authz.Denied && (o.Decision.Body != "" || len(o.Decision.Headers) > 0):
		s.policyAnswer(body, o)
	case o.Verdict == authz.Unauthenticated && redirectable(r) && !byToken(r) && status == http.StatusUnauthorized && r.Route != nil:
		status = http.StatusFound
		s.toSignIn(r, body, s.opt.SignInURL)
	case o.Verdict == authz.Denied && (refOnly(o, "mfa_required") || refOnly(o, "step_up_required")) && redirectable(r) && !byToken(r) &&
		r.Session != nil && r.Session.Kind == session.Browser && !(r.Route.Gate && strings.Split(r.Path, "?")[0] == "/oauth2/second_factor"):
		status = http.StatusFound
		s.toSignIn(r, body, s.opt.SecondFactorURL)
	case audienceOf(r) == person:
		s.page(r, o, body)
	default:
		s.problem(r, o, body)
	}
	refAddLimits(s, o, body)
	if status == http.StatusUnauthorized && (o.Verdict == authz.Unauthenticated || refOnly(o, "mfa_required") || refOnly(o, "step_up_required")) {
		refAdd(body, "www-authenticate", challenge(o))
	}
	body.Status = &typev3.HttpStatus{Code: typev3.StatusCode(status)}
	resp := &authv3.CheckResponse{
		Status:          &rpcstatus.Status{Code: int32(refGrpcCode(o.Verdict))},
		DynamicMetadata: refMetadata(r, o),
	}
	if o.Verdict == authz.Failed { // answered as our own trouble: not retried, not counted as a denial
		refAdd(body, "retry-after", strconv.Itoa(int(failedRetry.Seconds())))
		resp.HttpResponse = &authv3.CheckResponse_ErrorResponse{ErrorResponse: body}
	} else {
		resp.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: body}
	}
	return resp
}

func (s generated) policyAnswer(body *authv3.DeniedHttpResponse, o *authz.Outcome) {
	body.Body = o.Decision.Body
	typed := false
	for _, h := range o.Decision.Headers {
		typed = typed || h.Name == "content-type"
		refAdd(body, h.Name, h.Value)
	}
	if body.Body != "" && !typed {
		refAdd(body, "content-type", "text/plain; charset=utf-8")
	}
}

func refOnly(o *authz.Outcome, reason string) bool { return slices.Equal(o.Reasons, []string{reason}) }

func (s generated) toSignIn(r *authz.Request, body *authv3.DeniedHttpResponse, target string) {
	if origin := authz.OwnOrigin(r); origin != "" {
		target += "?rd=" + url.QueryEscape(origin+r.Path)
	}
	refAdd(body, "location", target)
	refAdd(body, "cache-control", "no-store")
}

func (s generated) page(r *authz.Request, o *authz.Outcome, body *authv3.DeniedHttpResponse) {
	p := s.opt.RefusalPage(Refusal{
		Status: o.Status, Reasons: o.Reasons, Request: r, Session: r.Session, RetryAfter: retryAfter(o),
		Charge: o.Charge, Spent: o.Spent,
		Explain: o.Decision != nil && o.Decision.Explain,
	})
	refAdd(body, "content-type", p.ContentType)
	for _, h := range p.Headers {
		refAdd(body, h.Name, h.Value)
	}
	body.Body = p.Body
}

func (s generated) problem(r *authz.Request, o *authz.Outcome, body *authv3.DeniedHttpResponse) {
	p := problem{Type: "about:blank", Title: http.StatusText(o.Status), Status: o.Status, Detail: Detail(o.Reasons...), Reasons: o.Reasons, RequestID: clip(r.ID, 128)}
	if o.Verdict == authz.Limited {
		p.Type = "https://iana.org/assignments/http-problem-types#quota-exceeded"
	}
	b, err := json.Marshal(p)
	if err != nil { // cannot happen: strings and numbers only
		b = []byte(`{"type":"about:blank"}`)
	}
	refAdd(body, "content-type", "application/problem+json")
	refAdd(body, "cache-control", "no-store")
	body.Body = string(b)
}

func refAddLimits(s generated, o *authz.Outcome, body *authv3.DeniedHttpResponse) {
	if o.Verdict == authz.Limited && o.Charge != nil {
		for _, h := range s.opt.LimitHeaders(*o.Charge, o.Spent) {
			refAdd(body, h.Name, h.Value)
		}
	}
}

func refAdd(body *authv3.DeniedHttpResponse, name, value string) {
	body.Headers = append(body.Headers, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: value}})
}

func refGrpcCode(v authz.Verdict) codes.Code {
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
