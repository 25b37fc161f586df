package session

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAGrantTakesAwayOnlyItself: whatever an identity had of the same names is
// there again, also after a store has kept it.
func TestAGrantTakesAwayOnlyItself(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.SampledFrom([]string{ClaimDemoSession, ClaimDemoExpires, ClaimDemoWorkspace, ClaimDemoDuration, "sub", "roles"}), rapid.ID[string]).Draw(t, "claims")
		roles := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"admin", "demo-user", "demo-user-1000000001", "neosc"}), rapid.ID[string]).Draw(t, "roles")
		slices.Sort(roles)
		claims := map[string]any{"email": "a@example.com"}
		for i, name := range names {
			claims[name] = []any{"text", json.Number("7"), map[string]any{"a": "b"}, nil}[i%4]
		}
		s := &Session{Identity: Identity{UserID: "a", Roles: roles, Claims: claims}}
		before, err := Canonical(s)
		if err != nil {
			t.Fatal(err)
		}
		now := before.Clone()
		for range rapid.IntRange(1, 3).Draw(t, "grants") { // one after another, or one made longer
			now.Identity.Grant(DemoGrant{ID: "demo-1-00", Role: "demo-user-1000000002", WorkspaceType: "desktop", MaxDuration: time.Minute, ExpiresAt: time.Unix(1_772_700_000, 0)})
			if now, err = Canonical(now); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Contains(now.Identity.Roles, RoleDemo) || !slices.Contains(now.Identity.Roles, "demo-user-1000000002") || now.Identity.Claims[ClaimDemoSession] != "demo-1-00" {
			t.Fatalf("%+v", now.Identity)
		}
		now.Identity.Ungrant()
		if !slices.Equal(now.Identity.Roles, before.Identity.Roles) || !reflect.DeepEqual(now.Identity.Claims, before.Identity.Claims) {
			t.Fatalf("%+v, want %+v", now.Identity, before.Identity)
		}
	})
}

func TestANoteOfAGrantTakesNoOtherRole(t *testing.T) {
	t.Parallel()
	for name, note := range map[string]any{
		"Forged": map[string]any{"roles": []any{"admin", "demo-user", 7, map[string]any{}}, "claims": map[string]any{"sub": "somebody else"}}, "NoObject": "x", "Null": nil, "Empty": map[string]any{},
	} {
		id := Identity{UserID: "a", Roles: []string{"admin", "demo-user", "demo-users"}, Claims: map[string]any{"sub": "a", ClaimDemoCovers: note}}
		id.Ungrant()
		if !slices.Contains(id.Roles, "admin") || !slices.Contains(id.Roles, "demo-users") || id.Claims["sub"] != "a" {
			t.Errorf("%s: %+v", name, id)
		}
	}
}
