package session_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// grants are a fake of what people have for a while.
type grants struct {
	live *session.DemoGrant
	// asked, if set, is called once what is live was looked at, before it is told.
	asked func()
}

func (g *grants) ActiveGrant(context.Context, string) (out session.DemoGrant, ok bool, err error) {
	if g.live != nil {
		out, ok = *g.live, true
	}
	if f := g.asked; f != nil {
		g.asked = nil
		f()
	}
	return out, ok, nil
}

func (g *grants) KnownGrant(context.Context, string) (bool, error) { return true, nil }

// TestWhoWroteAGrantThatEndedMeanwhileLoses: whoever read a session, and saw that
// its person has a grant, before that ended, does not write it after everybody was
// told that it had. The session did not carry it yet, so that there was nothing to
// take away when it ended.
func TestWhoWroteAGrantThatEndedMeanwhileLoses(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(r *rig, s *session.Session) error{
		"Regrant": func(r *rig, s *session.Session) error {
			_, err := r.Regrant(context.Background(), s.Identity.UserID)
			return err
		},
		"UpdateUser": func(r *rig, s *session.Session) error {
			_, err := r.UpdateUser(context.Background(), s.Identity.UserID, func(id *session.Identity) error { id.Name = "Ana A."; return nil })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &grants{}
			r := newRig(t, func(o *session.Options) { o.Grants = g })
			s, value := r.create(t)
			g.live = &session.DemoGrant{ID: "demo-1-aa", Role: "demo-user-1", WorkspaceType: "desktop", MaxDuration: time.Minute, ExpiresAt: base.Add(time.Minute)}
			g.asked = func() {
				g.live = nil
				if _, err := r.Regrant(t.Context(), s.Identity.UserID); err != nil {
					t.Error(err)
				}
			}
			if err := write(r, s); err != nil {
				t.Fatal(err)
			}
			got, err := r.lookup(value)
			if err != nil || slices.Contains(got.Identity.Roles, session.RoleDemo) || got.Identity.Claims[session.ClaimDemoSession] != nil {
				t.Errorf("%+v, error %v", got.Identity, err)
			}
		})
	}
}
