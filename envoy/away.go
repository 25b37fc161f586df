package envoy

import (
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// awayPage is what a browser gets while no gate answers. It brings all that it
// needs with it: the gate's own style sheet is as far away as the gate.
//
//go:embed away.html
var awayPage string

const (
	// away tells that no gate answered from a gate that answers with trouble of
	// its own: Envoy calls both an error, and only the gate says when to come
	// again.
	away = `response.code_details == "ext_authz_error" && !("retry-after" in response.headers)`
	// browser is who asks for a page. Without the header the expression is an
	// error, which Envoy takes for no.
	browser = `request.headers["accept"].contains("text/html")`
	// program is who does not, and not in gRPC either: that has its own way to
	// say it, in which a document would be one very long line.
	program = `!("content-type" in request.headers && request.headers["content-type"].startsWith("application/grpc"))`
	// awayRetry is when to come again: a gate that is replaced is back by then.
	awayRetry = "5"
	// requestID is Envoy's own name of the request: what a client sends as such
	// is not taken (TestWithoutAGateEverythingIsShut).
	requestID = "%REQ(X-REQUEST-ID):64%"
)

// gateAway are the answers while no gate answers: a page for a browser, a problem
// document (RFC 9457) for a program, instead of an empty 503.
func (b *builder) gateAway() []*hcmv3.ResponseMapper {
	page := strings.ReplaceAll(awayPage, "%", "%%") // Envoy's own sign
	page = strings.Replace(page, "{request}", requestID, 1)
	header := func(name, value string) *corev3.HeaderValueOption {
		return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD}
	}
	headers := []*corev3.HeaderValueOption{header("cache-control", "no-store"), header("retry-after", awayRetry)}
	return []*hcmv3.ResponseMapper{
		{
			Filter:       b.when("gate-away-page", away+" && "+browser),
			HeadersToAdd: append(headers[:2:2], header("content-security-policy", awayRules()), header("x-content-type-options", "nosniff"), header("referrer-policy", "no-referrer")),
			BodyFormatOverride: &corev3.SubstitutionFormatString{
				Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
					Specifier: &corev3.DataSource_InlineString{InlineString: page},
				}},
				ContentType: "text/html; charset=utf-8",
			},
		},
		{
			Filter:       b.when("gate-away", away+" && "+program),
			HeadersToAdd: headers,
			BodyFormatOverride: problem("about:blank", "Service Unavailable",
				"The gate did not answer in time, so nothing was opened. This request was not carried out.", "gate_unavailable"),
		},
	}
}

// awayRules is the page's content security policy: its own style and nothing
// else.
func awayRules() string {
	_, style, _ := strings.Cut(awayPage, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// problem is a problem document (RFC 9457) of Envoy's own, with its name of the
// request.
func problem(kind, title, detail, reason string) *corev3.SubstitutionFormatString {
	text := func(s string) *structpb.Value { return structpb.NewStringValue(s) }
	return &corev3.SubstitutionFormatString{
		Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: map[string]*structpb.Value{
			"type": text(kind), "title": text(title), "status": text("%RESPONSE_CODE%"), "detail": text(detail), "request_id": text(requestID),
			"reasons": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{text(reason)}}),
		}}},
		ContentType: "application/problem+json",
	}
}

// when is a condition in CEL, under the name that Envoy logs.
func (b *builder) when(name, expression string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
		ExtensionFilter: &accesslogv3.ExtensionFilter{
			Name: name, ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: b.any(&celv3.ExpressionFilter{Expression: expression})},
		},
	}}
}
