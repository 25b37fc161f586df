package oidclogin

import (
	"context"
	"testing"

	"github.com/neosc/gate/session"
)

// drafts notes how sessions begin.
type drafts struct {
	Sessions
	last session.Draft
}

func (d *drafts) Begin(ctx context.Context, x session.Draft) (*session.Session, string, session.Secret, error) {
	d.last = x
	return d.Sessions.Begin(ctx, x)
}

// TestSignInsAreKeptWithTheSessionsThatTheyBegin: the audit trail gets them from
// whoever begins sessions.
func TestSignInsAreKeptWithTheSessionsThatTheyBegin(t *testing.T) {
	t.Parallel()
	var d *drafts
	r := newRig(t, func(o *Options) {
		d = &drafts{Sessions: o.Sessions}
		o.Sessions = d
	})
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	if d.last.SignIn != session.ActionSSOLogin || d.last.Kind != session.Browser || !l.Started.Equal(noon) {
		t.Errorf("%+v, started %s", d.last, l.Started)
	}
}
