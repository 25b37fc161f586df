package mfa

import (
	"bytes"
	"encoding/base32"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func ringTurns(t *testing.T, r *rig) {
	ctx := t.Context()
	secret := r.enrol(t, nora)
	codes, err := r.NewRecoveryCodes(ctx, nora.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.ring = [][]byte{key(1), key(0)} // the ring has turned
	if err := r.Renew(ctx); err != nil {
		t.Fatal(err)
	}
	r.ring = [][]byte{key(1)} // and the old key was pruned
	other := r.again(t, r.db, r.o.Dialect)
	if err := other.CheckApp(ctx, nora, r.code(t, secret, 0), addr); err != nil {
		t.Error(err)
	}
	if err := other.CheckRecovery(ctx, nora, codes[0], addr); err != nil {
		t.Error(err)
	}
	r.ring = [][]byte{key(2)} // a ring that was lost
	lost := r.again(t, r.db, r.o.Dialect)
	err = lost.CheckApp(ctx, nora, r.code(t, secret, 1), addr)
	wantErr(t, err, session.ErrUnavailable)
	if err == nil || !strings.Contains(err.Error(), "cookie.keys") {
		t.Errorf("it does not say what is wrong: %v", err)
	}
	if err := lost.Reset(ctx); err != nil {
		t.Error(err)
	}
	if f, err := lost.Factors(ctx, nora.ID); err != nil || f.Enrolled() || f.RecoveryMade != 0 {
		t.Errorf("left is %+v, error %v", f, err)
	}
	if _, err := lost.NewApp(ctx, owner, nora); err != nil {
		t.Errorf("nobody can begin anew: %v", err)
	}
}

func dumped(t *testing.T, r *rig) {
	secret := r.enrol(t, nora)
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	codes, err := r.NewRecoveryCodes(t.Context(), nora.ID)
	if err != nil {
		t.Fatal(err)
	}
	var dump []byte
	for _, query := range []string{`SELECT sealed FROM mfa_key`, `SELECT secret FROM mfa_app`, `SELECT hash FROM mfa_recovery`} {
		rows, err := r.db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var b []byte
			if err := rows.Scan(&b); err != nil {
				t.Fatal(err)
			}
			dump = append(dump, b...)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		_ = rows.Close()
	}
	for _, s := range []string{string(raw), secret, codes[0], strings.ReplaceAll(codes[0], "-", "")} {
		if bytes.Contains(dump, []byte(s)) {
			t.Errorf("the database holds %q", s)
		}
	}
}

// A secret that was moved to another's row opens nothing: it would let the one
// answer for the other.
func TestASecretIsBoundToItsOwner(t *testing.T) {
	t.Parallel()
	r := newRig(t, sqlite)
	mallory := session.FactorUser{ID: "usr_mallory", Email: "mallory@kappa4.com"}
	r.enrol(t, nora)
	secret := r.enrol(t, mallory)
	if _, err := r.db.Exec(`UPDATE mfa_app SET secret = (SELECT secret FROM mfa_app WHERE user_id = 'usr_mallory') WHERE user_id = 'usr_nora'`); err != nil {
		t.Fatal(err)
	}
	wantErr(t, r.CheckApp(t.Context(), nora, r.code(t, secret, 0), addr), session.ErrUnavailable)
}

func TestAPendingLoginIsForOneBrowserAndFiveTries(t *testing.T) {
	t.Parallel()
	r := newRig(t, sqlite)
	ctx := t.Context()
	begin := func() string {
		token, err := r.Begin(ctx, session.PendingLogin{User: nora, ReturnTo: "https://portal.kappa4.com/", Started: base})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := begin()
	l, k, err := r.Pending(ctx, token)
	if err != nil || l.User != nora || l.ReturnTo != "https://portal.kappa4.com/" || !l.Started.Equal(base) || k == (session.Key{}) {
		t.Errorf("%+v, error %v", l, err)
	}
	if _, other, err := r.Pending(ctx, begin()); err != nil || other == k {
		t.Errorf("two logins have one key, error %v", err)
	}
	_, _, err = r.Pending(ctx, token+"x")
	wantErr(t, err, session.ErrNotFound)
	if won := atOnce(func() error { return r.Try(ctx, token) }); won != 5 {
		t.Errorf("%d of 16 tries were let through, want 5", won)
	}
	_, _, err = r.Pending(ctx, token)
	wantErr(t, err, session.ErrNotFound)

	token = begin()
	if won := atOnce(func() error { _, err := r.Take(ctx, token); return err }); won != 1 {
		t.Errorf("%d of 16 finished one login", won)
	}
	token = begin()
	r.turn(pendingLife)
	_, err = r.Take(ctx, token)
	wantErr(t, err, session.ErrNotFound)
}

func TestSettingUpAnAppEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, sqlite)
	a, err := r.NewApp(t.Context(), owner, nora)
	if err != nil {
		t.Fatal(err)
	}
	r.turn(setupLife + time.Second)
	wantErr(t, r.ConfirmApp(t.Context(), owner, nora, r.code(t, a.Key, 0), addr), session.ErrNotFound)
}
