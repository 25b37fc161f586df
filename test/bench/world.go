package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/neosc/gate/test/kit"
)

// writeWorld writes what gate serves by in the bench: the production routes
// with hours off (a run must not depend on the weekday), and the shipped
// policies with limits so high that they are charged and never reached.
func writeWorld(dir string) error {
	routes, err := os.ReadFile("deploy/production/routes.yaml")
	if err != nil {
		return fmt.Errorf("run the bench from the project's root: %w", err)
	}
	routes = bytes.ReplaceAll(routes, []byte("business_hours: true"), []byte("business_hours: false"))
	// All callers have one address here.
	routes = append(routes, "\nshields: {requests_per_second: 0}\n"...)
	for _, upstream := range []string{"frontend:3000", "backend:8001", "kasm-proxy:6900"} {
		routes = bytes.ReplaceAll(routes, []byte(": "+upstream), []byte(": unix:"+filepath.Join(dir, "up.sock")))
	}
	if err := os.WriteFile(filepath.Join(dir, "routes.yaml"), routes, 0o600); err != nil {
		return err
	}
	config := "cookie: {domain: .kappa4.com}\nlisten: {ops: \"127.0.0.1:0\"}\nsession: {store: sqlite}\npolicy: {path: policies}\nlog: {level: error, access: access.log}\n"
	if err := os.WriteFile(filepath.Join(dir, "gate.yaml"), []byte(config), 0o600); err != nil {
		return err
	}
	return kit.WritePolicies(filepath.Join(dir, "policies"))
}

// signIn creates a session for everybody over gate's admin socket.
func signIn(ctx context.Context, socket string) ([]person, error) {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	ps := make([]person, people)
	for i := range ps {
		body, err := json.Marshal(map[string]any{"email": email(i), "roles": []string{role(i)}, "lifetime": "8h"})
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gate/v1/sessions", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		var created struct{ Key, Cookie string }
		if err := json.Unmarshal(b, &created); err != nil || created.Cookie == "" {
			return nil, fmt.Errorf("session %d: %s %s", i, resp.Status, b)
		}
		ps[i] = person{email: email(i), id: created.Key, role: role(i), cookie: created.Cookie}
	}
	return ps, nil
}
