package mfa

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/neosc/gate/session"
)

// What authenticator apps all know: SHA-1, six digits, a step of 30 s. Others
// are ignored by some apps without a word.
const (
	stepSeconds = 30
	digits      = otp.DigitsSix
	// secretBytes is the length of SHA-1's output, as RFC 4226 recommends.
	secretBytes = 20
	// stepsAround are the steps before and after the current one whose codes
	// are taken, for clocks that are off and people who type (RFC 6238, 5.2).
	stepsAround = 1
	// setupLife is how long somebody may take to scan the code.
	setupLife = 10 * time.Minute
)

// NewApp implements session.SecondFactors.
func (st *Store) NewApp(ctx context.Context, owner session.Key, u session.FactorUser) (session.AppSecret, error) {
	k, err := st.dataKeys(ctx)
	if err != nil {
		return session.AppSecret{}, err
	}
	now, key := st.now(), noteKey("app", owner, u.ID)
	n, err := st.o.Notes.GetNote(ctx, key, now)
	if errors.Is(err, session.ErrNotFound) {
		secret := make([]byte, secretBytes)
		_, _ = rand.Read(secret)
		n = session.Note{Data: sealWith(k.seal, secret, appUse(u.ID)), Expires: now.Add(setupLife)}
		err = st.o.Notes.PutNote(ctx, key, n, now)
		if errors.Is(err, session.ErrExists) { // another tab was first
			n, err = st.o.Notes.GetNote(ctx, key, now)
		}
	}
	if err != nil {
		return session.AppSecret{}, fmt.Errorf("set up an app: %w", err)
	}
	secret, err := openWith(k.seal, n.Data, appUse(u.ID))
	if err != nil {
		return session.AppSecret{}, fmt.Errorf("set up an app: %w", err)
	}
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
	q := url.Values{"secret": {text}, "issuer": {st.o.Name}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}
	// Apps read the query as a URI's, in which + is no space.
	uri := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + st.o.Name + ":" + u.Email, RawQuery: strings.ReplaceAll(q.Encode(), "+", "%20")}
	return session.AppSecret{Key: text, URI: uri.String()}, nil
}

// ConfirmApp implements session.SecondFactors.
func (st *Store) ConfirmApp(ctx context.Context, owner session.Key, u session.FactorUser, code, clientAddr string) error {
	k, err := st.dataKeys(ctx)
	if err != nil {
		return err
	}
	if err := st.charge(ctx, u, clientAddr); err != nil {
		return err
	}
	now, key := st.now(), noteKey("app", owner, u.ID)
	n, err := st.o.Notes.GetNote(ctx, key, now)
	if err != nil {
		return fmt.Errorf("set up an app: %w", err)
	}
	secret, err := openWith(k.seal, n.Data, appUse(u.ID))
	if err != nil {
		return fmt.Errorf("set up an app: %w", err)
	}
	step, ok, err := matchStep(secret, code, now)
	if err != nil {
		return err
	}
	if !ok {
		return session.ErrFactor
	}
	if _, err := st.o.Notes.TakeNote(ctx, key, now); err != nil {
		return fmt.Errorf("set up an app: %w", err)
	}
	_, err = st.exec(ctx, `INSERT INTO mfa_app (user_id, secret, last_step, added_at, used_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret, last_step = excluded.last_step, added_at = excluded.added_at, used_at = excluded.used_at`,
		u.ID, n.Data, step, now.UnixMicro(), now.UnixMicro())
	return err
}

// CheckApp implements session.SecondFactors.
func (st *Store) CheckApp(ctx context.Context, u session.FactorUser, code, clientAddr string) error {
	return st.count(methodApp, st.checkApp(ctx, u, code, clientAddr))
}

func (st *Store) checkApp(ctx context.Context, u session.FactorUser, code, clientAddr string) error {
	if err := st.charge(ctx, u, clientAddr); err != nil {
		return err
	}
	k, err := st.dataKeys(ctx)
	if err != nil {
		return err
	}
	var sealed []byte
	err = st.row(ctx, `SELECT secret FROM mfa_app WHERE user_id = ?`, []any{u.ID}, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return session.ErrFactor
	}
	if err != nil {
		return err
	}
	secret, err := openWith(k.seal, sealed, appUse(u.ID))
	if err != nil {
		return st.unavailable(fmt.Errorf("the app of %s: %w", u.ID, err))
	}
	now := st.now()
	step, ok, err := matchStep(secret, code, now)
	if err != nil {
		return err
	}
	if !ok {
		return session.ErrFactor
	}
	// One statement, so that of many requests with one code one gets in.
	n, err := st.exec(ctx, `UPDATE mfa_app SET last_step = ?, used_at = ? WHERE user_id = ? AND secret = ? AND last_step < ?`,
		step, now.UnixMicro(), u.ID, sealed, step)
	if err == nil && n == 0 {
		return session.ErrFactor
	}
	return err
}

// RemoveApp implements session.SecondFactors.
func (st *Store) RemoveApp(ctx context.Context, userID string) error {
	n, err := st.exec(ctx, `DELETE FROM mfa_app WHERE user_id = ?`, userID)
	if err == nil && n == 0 {
		return session.ErrNoFactor
	}
	return err
}

// matchStep returns the latest step whose code it is. All are computed and
// compared whichever matches.
func matchStep(secret []byte, code string, now time.Time) (step int64, ok bool, err error) {
	code = strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '\u00a0' { // as apps show it, in two groups
			return -1
		}
		return r
	}, code[:min(len(code), 32)])
	text := base32.StdEncoding.EncodeToString(secret)
	current := now.Unix() / stepSeconds
	for s := current - stepsAround; s <= current+stepsAround; s++ {
		want, err := hotp.GenerateCodeCustom(text, uint64(s), hotp.ValidateOpts{Digits: digits, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, false, fmt.Errorf("compute a code: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok, nil
}

func appUse(userID string) string { return "neosc gate secret of the app of " + userID }

// noteKey names a note of somebody's own doing.
func noteKey(use string, owner session.Key, userID string) session.Key {
	h := sha256.New()
	h.Write([]byte("neosc second factor " + use + "\x00"))
	h.Write(owner[:])
	h.Write([]byte(userID))
	return session.Key(h.Sum(nil))
}
