package envoy

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// logFields are the access log's, one JSON object a request. What the gate
// decided comes from its dynamic metadata and is null where it was not asked.
// Neither a query string nor a cookie, token or user agent is ever in it.
var logFields = map[string]string{
	"level":           "info",
	"timestamp":       "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
	"user":            decided("user"),
	"email":           decided("email"),
	"method":          "%REQ(:METHOD):32%",
	"path":            "%PATH(NQ):2048%",
	"host":            "%REQ(:AUTHORITY):255%",
	"decision":        decided("decision"),
	"reason":          decided("reason"),
	"duration_ms":     "%DURATION%",
	"status":          "%RESPONSE_CODE%",
	"request_id":      "%REQ(X-REQUEST-ID):64%",
	"route":           "%ROUTE_NAME%",
	"session":         decided("session"),
	"policy_revision": decided("policy_revision"),
	"client_ip":       "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
	// Envoy's own words for what became of the request, such as
	// route_not_found or ext_authz_error; flags such as UAEX.
	"details": "%RESPONSE_CODE_DETAILS%",
	"flags":   "%RESPONSE_FLAGS%",
}

func decided(key string) string { return "%DYNAMIC_METADATA(" + filterExtAuthz + ":" + key + ")%" }

func (b *builder) accessLog() []*accesslogv3.AccessLog {
	fields := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for k, v := range logFields {
		fields.Fields[k] = structpb.NewStringValue(v)
	}
	format := &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: fields}}
	log := &accesslogv3.AccessLog{Name: "envoy.access_loggers.stdout"}
	config := b.any(&streamv3.StdoutAccessLog{AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: format}})
	if b.AccessLogPath != "" {
		log.Name = "envoy.access_loggers.file"
		config = b.any(&filev3.FileAccessLog{Path: b.AccessLogPath, AccessLogFormat: &filev3.FileAccessLog_LogFormat{LogFormat: format}})
	}
	log.ConfigType = &accesslogv3.AccessLog_TypedConfig{TypedConfig: config}
	return []*accesslogv3.AccessLog{log}
}
