package extauthz

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// FuzzCheck sends any bytes through the whole server.
// An answer always encodes, is an allow only with status code 0 and never shows
// a client's credential.
func FuzzCheck(f *testing.F) {
	data, err := os.ReadFile("testdata/checkrequests.json")
	if err != nil {
		f.Fatal(err)
	}
	var recorded map[string]json.RawMessage
	if err := json.Unmarshal(data, &recorded); err != nil {
		f.Fatal(err)
	}
	for _, raw := range recorded {
		var a authv3.AttributeContext
		if err := protojson.Unmarshal(raw, &a); err != nil {
			f.Fatal(err)
		}
		for _, route := range []string{"portal", "gate", "tokens", "nowhere"} {
			a.ContextExtensions = map[string]string{"route": route}
			b, err := proto.Marshal(&authv3.CheckRequest{Attributes: &a})
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	seed, err := proto.Marshal(check("portal", "GET", "/\xff", "cookie", "a=\xff; _pomerium=s", "authorization", "Bearer \x00"))
	if err == nil {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		resp, err := decoded(t.Context(), newFixture().server(t), string(data))
		if err != nil {
			t.Fatalf("the answer does not decode: %v", err)
		}
		if proto.Unmarshal(data, &authv3.CheckRequest{}) != nil && resp.GetDeniedResponse().GetStatus().GetCode() != 400 {
			t.Fatalf("bytes that are no CheckRequest are answered with %v", resp)
		}
		if ok := resp.GetOkResponse() != nil; ok != (resp.GetStatus().GetCode() == 0) {
			t.Fatalf("code %d with %T", resp.GetStatus().GetCode(), resp.HttpResponse)
		}
		for _, h := range resp.GetOkResponse().GetHeaders() {
			if v := h.GetHeader().GetValue(); strings.Contains(v, "_pomerium=") || strings.ContainsAny(v, "\r\n\x00") && !strings.ContainsAny(string(data), "\r\n\x00") {
				t.Fatalf("%s: %q goes upstream", h.GetHeader().GetKey(), v)
			}
		}
		if body := resp.GetDeniedResponse().GetBody(); !utf8.ValidString(body) {
			t.Fatalf("the refusal is not UTF-8: %q", body)
		}
	})
}
