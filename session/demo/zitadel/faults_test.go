package zitadel_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/demo/zitadel"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/test/zitadelfake"
)

// Zitadel is away, slow, busy or answers with a proxy's page when a grant ends:
// the end is never done until it is, and then it is.
func TestAnEndIsNotDoneUntilZitadelDidIt(t *testing.T) {
	held := make(chan struct{})
	defer close(held)
	for name, fault := range map[string]zitadelfake.Fault{
		"Unavailable":       {Status: 503, Code: "unavailable"},
		"Busy":              {Status: 429, Code: "resource_exhausted", RetryAfter: "3"},
		"Conflict":          {Status: 409, Code: "aborted"},
		"ProxyPage":         {Status: 404}, // not "not found": that would be done
		"BadGateway":        {Status: 502},
		"Denied":            {Status: 403, Code: "permission_denied"},
		"Dropped":           {Drop: true},
		"DoneButDropped":    {Drop: true, Done: true},
		"DoneButUnsaid":     {Status: 503, Done: true},
		"InvalidFromBefore": {Status: 400, Code: "invalid_argument"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z, s := stand(t)
			z.Put(zitadelfake.Grant{User: ben, Organization: org, Project: project, Roles: []string{"neosc"}})
			for _, who := range []string{ana, ben} {
				g := grant(z, len(z.Roles(project)), who)
				if err := s.Start(t.Context(), g); err != nil {
					t.Fatal(err)
				}
				for _, procedure := range []string{"ListProjectRoles", "ListAuthorizations", "DeleteAuthorization", "RemoveProjectRole"} {
					var hit atomic.Bool
					z.Fail(func(p string, _ int) *zitadelfake.Fault {
						if p != procedure {
							return nil
						}
						hit.Store(true)
						return &fault
					})
					err := s.End(t.Context(), g)
					if hit.Load() && (err == nil || errors.Is(err, session.ErrStepRefused)) {
						t.Errorf("%s failing for %s: %v", procedure, who, err)
					}
					if want := 3 * time.Second; hit.Load() && fault.RetryAfter != "" && session.StepAfter(err) != want {
						t.Errorf("%s says to come again in %v: %v", procedure, session.StepAfter(err), err)
					}
				}
				z.Fail(nil)
				if err := s.End(t.Context(), g); err != nil {
					t.Fatal(err)
				}
			}
			wantRoles(t, z, ana)
			wantRoles(t, z, ben, "neosc")
			if roles := z.Roles(project); !slices.Equal(roles, []string{"neosc"}) {
				t.Errorf("roles left: %v", roles)
			}
		})
	}
}

func TestAZitadelThatIsAwayIsAskedAgainLater(t *testing.T) {
	z, s := stand(t)
	g := grant(z, 1, ana)
	z.Away(true)
	if err := s.Start(t.Context(), g); err == nil || errors.Is(err, session.ErrStepRefused) {
		t.Errorf("%v", err)
	}
	z.Away(false)
	if err := s.Start(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	z.Away(true)
	if err := s.End(t.Context(), g); err == nil || errors.Is(err, session.ErrStepRefused) {
		t.Errorf("%v", err)
	}
	if _, err := s.Owned(t.Context()); err == nil {
		t.Error("a Zitadel that is away owns nothing")
	}
	z.Away(false)
	if err := s.End(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	wantRoles(t, z, ana)
}

func TestASlowZitadelEndsWithTheCallersTime(t *testing.T) {
	z, s := stand(t)
	held := make(chan struct{})
	defer close(held)
	begun := make(chan struct{}, 1)
	z.Fail(func(p string, _ int) *zitadelfake.Fault {
		if p == "AddProjectRole" {
			begun <- struct{}{}
			return &zitadelfake.Fault{Slow: held}
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if err := s.Start(ctx, grant(z, 1, ana)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	// The lock was let go of.
	z.Fail(nil)
	if err := s.Start(t.Context(), grant(z, 1, ana)); err != nil {
		t.Error(err)
	}
}

func TestATokenThatIsNotTakenIsGotAnew(t *testing.T) {
	z, s := stand(t)
	for i := range 3 {
		if err := s.Start(t.Context(), grant(z, i, ana)); err != nil {
			t.Fatal(err)
		}
		z.ForgetTokens()
	}
	n := 0
	for _, c := range z.Calls() {
		if c == "token" {
			n++
		}
	}
	if n != 3 {
		t.Errorf("asked %d times for a token, want once and after each that was forgotten", n)
	}
}

func TestAPersonalAccessTokenIsReadAnew(t *testing.T) {
	z := zitadelfake.Start(t, clock, ana)
	path := private(t, "wrong\n")
	s, err := zitadel.New(zitadel.Options{Issuer: z.URL + "/", OrganizationID: org, ProjectID: project, TokenFile: path, Notes: memstore.New(), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	zitadel.SettleFast(s)
	if err := s.Start(t.Context(), grant(z, 1, ana)); err == nil || errors.Is(err, session.ErrStepRefused) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a token that is not taken: %v", err)
	}
	if err := os.WriteFile(path, []byte(zitadelfake.PAT+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), grant(z, 1, ana)); err != nil {
		t.Error(err)
	}
}

func TestAnEarlierZitadelIsUnderstood(t *testing.T) {
	z, s := stand(t)
	z.OldNames()
	g := grant(z, 1, ana)
	if err := s.Start(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	wantRoles(t, z, ana, g.Role)
	if err := s.End(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	wantRoles(t, z, ana)
}

// An administrator removes the authorization, or a role that is in it, between
// the look at it and the update.
func TestWhatChangesUnderneathIsLookedAtAgain(t *testing.T) {
	z, s := stand(t)
	z.Put(zitadelfake.Grant{ID: "1", User: ana, Organization: org, Project: project, Roles: []string{"neosc"}})
	var once sync.Once
	z.Before(func(p string) {
		if p == "UpdateAuthorization" {
			once.Do(func() {
				z.Put(zitadelfake.Grant{ID: "1", User: ben, Organization: "elsewhere", Project: "elsewhere"}) // ana's is gone
			})
		}
	})
	g := grant(z, 1, ana)
	if err := s.Start(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	wantRoles(t, z, ana, g.Role)
}

func TestWrongOptionsAreNamedWithTheirMend(t *testing.T) {
	z := zitadelfake.Start(t, clock)
	good := zitadel.Options{Issuer: z.URL, OrganizationID: org, ProjectID: project, TokenFile: private(t, zitadelfake.PAT), Notes: memstore.New()}
	open := private(t, zitadelfake.PAT)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	key := func(data string) func(*zitadel.Options) {
		return func(o *zitadel.Options) { o.TokenFile, o.KeyFile = "", private(t, data) }
	}
	for name, c := range map[string]struct {
		change func(*zitadel.Options)
		want   string
	}{
		"Good":           {func(*zitadel.Options) {}, ""},
		"GoodKey":        {key(string(z.KeyFile())), ""},
		"PlainHTTP":      {func(o *zitadel.Options) { o.Issuer = "http://zitadel.example" }, "must begin with https://"},
		"NoOrganization": {func(o *zitadel.Options) { o.OrganizationID = "" }, "organization_id"},
		"NoProject":      {func(o *zitadel.Options) { o.ProjectID = "" }, "project_id"},
		"LongGroup":      {func(o *zitadel.Options) { o.Group = strings.Repeat("x", 201) }, "group"},
		"NoNotes":        {func(o *zitadel.Options) { o.Notes = nil }, "Notes"},
		"NoCredential":   {func(o *zitadel.Options) { o.TokenFile = "" }, "one of key_file and token_file"},
		"Both":           {func(o *zitadel.Options) { o.KeyFile = o.TokenFile }, "one of key_file and token_file"},
		"OpenToken":      {func(o *zitadel.Options) { o.TokenFile = open }, "chmod 600"},
		"EmptyToken":     {func(o *zitadel.Options) { o.TokenFile = private(t, "\n") }, "want one line"},
		"TwoTokens":      {func(o *zitadel.Options) { o.TokenFile = private(t, "a\nb") }, "want one line"},
		"NoKeyFile":      {func(o *zitadel.Options) { o.TokenFile, o.KeyFile = "", "/nowhere/at/all" }, "no such file"},
		"NotJSON":        {key("-----BEGIN"), "is not the JSON file"},
		"NoPEM":          {key(`{"keyId":"1","userId":"2","key":"x"}`), "not PEM"},
		"NoRSA":          {key(`{"keyId":"1","userId":"2","key":"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"}`), "no RSA key"},
	} {
		o := good
		c.change(&o)
		_, err := zitadel.New(o)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
