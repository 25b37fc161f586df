package extauthz

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/extauthz/wire"
)

// Check is what a client with the generated code sees of one call.
func (s *Server) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	b, err := proto.Marshal(in)
	if err != nil {
		return nil, err
	}
	return decoded(ctx, s, string(b))
}

// decoded answers a CheckRequest's bytes.
func decoded(ctx context.Context, s *Server, in string) (*authv3.CheckResponse, error) {
	c := s.calls.Get().(*call)
	c.in = in
	reusable := s.answer(ctx, c)
	defer c.out.Free()
	var resp authv3.CheckResponse
	err := proto.Unmarshal(c.out.Materialize(), &resp)
	if reusable {
		s.keep(c)
	}
	return &resp, err
}

func TestRecordedRequestsAreRead(t *testing.T) {
	data, err := os.ReadFile("testdata/checkrequests.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]json.RawMessage
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	for name, raw := range recorded {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			var a authv3.AttributeContext
			if err := protojson.Unmarshal(raw, &a); err != nil {
				t.Fatal(err)
			}
			b, err := proto.Marshal(&authv3.CheckRequest{Attributes: &a})
			if err != nil {
				t.Fatal(err)
			}
			var r authz.Request
			readRequest(string(b), &wire.Scanner{}, &r, newFixture(), noon)
			if r.Unreadable != nil || r.Method == "" || r.Host == "" || !strings.HasPrefix(r.Path, "/") || !r.Source.Addr.IsValid() || r.ID == "" {
				t.Errorf("read %+v", r)
			}
		})
	}
}
