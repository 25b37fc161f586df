// Command stock is what the bench measures gate against: a stock grpc-go server
// with generated code and default options that either answers a prepared allow
// (the unit of every ratio), or evaluates the shipped policies with a stock OPA
// PreparedEvalQuery on map input, as people run it today.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/rego"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

// settings say which server it is.
type settings struct {
	socket, policies, sessions, stats string
	tuned, bare                       bool
}

func main() {
	var s settings
	flag.StringVar(&s.socket, "socket", "", "Unix socket to listen on")
	flag.StringVar(&s.policies, "policies", "", "policy directory; empty answers without asking any")
	flag.StringVar(&s.sessions, "sessions", "", "JSON file: Cookie header's session part → input.session")
	flag.BoolVar(&s.tuned, "tuned", false, "with gate's options of gRPC, of the collector and of threads")
	flag.BoolVar(&s.bare, "bare", false, "take and give bytes, and nothing else, with gate's options of gRPC")
	flag.StringVar(&s.stats, "stats", "", "Unix socket on which to serve /metrics")
	flag.Parse()
	err := error(nil)
	if s.tuned || s.bare {
		err = relax()
	}
	if err == nil {
		err = serve(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stock:", err)
		os.Exit(1)
	}
}

func serve(s settings) error {
	var srv authv3.AuthorizationServer = noop{}
	if s.policies != "" {
		o, err := newOPA(s.policies, s.sessions)
		if err != nil {
			return err
		}
		srv = o
	}
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		return err
	}
	if s.stats != "" {
		if err := serveStats(s.stats); err != nil {
			return err
		}
	}
	if s.bare {
		return bareServer().Serve(l)
	}
	var opts []grpc.ServerOption
	if s.tuned {
		debug.SetGCPercent(400) // as gate serve does
		runtime.GOMAXPROCS(1)   // as it does while one thread is enough
		opts = tuned()
	}
	g := grpc.NewServer(opts...)
	authv3.RegisterAuthorizationServer(g, srv)
	return g.Serve(l)
}

// noop allows everything with one prepared answer.
type noop struct {
	authv3.UnimplementedAuthorizationServer
}

func (noop) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return allow(map[string]any{"x-pomerium-email": "somebody@example.com", "x-pomerium-user": "u-1", "x-pomerium-groups": "user"}), nil
}

// opa evaluates on map input made by protojson, one prepared query.
type opa struct {
	authv3.UnimplementedAuthorizationServer
	query    rego.PreparedEvalQuery
	sessions map[string]any
}

func newOPA(policies, sessions string) (*opa, error) {
	o := &opa{}
	b, err := os.ReadFile(sessions)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &o.sessions); err != nil {
		return nil, err
	}
	o.query, err = rego.New(rego.Query("data.neosc.authz.decision"), rego.Load([]string{policies}, nil)).PrepareForEval(context.Background())
	return o, err
}

func (o *opa) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	input, err := o.input(in)
	if err != nil {
		return nil, err
	}
	rs, err := o.query.Eval(ctx, rego.EvalInput(input), rego.EvalTime(time.Now()))
	if err != nil {
		return nil, err
	}
	if len(rs) != 1 {
		return nil, fmt.Errorf("the decision is undefined")
	}
	d, _ := rs[0].Expressions[0].Value.(map[string]any)
	if d["allowed"] != true {
		return nil, fmt.Errorf("not allowed: %v", d["reasons"])
	}
	headers, _ := d["headers"].(map[string]any)
	return allow(headers), nil
}

func (o *opa) input(in *authv3.CheckRequest) (map[string]any, error) {
	b, err := protojson.Marshal(in.GetAttributes())
	if err != nil {
		return nil, err
	}
	var attributes map[string]any
	if err := json.Unmarshal(b, &attributes); err != nil {
		return nil, err
	}
	h := in.GetAttributes().GetRequest().GetHttp()
	path, _, _ := strings.Cut(h.GetPath(), "?")
	segments := []any{}
	for s := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		segments = append(segments, s)
	}
	input := map[string]any{
		"version": map[string]any{"encoding": "protojson", "ext_authz": "v3"}, "attributes": attributes,
		"parsed_path": segments, "parsed_query": map[string]any{}, "parsed_body": nil,
		"route": map[string]any{
			"name": in.GetAttributes().GetContextExtensions()["route"], "policy": map[string]any{"rate_limit": true},
			"identity_headers": map[string]any{"prefix": "x-pomerium-"},
		},
	}
	for _, f := range h.GetHeaderMap().GetHeaders() {
		if f.GetKey() == "cookie" {
			name, _, _ := strings.Cut(string(f.GetRawValue()), ";")
			if s, ok := o.sessions[name]; ok {
				input["session"] = s
			}
		}
	}
	return input, nil
}

func allow(headers map[string]any) *authv3.CheckResponse {
	ok := &authv3.OkHttpResponse{}
	for k, v := range headers {
		s, _ := v.(string)
		ok.Headers = append(ok.Headers, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: strings.ToLower(k), Value: s}})
	}
	return &authv3.CheckResponse{Status: &rpcstatus.Status{}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok}}
}
