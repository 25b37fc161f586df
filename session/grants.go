package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ClaimDemoCovers says, in an identity that has a grant's claims, what was there
// before: an object with the grant's id, the roles that came with it, and the
// claims that its own cover.
const ClaimDemoCovers = "neosc:demo_covers"

// Grants knows what people have for a while besides what they are. Safe for
// concurrent use.
type Grants interface {
	// ActiveGrant returns the grant whose claims a user's sessions have to have
	// now, false if there is none. An error wraps ErrUnavailable.
	ActiveGrant(ctx context.Context, userID string) (DemoGrant, bool, error)
	// KnownGrant reports whether there is, or was of late, a grant of an id.
	KnownGrant(ctx context.Context, id string) (bool, error)
}

// demoClaims are those that a grant sets.
func demoClaims() []string {
	return []string{ClaimDemoSession, ClaimDemoExpires, ClaimDemoWorkspace, ClaimDemoDuration}
}

// Grant puts a grant's claims and roles into an identity, and notes what Ungrant
// needs to take away them alone.
func (id *Identity) Grant(g DemoGrant) {
	id.Ungrant()
	covered, roles := map[string]any{}, []any{}
	if id.Claims == nil {
		id.Claims = map[string]any{}
	}
	for _, name := range demoClaims() {
		if v, ok := id.Claims[name]; ok {
			covered[name] = v
		}
	}
	for _, r := range []string{RoleDemo, g.Role} {
		if r != "" && !slices.Contains(id.Roles, r) {
			id.Roles = append(slices.Clone(id.Roles), r)
			roles = append(roles, r)
		}
	}
	slices.Sort(id.Roles)
	id.Claims[ClaimDemoSession] = g.ID
	id.Claims[ClaimDemoExpires] = g.ExpiresAt.UTC().Format(time.RFC3339Nano)
	id.Claims[ClaimDemoWorkspace] = g.WorkspaceType
	id.Claims[ClaimDemoDuration] = json.Number(strconv.FormatInt(int64(g.MaxDuration/time.Second), 10))
	id.Claims[ClaimDemoCovers] = map[string]any{"id": g.ID, "roles": roles, "claims": covered}
}

// Ungrant takes away what Grant put there, and nothing else.
func (id *Identity) Ungrant() {
	note, ok := id.Claims[ClaimDemoCovers].(map[string]any)
	if !ok {
		return
	}
	delete(id.Claims, ClaimDemoCovers)
	covered, _ := note["claims"].(map[string]any)
	for _, name := range demoClaims() {
		delete(id.Claims, name)
		if v, ok := covered[name]; ok {
			id.Claims[name] = v
		}
	}
	added, _ := note["roles"].([]any)
	id.Roles = slices.DeleteFunc(slices.Clone(id.Roles), func(r string) bool {
		// Only roles that are a grant's to bring, whoever wrote the note.
		return slices.Contains(added, any(r)) && (r == RoleDemo || strings.HasPrefix(r, RoleDemo+"-"))
	})
}

// grantOf says which grant an identity has the claims of, and until when.
func (id *Identity) grantOf() (grant string, until any) {
	grant, _ = id.Claims[ClaimDemoSession].(string)
	return grant, id.Claims[ClaimDemoExpires]
}

// drop takes away the claims of a grant that an identity brings along, such as
// from a provider that was told of it: when a grant has ended it has ended
// whatever the provider said a moment ago.
func (id *Identity) drop() {
	for _, name := range demoClaims() {
		delete(id.Claims, name)
	}
	id.Roles = slices.DeleteFunc(slices.Clone(id.Roles), func(r string) bool { return strings.HasPrefix(r, RoleDemo+"-") })
}

// regrant has an identity carry the claims of the grant that its person has now.
// It is asked for after the record was read and before it is written under
// compare-and-swap: so whoever changes a grant and then all sessions of its person
// finds no record written later that knows less.
func (m *Manager) regrant(ctx context.Context, id *Identity) error {
	if m.o.Grants == nil {
		return nil
	}
	id.Ungrant()
	g, ok, err := m.o.Grants.ActiveGrant(ctx, id.UserID)
	if err != nil {
		return fmt.Errorf("grants: %w", err)
	}
	if brought, _ := id.grantOf(); brought != "" {
		known, err := m.o.Grants.KnownGrant(ctx, brought)
		if err != nil {
			return fmt.Errorf("grants: %w", err)
		}
		if known {
			id.drop()
		}
	}
	if ok {
		id.Grant(g)
	}
	return nil
}

// Regrant has all sessions of a user id carry the claims of the grant that the
// person has now, or of none, and returns how many it changed. On return none of
// them will carry what the person had before, whoever was about to write it. It goes
// by no clock: a session that is over is changed like others, and stays over.
func (m *Manager) Regrant(ctx context.Context, userID string) (int, error) {
	if userID == "" {
		return 0, errors.New("grant to sessions of a user: no user id")
	}
	seen := make(map[Key]bool)
	q := Query{UserID: userID, Limit: 1000}
	n := 0
	for {
		page, err := m.o.Store.List(ctx, q)
		if err != nil {
			return n, err
		}
		fresh := false
		for _, s := range page {
			if seen[s.Key] {
				continue
			}
			seen[s.Key], fresh = true, true
			_, changed, err := m.regrantOne(ctx, s.Key, true)
			if err != nil {
				return n, err
			}
			if changed {
				n++
			}
		}
		if !fresh || len(page) < q.Limit {
			return n, nil
		}
		q.Before = page[len(page)-1].CreatedAt.Add(time.Millisecond) // as UpdateUser does
	}
}

// regrantOne returns nil for a session that is gone. settle has it write the record
// also where nothing is to be changed: else somebody who read it before, and saw a
// grant that has ended meanwhile, would write that after this.
func (m *Manager) regrantOne(ctx context.Context, k Key, settle bool) (*Session, bool, error) {
	for range updateTries {
		old, err := m.o.Store.Get(ctx, k)
		if errors.Is(err, ErrNotFound) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		s := old.Clone()
		if err := m.regrant(ctx, &s.Identity); err != nil {
			return nil, false, err
		}
		if s, err = m.clean(s); err != nil {
			return nil, false, fmt.Errorf("grant to session %s: %w", k.Short(), err)
		}
		same := sameGrant(&old.Identity, &s.Identity)
		if same && !settle {
			return old, false, nil
		}
		s.Version, err = m.o.Store.Update(ctx, s)
		m.forget(k)
		switch {
		case err == nil:
			return s, !same, nil
		case errors.Is(err, ErrNotFound):
			return nil, false, nil
		case !errors.Is(err, ErrConflict):
			return nil, false, err
		}
	}
	return nil, false, fmt.Errorf("grant to session %s: %w, %d times", k.Short(), ErrConflict, updateTries)
}

func sameGrant(a, b *Identity) bool {
	grantA, untilA := a.grantOf()
	grantB, untilB := b.grantOf()
	_, markedA := a.Claims[ClaimDemoCovers]
	_, markedB := b.Claims[ClaimDemoCovers]
	return grantA == grantB && markedA == markedB && reflect.DeepEqual(untilA, untilB) // a provider may have sent anything
}

// beginGranted has a session that was stored a moment ago carry its person's
// grant. Looked at after it is stored, so that a grant that begins or ends in
// this moment finds the session, or is found here.
func (m *Manager) beginGranted(ctx context.Context, s *Session) (*Session, error) {
	if m.o.Grants == nil {
		return s, nil
	}
	_, ok, err := m.o.Grants.ActiveGrant(ctx, s.Identity.UserID)
	if has, _ := s.Identity.grantOf(); err == nil && !ok && has == "" {
		return s, nil
	}
	if err == nil {
		var now *Session
		if now, _, err = m.regrantOne(ctx, s.Key, false); err == nil && now == nil {
			err = ErrConflict // it was ended meanwhile
		}
		if err == nil {
			return now, nil
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unwindTime)
	defer cancel()
	return nil, errors.Join(fmt.Errorf("grants: %w", err), m.o.Store.Delete(ctx, s.Key))
}
