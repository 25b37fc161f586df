package engine_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
)

func TestDecisions(t *testing.T) {
	matched, denied := []string{"matched_policy"}, []string{"policy_denied"}
	for _, c := range []struct {
		name, rego string
		want       authz.Decision
	}{
		{"BareTrue", `decision := true`, authz.Decision{Allowed: true, Reasons: matched}},
		{"BareFalse", `default decision := false`, authz.Decision{Reasons: denied}},
		{"ReasonsSortedOnceEach", `decision := {"allowed": false, "reasons": ["b", "a_1", "b"]}`,
			authz.Decision{Reasons: []string{"a_1", "b"}}},
		{"ReasonsAsSet", `decision := {"allowed": true, "reasons": {"y", "x"}}`,
			authz.Decision{Allowed: true, Reasons: []string{"x", "y"}}},
		{"EmptyReasons", `decision := {"allowed": false, "reasons": []}`, authz.Decision{Reasons: denied}},
		{"UnknownKeysIgnored", `decision := {"allowed": true, "id": 7, "context": {"a": 1}}`,
			authz.Decision{Allowed: true, Reasons: matched}},
		{"Headers", `decision := {"allowed": true, "headers": {"X-Pomerium-Groups": ["a", "b"], "x-session-id": "s"},
			"response_headers_to_add": {"X-Denied-By": "no"}, "request_headers_to_remove": ["X-Pomerium-Old", "Authorization"]}`,
			authz.Decision{Allowed: true, Reasons: matched,
				Headers:              []authz.Header{{Name: "x-pomerium-groups", Value: "a"}, {Name: "x-pomerium-groups", Value: "b"}, {Name: "x-session-id", Value: "s"}},
				ResponseHeaders:      []authz.Header{{Name: "x-denied-by", Value: "no"}},
				RemoveRequestHeaders: []string{"x-pomerium-old", "authorization"}}},
		{"HeadersAsArrayOfObjects", `decision := {"allowed": true, "headers": [{"x-session-id": "a"}, {"x-pomerium-user": "b"}]}`,
			authz.Decision{Allowed: true, Reasons: matched,
				Headers: []authz.Header{{Name: "x-session-id", Value: "a"}, {Name: "x-pomerium-user", Value: "b"}}}},
		{"DenialWithStatusBodyHeaders", `decision := {"allowed": false, "http_status": 451, "body": "no", "headers": {"WWW-Authenticate": "Bearer"}}`,
			authz.Decision{Reasons: denied, Status: 451, Body: "no", Headers: []authz.Header{{Name: "www-authenticate", Value: "Bearer"}}}},
		{"StatusOfAnAllowIsDropped", `decision := {"allowed": true, "http_status": 404}`, authz.Decision{Allowed: true, Reasons: matched}},
		{"Query", `decision := {"allowed": true, "query_parameters_to_set": {"a": "1 2", "b": ["x", "y"]}, "query_parameters_to_remove": ["z"]}`,
			authz.Decision{Allowed: true, Reasons: matched,
				QuerySet:    []authz.QueryParameter{{Name: "a", Value: "1 2"}, {Name: "b", Value: "x"}, {Name: "b", Value: "y"}},
				QueryRemove: []string{"z"}}},
		{"Metadata", `decision := {"allowed": true, "dynamic_metadata": {"n": 1.5, "s": {"b", "a"}, "o": {"x": null, "y": [true]}}}`,
			authz.Decision{Allowed: true, Reasons: matched,
				Metadata: map[string]any{"n": 1.5, "s": []any{"a", "b"}, "o": map[string]any{"x": nil, "y": []any{true}}}}},
		{"RateLimits", `decision := {"allowed": true, "rate_limits": [{"name": "user", "key": "u", "requests_per_second": 0.5, "burst": 20},
			{"name": "ip", "key": "i", "requests_per_second": 10, "burst": 5, "cost": 0}]}`,
			authz.Decision{Allowed: true, Reasons: matched,
				Charges: []authz.Charge{{Name: "user", Key: "u", Rate: 0.5, Burst: 20, Cost: 1}, {Name: "ip", Key: "i", Rate: 10, Burst: 5}}}},
		{"StreamUntilText", `decision := {"allowed": true, "stream_until": "2026-03-05T20:00:00-06:00", "explain": true}`,
			authz.Decision{Allowed: true, Reasons: matched, StreamUntil: time.Date(2026, 3, 6, 2, 0, 0, 0, time.UTC), Explain: true}},
		{"StreamUntilNanosecondsOfTheRequestsClock", `decision := {"allowed": true, "stream_until": time.now_ns() + 1000000000}`,
			authz.Decision{Allowed: true, Reasons: matched, StreamUntil: noon.Add(time.Second)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, err := decide(t, c.rego)
			if err != nil {
				t.Fatal(err)
			}
			if d.StreamUntil.Equal(c.want.StreamUntil) {
				d.StreamUntil = c.want.StreamUntil
			}
			c.want.Revision = d.Revision
			if !reflect.DeepEqual(*d, c.want) {
				t.Errorf("got  %+v\nwant %+v", *d, c.want)
			}
		})
	}
}

func TestMalformedDecisionsAreErrors(t *testing.T) {
	long := strings.Repeat("x", 8193)
	for _, c := range []struct {
		name, decision string
		names          string // what the error must name
	}{
		{"String", `"yes"`, "type string"},
		{"Set", `{"allowed"}`, "type set"},
		{"NoAllowed", `{"reasons": ["a"]}`, `"allowed"`},
		{"AllowedAsText", `{"allowed": "true"}`, "allowed is of type string"},
		{"AllowedNull", `{"allowed": null}`, "allowed is of type null"},
		{"ReasonsAsText", `{"allowed": true, "reasons": "a"}`, "reasons is of type string"},
		{"ReasonWithSpace", `{"allowed": true, "reasons": ["a b"]}`, "reasons[0]"},
		{"ReasonEmpty", `{"allowed": true, "reasons": [""]}`, "reasons[0]"},
		{"ReasonUpperCase", `{"allowed": true, "reasons": ["a", "B"]}`, "reasons[1]"},
		{"TooManyReasons", `{"allowed": true, "reasons": [sprintf("r%d", [i]) | some i in numbers.range(1, 17)]}`, "17 elements"},
		{"HeaderNameWithSpace", `{"allowed": true, "headers": {["x pomerium"][0]: "a"}}`, "no header name"},
		{"HeaderNotSettable", `{"allowed": true, "headers": {["x-", "role"][0]: "a"}}`, "x-, which policy may not set"},
		{"HeaderWithLineBreak", `{"allowed": true, "headers": {"x-session-id": "a\r\nx-role: admin"}}`, "control character"},
		{"HeaderWithNUL", `{"allowed": true, "headers": {"x-session-id": "a\u0000"}}`, "control character"},
		{"HeaderTooLong", `{"allowed": true, "headers": {"x-session-id": "` + long + `"}}`, "8192"},
		{"HeaderNumber", `{"allowed": true, "headers": {"x-session-id": 7}}`, "type number"},
		{"TooManyHeaders", `{"allowed": true, "headers": {sprintf("x-pomerium-%d", [i]): "v" | some i in numbers.range(1, 65)}}`, "more than 64"},
		{"StatusTooHigh", `{"allowed": false, "http_status": 600}`, "http_status"},
		{"StatusFraction", `{"allowed": false, "http_status": 403.5}`, "http_status"},
		{"StatusText", `{"allowed": false, "http_status": "403"}`, "http_status is of type string"},
		{"BodyNumber", `{"allowed": false, "body": 1}`, "body is of type number"},
		{"LimitWithoutKey", `{"allowed": true, "rate_limits": [{"name": "n", "requests_per_second": 1, "burst": 1}]}`, "rate_limits[0].key is missing"},
		{"LimitRateZero", `{"allowed": true, "rate_limits": [{"name": "n", "key": "k", "requests_per_second": 0, "burst": 1}]}`, "requests_per_second"},
		{"LimitRateHuge", `{"allowed": true, "rate_limits": [{"name": "n", "key": "k", "requests_per_second": 1e7, "burst": 1}]}`, "requests_per_second"},
		{"LimitBurstFraction", `{"allowed": true, "rate_limits": [{"name": "n", "key": "k", "requests_per_second": 1, "burst": 1.5}]}`, "burst"},
		{"LimitCostAboveBurst", `{"allowed": true, "rate_limits": [{"name": "n", "key": "k", "requests_per_second": 1, "burst": 2, "cost": 3}]}`, "cost"},
		{"LimitNegativeCost", `{"allowed": true, "rate_limits": [{"name": "n", "key": "k", "requests_per_second": 1, "burst": 2, "cost": -1}]}`, "cost"},
		{"TooManyLimits", `{"allowed": true, "rate_limits": [x | some i in numbers.range(1, 17); x := {"i": i}]}`, "17 elements"},
		{"StreamUntilSeconds", `{"allowed": true, "stream_until": 1790000000}`, "nanoseconds"},
		{"StreamUntilDate", `{"allowed": true, "stream_until": "2026-03-05"}`, "stream_until"},
		{"ExplainText", `{"allowed": true, "explain": "yes"}`, "explain"},
		{"MetadataArray", `{"allowed": true, "dynamic_metadata": []}`, "dynamic_metadata"},
		{"QueryNumber", `{"allowed": true, "query_parameters_to_set": {"a": 1}}`, "query_parameters_to_set"},
		{"RemoveWhatEnvoyWouldKeep", `{"allowed": true, "request_headers_to_remove": ["x-debug"]}`, "x-debug"},
		{"RemoveHost", `{"allowed": true, "request_headers_to_remove": ["Host"]}`, "host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, err := decide(t, "decision := "+c.decision)
			e, ok := errors.AsType[*engine.Error](err)
			if !ok || e.Kind != engine.Malformed || d != nil {
				t.Fatalf("got %+v, %v; want a malformed decision", d, err)
			}
			if !strings.Contains(err.Error(), c.names) {
				t.Errorf("error %q does not name %q", err, c.names)
			}
		})
	}
}

func TestUndefinedAndConflictingDecisionsAreErrors(t *testing.T) {
	for name, c := range map[string]struct {
		rego string
		kind engine.Kind
	}{
		"Undefined": {`decision if input.route.name == "none"`, engine.Undefined},
		"Conflict": {`decision := true if input.route.name == "portal"
			decision := false if input.session`, engine.Evaluation},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decide(t, c.rego)
			if e, ok := errors.AsType[*engine.Error](err); !ok || e.Kind != c.kind {
				t.Fatalf("got %v, want kind %s", err, c.kind)
			}
		})
	}
}
