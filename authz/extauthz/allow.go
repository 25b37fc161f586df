package extauthz

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// streamLimitHeader ends the stream at Envoy after that many milliseconds.
// Only an integer ≥ 1 is a limit: 0, negative or text mean none.
const streamLimitHeader = "x-envoy-upstream-stream-duration-ms"

// allow answers with the decision's mutations: identity in, credentials out.
func (s *Server) allow(r *authz.Request, o *authz.Outcome) *authv3.CheckResponse {
	d := o.Decision
	ok := &authv3.OkHttpResponse{}
	for _, h := range d.Headers {
		if !s.opt.Settable(h.Name) || h.Name == s.opt.AssertionHeader {
			// Envoy would answer 500 for it; say whose fault it is instead. What the
			// gate signs is the gate's to set.
			s.opt.Logger.Error("policy sets a request header that set_headers of the routes file does not name, or the signed identity", "header", h.Name, "route", r.RouteName)
			return s.deny(r, policyFault(o))
		}
		set(ok, h)
	}
	if r.Session != nil && r.Route.PassIdentityHeaders {
		token, err := s.opt.Assertion(r.Session, r.Host, r.Time)
		if err != nil {
			s.opt.Logger.Error("the identity cannot be signed", "error", err, "route", r.RouteName, "request_id", clip(r.ID, 128))
			return s.deny(r, ownFault(o))
		}
		ok.Headers = append(ok.Headers, overwrite(s.opt.AssertionHeader, token))
	}
	ok.HeadersToRemove = append(ok.HeadersToRemove, d.RemoveRequestHeaders...)
	if !r.Route.Gate {
		s.stripCredentials(r, ok)
	}
	if o.StreamFor > 0 {
		ms := max(1, o.StreamFor.Milliseconds())
		ok.Headers = append(ok.Headers, overwrite(streamLimitHeader, strconv.FormatInt(ms, 10)))
	}
	for _, h := range d.ResponseHeaders {
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: h.Name, Value: h.Value}})
	}
	if bad, fine := setQuery(ok, d); !fine {
		s.opt.Logger.Error("policy sets a query parameter that needs percent-encoding, which Envoy refuses with validate_mutations on", "parameter", bad, "route", r.RouteName)
		return s.deny(r, policyFault(o))
	}
	return &authv3.CheckResponse{
		Status:          &rpcstatus.Status{},
		HttpResponse:    &authv3.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: metadata(r, o),
	}
}

// setQuery adds the decision's query parameters. Envoy does not encode them and,
// checking mutations as it does here, answers 500 for any that is encoded (seen
// with 1.40 for each of % + ~): so only what needs no encoding can be set, and
// anything else is refused with its name rather than sent on unencoded.
func setQuery(ok *authv3.OkHttpResponse, d *authz.Decision) (bad string, fine bool) {
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

func plainQuery(s string) bool { return url.QueryEscape(s) == s && !strings.Contains(s, "~") }

// stripCredentials takes the session cookie and Authorization out of what goes
// upstream: applications trust what the edge injected and never see a
// credential that would open their siblings.
func (s *Server) stripCredentials(r *authz.Request, ok *authv3.OkHttpResponse) {
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
		if kept = readableCookies(kept); kept != "" {
			rest = append(rest, kept)
		}
	}
	switch {
	case !found:
	case len(rest) == 0:
		ok.HeadersToRemove = append(ok.HeadersToRemove, "cookie")
	default: // setting Cookie overwrites every field of that name
		ok.Headers = append(ok.Headers, overwrite("cookie", strings.Join(rest, "; ")))
	}
}

// readableCookies leaves out cookies whose bytes are not UTF-8, which no cookie
// may have (RFC 6265, section 4.1.1). The answer is a protobuf string: one such
// byte would fail it whole, and any sibling host could toss such a cookie and
// lock people out. Envoy takes no raw bytes here.
func readableCookies(header string) string {
	if utf8.ValidString(header) {
		return header
	}
	var kept []string
	for pair := range strings.SplitSeq(header, ";") {
		if utf8.ValidString(pair) {
			kept = append(kept, strings.Trim(pair, " \t"))
		}
	}
	return strings.Join(kept, "; ")
}

// set adds a header for the upstream. Of several values for one name Envoy would
// keep the last alone, so they go as one list (RFC 9110, 5.3).
func set(ok *authv3.OkHttpResponse, h authz.Header) {
	for _, before := range ok.Headers {
		if before.Header.Key == h.Name {
			before.Header.Value += ", " + h.Value
			return
		}
	}
	ok.Headers = append(ok.Headers, overwrite(h.Name, h.Value))
}

// overwrite sets a header; append would join with what a client sent.
func overwrite(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// metadata is what Envoy's access log prints of the decision: one line there
// tells the whole request. Ours win over policy's own dynamic_metadata.
func metadata(r *authz.Request, o *authz.Outcome) *structpb.Struct {
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

// policyFault is the outcome when the decision cannot be carried out.
func policyFault(o *authz.Outcome) *authz.Outcome {
	return fault(o, authz.ReasonPolicyError)
}

// ownFault is the outcome when the gate itself cannot carry it out.
func ownFault(o *authz.Outcome) *authz.Outcome { return fault(o, authz.ReasonInternalError) }

func fault(o *authz.Outcome, reason string) *authz.Outcome {
	return &authz.Outcome{Verdict: authz.Failed, Status: 503, Reasons: []string{reason}, Session: o.Session}
}
