package mfa

import (
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/test/softkey"
)

// token is an authenticator whose test ends where it cannot answer.
type token struct{ *softkey.Token }

func newToken(t testing.TB) *token {
	t.Helper()
	k, err := softkey.New(origin, "gate.kappa4.com")
	if err != nil {
		t.Fatal(err)
	}
	return &token{k}
}

func (k *token) create(t testing.TB, options []byte) []byte {
	t.Helper()
	reply, err := k.Create(options)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func (k *token) get(t testing.TB, options []byte) []byte {
	t.Helper()
	reply, err := k.Get(options)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// add enrols k for u.
func (r *rig) add(t testing.TB, u session.FactorUser, name string, k *token) session.Factor {
	t.Helper()
	options, err := r.BeginPasskey(t.Context(), owner, u)
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.FinishPasskey(t.Context(), owner, u, name, k.create(t, options))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// options begins a check.
func (r *rig) options(t testing.TB, u session.FactorUser) []byte {
	t.Helper()
	o, err := r.BeginPasskeyCheck(t.Context(), owner, u)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (r *rig) check(t testing.TB, u session.FactorUser, reply []byte) (string, error) {
	t.Helper()
	return r.FinishPasskeyCheck(t.Context(), owner, u, reply, addr)
}

func aPasskeysLife(t *testing.T, r *rig) {
	ctx := t.Context()
	_, err := r.BeginPasskeyCheck(ctx, owner, nora)
	wantErr(t, err, session.ErrNoFactor)
	phone, stick := newToken(t), newToken(t)
	phone.User = []byte(nora.ID)
	added := r.add(t, nora, "  Pixel 8 ", phone)
	r.turn(time.Minute)
	r.add(t, nora, "YubiKey 5C", stick)
	f, err := r.Factors(ctx, nora.ID)
	if err != nil || len(f.Passkeys) != 2 || f.Passkeys[0].Name != "Pixel 8" || f.Passkeys[1].Name != "YubiKey 5C" || !f.Passkeys[0].UsedAt.IsZero() || !f.Enrolled() {
		t.Errorf("%+v, error %v", f, err)
	}
	for name, k := range map[string]*token{"phone": phone, "stick": stick} {
		reply := k.get(t, r.options(t, nora))
		if id, err := r.check(t, nora, reply); err != nil || id != nora.ID {
			t.Errorf("%s: %q, error %v", name, id, err)
		}
		// The challenge is spent.
		_, err := r.check(t, nora, reply)
		wantErr(t, err, session.ErrFactor)
	}
	// A key that says itself whose it is.
	if id, err := r.check(t, session.FactorUser{}, phone.get(t, r.options(t, session.FactorUser{}))); err != nil || id != nora.ID {
		t.Errorf("without a name: %q, error %v", id, err)
	}
	_, err = r.check(t, session.FactorUser{}, stick.get(t, r.options(t, session.FactorUser{})))
	wantErr(t, err, session.ErrFactor) // it does not say
	if err := r.RenamePasskey(ctx, nora.ID, added.ID, "Old phone"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "  ", strings.Repeat("x", 61), "a\nb", "\xff"} {
		wantErr(t, r.RenamePasskey(ctx, nora.ID, added.ID, name), session.ErrFactorName)
	}
	wantErr(t, r.RenamePasskey(ctx, "usr_other", added.ID, "mine"), session.ErrNoFactor)
	wantErr(t, r.RemovePasskey(ctx, "usr_other", added.ID), session.ErrNoFactor)
	old := r.options(t, nora)
	if err := r.RemovePasskey(ctx, nora.ID, added.ID); err != nil {
		t.Error(err)
	}
	_, err = r.check(t, nora, phone.get(t, old))
	wantErr(t, err, session.ErrFactor)
	if f, err := r.Factors(ctx, nora.ID); err != nil || len(f.Passkeys) != 1 {
		t.Errorf("%+v, error %v", f, err)
	}
}

func TestAPasskeyThatDoesNotHoldIsRefused(t *testing.T) {
	t.Parallel()
	other := session.FactorUser{ID: "usr_other", Email: "other@kappa4.com"}
	for name, spoil := range map[string]func(t *testing.T, r *rig, k *token) (options []byte, u session.FactorUser){
		"AnotherOrigin": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			k.Origin = "https://portal.kappa4.com"
			return r.options(t, nora), nora
		},
		"AnotherPort": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			k.Origin = origin + ":8443"
			return r.options(t, nora), nora
		},
		"AnotherRelyingParty": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			k.RP = "kappa4.com"
			return r.options(t, nora), nora
		},
		"UserNotVerified": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			k.Flags = softkey.Present
			return r.options(t, nora), nora
		},
		"NobodyPresent": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			k.Flags = softkey.Verified
			return r.options(t, nora), nora
		},
		"ChallengeTooOld": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			o := r.options(t, nora)
			r.turn(ceremonyLife)
			return o, nora
		},
		"AnothersChallenge": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			o, err := r.BeginPasskeyCheck(t.Context(), session.ID{9}.Key(), nora)
			if err != nil {
				t.Fatal(err)
			}
			return o, nora
		},
		"NoChallengeOfOurs": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			return []byte(`{"challenge":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","userVerification":"required"}`), nora
		},
		"AnotherKey": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			k.Key = newToken(t).Key
			return r.options(t, nora), nora
		},
		"CounterGoesBack": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			if _, err := r.check(t, nora, k.get(t, r.options(t, nora))); err != nil {
				t.Fatal(err)
			}
			k.Count = 2
			return r.options(t, nora), nora
		},
		"OfAnotherAccount": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			r.add(t, other, "theirs", newToken(t))
			return r.options(t, other), other
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sqlite)
			k := newToken(t)
			k.Count = 7
			r.add(t, nora, "key", k)
			options, u := spoil(t, r, k)
			if id, err := r.check(t, u, k.get(t, options)); err == nil || id != "" {
				t.Errorf("it opens %q", id)
			} else {
				wantErr(t, err, session.ErrFactor)
			}
		})
	}
}

func TestWhatIsNoReplyIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, sqlite)
	k := newToken(t)
	f := r.add(t, nora, "key", k)
	for _, reply := range []string{"", "{}", "null", "[]", `{"id":"` + f.ID + `"}`, strings.Repeat("[", 60<<10), strings.Repeat(" ", 1<<20), "\xff"} {
		_, err := r.check(t, nora, []byte(reply))
		wantErr(t, err, session.ErrFactor)
		_, err = r.FinishPasskey(t.Context(), owner, nora, "x", []byte(reply))
		wantErr(t, err, session.ErrFactor)
	}
	// The same key again, for whomever.
	options, err := r.BeginPasskey(t.Context(), owner, nora)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(options), f.ID) {
		t.Errorf("the browser is not told of the key that there is: %s", options)
	}
	_, err = r.FinishPasskey(t.Context(), owner, nora, "again", k.create(t, options))
	wantErr(t, err, session.ErrFactor)
	mallory := session.FactorUser{ID: "usr_mallory", Email: "mallory@kappa4.com"}
	if options, err = r.BeginPasskey(t.Context(), owner, mallory); err != nil {
		t.Fatal(err)
	}
	_, err = r.FinishPasskey(t.Context(), owner, mallory, "taken", k.create(t, options))
	wantErr(t, err, session.ErrFactor)
}

func TestAPasskeyCounterGoesUpOnceHoweverManyUseIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, sqlite)
	k := newToken(t)
	k.Count = 7
	r.add(t, nora, "key", k)
	a, b := r.options(t, nora), r.options(t, nora)
	first := k.get(t, a)
	k.Count-- // a copy of the key counts by itself
	second := k.get(t, b)
	if _, err := r.check(t, nora, first); err != nil {
		t.Error(err)
	}
	_, err := r.check(t, nora, second)
	wantErr(t, err, session.ErrFactor)
}
