package bearer_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/bearer"
	"github.com/neosc/gate/session/claims"
)

func TestAGoodTokenOpensASession(t *testing.T) {
	r := newRig(t, nil)
	token := r.token(t, map[string]any{"sid": "s1", "groups": []string{"g"}})
	s := r.accept(t, token)
	want := &session.Session{
		Key: bearer.Key(token), Kind: session.Bearer, IdPSession: "s1", Version: 1,
		CreatedAt: base.Add(-time.Minute), ExpiresAt: base.Add(time.Hour), IdleExpiresAt: base.Add(time.Hour), Unstored: true,
		Identity: session.Identity{
			Provider: "zitadel_onprem", Issuer: r.idp.URL, Subject: "7", UserID: claims.UserID(r.idp.URL, "7"),
			Email: "ana@company.com", EmailVerified: true, Name: "Ana Luz", Roles: []string{"neosc"}, Groups: []string{"g"},
			Claims: s.Identity.Claims, AuthenticatedAt: base.Add(-time.Minute),
		},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	if again := r.accept(t, token); again != s {
		t.Error("the second time it is another session")
	}
	if n := r.idp.jwks.Load(); n != 1 {
		t.Errorf("%d fetches of the keys, want 1", n)
	}
	if same, err := session.Canonical(s); err != nil || !reflect.DeepEqual(same.Identity, s.Identity) {
		t.Errorf("%v; a store would give back %+v", err, same)
	}
}
