package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosc/gate/session"
)

// shippedPolicies puts the policies into a folder, with providers whose
// administrators go by name.
func shippedPolicies(t *testing.T, dir, providers string) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "policies"))); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "data.yaml")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	opted := bytes.Replace(data, []byte("    providers: {}"), []byte("    providers: "+providers), 1)
	if bytes.Equal(opted, data) {
		t.Fatal("the data opt no provider in")
	}
	if err := os.WriteFile(name, opted, 0o600); err != nil {
		t.Fatal(err)
	}
}

func person(provider string, roles, groups []string) *session.Session {
	return &session.Session{Kind: session.Browser, Identity: session.Identity{
		Provider: provider, UserID: "u-1", Subject: "u-1", Email: "p@kappa4.com", EmailVerified: true, Roles: roles, Groups: groups, AMR: []string{"pwd", "mfa", "otp"},
	}}
}

const apiHost = `- origin: http://api.neosc.localhost:8080
  routes:
  - {name: gate-api, prefix: /api/users, upstream: gate, pass_authorization: true}
`

// What policy takes somebody for, the API and the console do too.
func TestAdministratorsOfTheAPIAreThoseOfPolicy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shippedPolicies(t, filepath.Join(dir, "rules"), "{zitadel_onprem: true}")
	a := gateOf(t, dir, "", "package neosc.other\n", io.Discard, func(text map[string]string) {
		text["gate.yaml"] = strings.Replace(text["gate.yaml"], "path: policies", "path: rules", 1)
		text["routes.yaml"] = strings.Replace(text["routes.yaml"], "[x-pomerium-*]", "[x-pomerium-*, x-session-id, x-user-email, x-workspace-type]", 1) + apiHost
	})
	for name, tt := range map[string]struct {
		who  *session.Session
		want bool
	}{
		"Role":              {person("local", []string{"admin"}, nil), true},
		"Group":             {person("zitadel_onprem", []string{"user"}, []string{"Platform-Admins"}), true},
		"RoleByName":        {person("zitadel_onprem", []string{"org-administrator"}, nil), true},
		"Owner":             {person("zitadel_onprem", []string{"owner"}, nil), true},
		"OtherProvider":     {person("zitadel_cloud", []string{"user"}, []string{"Platform-Admins"}), false},
		"GroupNamedOwner":   {person("zitadel_onprem", []string{"user"}, []string{"owner"}), false},
		"DemoGrant":         {person("zitadel_onprem", []string{"demo-admin-1"}, nil), false},
		"NoRole":            {person("zitadel_onprem", nil, nil), false},
		"LocalGroupIsNoted": {person("local", []string{"user"}, []string{"admin"}), false},
	} {
		if got := a.isAdministrator(t.Context(), tt.who); got != tt.want {
			t.Errorf("%s: administrator %v, want %v", name, got, tt.want)
		}
	}
}

func TestAPolicyThatOpensUsersToAnybodyMakesNobodyAnAdministrator(t *testing.T) {
	t.Parallel()
	a := gateOf(t, t.TempDir(), "", "package neosc.authz\n\ndecision := {\"allowed\": true, \"reasons\": [\"open\"]}\n", io.Discard)
	if a.isAdministrator(t.Context(), person("zitadel_onprem", []string{"user"}, []string{"admins"})) {
		t.Error("somebody without the role is one")
	}
}
