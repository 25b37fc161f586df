package main

import (
	"context"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// decide SOCKET ROUTE HOST PATH [ID] has a gate decide about a request, as Envoy
// does.
func decide(s *testscript.TestScript, _ bool, args []string) {
	if len(args) < 4 || len(args) > 5 {
		s.Fatalf("usage: decide SOCKET ROUTE HOST PATH [ID]")
	}
	headers := map[string]string{}
	if len(args) == 5 {
		headers["x-request-id"] = args[4]
	}
	c, err := grpc.NewClient("unix:"+s.MkAbs(args[0]), grpc.WithTransportCredentials(insecure.NewCredentials()))
	s.Check(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err = authv3.NewAuthorizationClient(c).Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: map[string]string{"route": args[1]},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Id: "1", Method: "GET", Scheme: "http", Host: args[2], Path: args[3], Protocol: "HTTP/1.1", Headers: headers,
		}},
	}}, grpc.WaitForReady(true))
	s.Check(err)
}
