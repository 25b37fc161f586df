package mfa

import (
	"errors"
	"testing"

	"github.com/neosc/gate/session"
)

// Whatever a browser sends in the place of a reply opens nothing and breaks
// nothing; only a reply to a challenge of this moment does.
func FuzzRepliesOpenNothing(f *testing.F) {
	r := newRig(f, sqlite)
	r.spent.limit = 1 << 30
	k := newToken(f)
	r.add(f, nora, "key", k)
	spent := k.get(f, r.options(f, nora))
	if _, err := r.check(f, nora, spent); err != nil {
		f.Fatal(err)
	}
	options, err := r.BeginPasskey(f.Context(), owner, nora)
	if err != nil {
		f.Fatal(err)
	}
	made := newToken(f).create(f, options)
	if _, err := r.FinishPasskey(f.Context(), owner, nora, "other", made); err != nil {
		f.Fatal(err)
	}
	f.Add(spent, "000000")
	f.Add(made, "ABCDE-FGHJK")
	f.Add([]byte(`{"id":"","rawId":"","type":"public-key","response":{}}`), "\u00a0\u20131")
	f.Fuzz(func(t *testing.T, reply []byte, code string) {
		ctx := t.Context()
		if id, err := r.FinishPasskeyCheck(ctx, owner, nora, reply, addr); id != "" || !errors.Is(err, session.ErrFactor) {
			t.Errorf("a reply opens %q, error %v", id, err)
		}
		if id, err := r.FinishPasskeyCheck(ctx, owner, session.FactorUser{}, reply, addr); id != "" || !errors.Is(err, session.ErrFactor) {
			t.Errorf("a reply without a name opens %q, error %v", id, err)
		}
		if _, err := r.FinishPasskey(ctx, owner, nora, "x", reply); !errors.Is(err, session.ErrFactor) {
			t.Errorf("a reply is taken as a new key: %v", err)
		}
		for name, err := range map[string]error{"app": r.CheckApp(ctx, nora, code, addr), "recovery": r.CheckRecovery(ctx, nora, code, addr)} {
			if !errors.Is(err, session.ErrFactor) {
				t.Errorf("the code %q of %s: %v", code, name, err)
			}
		}
	})
}
