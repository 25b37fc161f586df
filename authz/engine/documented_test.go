package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
	"github.com/open-policy-agent/opa/v1/ast"
)

// documented is one expected.json in policies/testdata/documented; its README
// says what the fields are.
type documented struct {
	Entrypoint string    `json:"entrypoint"`
	Now        time.Time `json:"now"`
	Cases      []struct {
		Name     string          `json:"name"`
		Input    Input           `json:"input"`
		Decision json.RawMessage `json:"decision"`
	} `json:"cases"`
}

// TestDocumentedPoliciesDecideAsTheySay asks each of them with a request that
// has what the case's input says, and reads the expected decision as the
// policy's own is read.
func TestDocumentedPoliciesDecideAsTheySay(t *testing.T) {
	files, err := filepath.Glob("../../policies/testdata/documented/*/expected.json")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no documented policies", err)
	}
	headers := []string{"x-user", "x-tenant", "x-roles", "x-validated-by"}
	edge := Edge{
		Forwarded: []string{"cookie", "authorization", "accept", "origin", "user-agent"},
		Settable:  headers, ResponseSettable: append([]string{"cache-control", "content-type", "location", "vary"}, headers...),
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			text, err1 := os.ReadFile(file)
			rego, err2 := os.ReadFile(filepath.Join(dir, "policy.rego"))
			var doc documented
			if err := errors.Join(err1, err2, json.Unmarshal(text, &doc)); err != nil {
				t.Fatal(err)
			}
			p, err := Compile(Source{
				Modules:    map[string]string{"policy.rego": string(rego)},
				EntryPoint: doc.Entrypoint, Revision: "r", Timeout: 10 * time.Second,
			}, edge)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range doc.Cases {
				got, err := p.Decide(context.Background(), requestOf(t, c.Input, doc.Now))
				if c.Decision == nil {
					if kindOf(err) != Undefined {
						t.Errorf("%s: got %+v, %v; want it undefined", c.Name, got, err)
					}
					continue
				}
				v, errV := ast.ValueFromReader(bytes.NewReader(c.Decision))
				if err := errors.Join(err, errV); err != nil {
					t.Errorf("%s: %v", c.Name, err)
					continue
				}
				want, err := parseDecision(v, &edge)
				if err != nil {
					t.Fatal(err)
				}
				want.Revision = "r"
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s: got %+v\nwant %+v", c.Name, got, want)
				}
			}
		})
	}
}

// requestOf is a request whose input has what in has.
func requestOf(t *testing.T, in Input, now time.Time) *authz.Request {
	h := in.Attributes.Request.HTTP
	r := &authz.Request{
		Time: now, ID: h.ID, Method: h.Method, Scheme: h.Scheme, Host: h.Host, Protocol: h.Protocol,
		Path:       "/" + strings.Join(in.ParsedPath, "/"),
		Extensions: in.Attributes.ContextExtensions,
		Route:      &authz.Route{Name: in.Route.Name, Policy: in.Route.Policy},
	}
	if len(in.ParsedQuery) > 0 {
		r.Path += "?" + url.Values(in.ParsedQuery).Encode()
	}
	if h.Path != "" {
		r.Path = h.Path
	}
	for k, v := range h.Headers {
		r.Headers = append(r.Headers, authz.Header{Name: k, Value: v})
	}
	if a := in.Attributes.Source.Address; a != nil {
		addr, err := netip.ParseAddr(cmp.Or(a.SocketAddress.Address, "203.0.113.9"))
		if err != nil {
			t.Fatal(err)
		}
		r.Source.Addr = netip.AddrPortFrom(addr, uint16(a.SocketAddress.PortValue))
	}
	r.Source.Principal = in.Attributes.Source.Principal
	if s := in.Session; s != nil {
		r.Session = &session.Session{Kind: session.Kind(s.Kind), Identity: session.Identity{
			Provider: s.Provider, UserID: s.User.ID, Email: s.User.Email, EmailVerified: s.User.EmailVerified, Name: s.User.Name,
			Organization: s.User.Organization, Roles: s.Roles, Groups: s.Groups, Claims: s.Claims, AMR: s.AMR,
		}}
	}
	return r
}
