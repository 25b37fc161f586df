package extauthz

import (
	"context"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
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
