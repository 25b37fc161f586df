package oidclogin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// directory keeps who signed in.
type directory struct {
	session.Directory
	mu   sync.Mutex
	kept map[string]session.Identity // by issuer and subject
	down error
}

func (d *directory) SignedIn(_ context.Context, id session.Identity, at time.Time) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down != nil {
		return false, d.down
	}
	if d.kept == nil {
		d.kept = map[string]session.Identity{}
	}
	k := id.Issuer + " " + id.Subject
	_, known := d.kept[k]
	d.kept[k] = id
	return !known, nil
}

func TestASignInIsKeptBeforeItsSessionBegins(t *testing.T) {
	t.Parallel()
	d := &directory{down: fmt.Errorf("people: %w", session.ErrUnavailable)}
	r := newRig(t, func(o *Options) { o.Directory = d })
	if _, err := r.signIn(t); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if n, _ := r.store.CountLive(t.Context(), noon); n != 0 {
		t.Errorf("%d sessions of somebody who is not kept", n)
	}
	d.down = nil
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := d.kept[r.idp.URL+" s1"]; !ok || id.UserID != l.Session.Identity.UserID || id.Email != "nora@kappa4.com" {
		t.Errorf("kept %+v", d.kept)
	}
}

func TestWhoIsRefusedIsNotKept(t *testing.T) {
	t.Parallel()
	d := &directory{}
	r := newRig(t, func(o *Options) { o.Directory = d })
	r.idp.claims["roles"] = []string{"user,admin"}
	_, err := r.signIn(t)
	wantReason(t, err, session.LoginIdentity)
	if len(d.kept) != 0 {
		t.Errorf("kept %+v", d.kept)
	}
}
