package session_test

import (
	"context"
	"errors"
	"testing"

	"github.com/neosc/gate/session"
)

// changedAccount says of every identity that its account was changed, after
// telling that it was asked.
type changedAccount struct {
	err   error
	asked func()
}

func (c changedAccount) StillHolds(context.Context, session.Identity) error {
	c.asked()
	return c.err
}

func TestSessionThatBeganWhileItsAccountChangedIsNone(t *testing.T) {
	t.Parallel()
	for _, want := range []error{session.ErrConflict, session.ErrUnavailable} {
		var r *rig
		stored := 0
		r = newRig(t, func(o *session.Options) {
			o.Accounts = changedAccount{err: want, asked: func() {
				all, err := r.List(t.Context(), session.Query{})
				if err != nil {
					t.Error(err)
				}
				stored = len(all)
			}}
		})
		_, value, err := r.Create(t.Context(), session.Identity{UserID: "u1", Email: "a@example.com"}, session.Browser, 0)
		if !errors.Is(err, want) || value != "" {
			t.Errorf("value %q, error %v, want %v", value, err, want)
		}
		if stored != 1 {
			t.Errorf("%d sessions were stored when the account was asked about: a change then would have missed it", stored)
		}
		if all, err := r.List(t.Context(), session.Query{}); err != nil || len(all) != 0 {
			t.Errorf("%d sessions are left, error %v", len(all), err)
		}
	}
}
