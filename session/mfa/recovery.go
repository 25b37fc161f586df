package mfa

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strings"

	"github.com/neosc/gate/session"
)

const (
	// recoveryCodes is how many there are, of recoveryLength characters: 50 bits
	// each, against 20 guesses and then one in three minutes.
	recoveryCodes  = 10
	recoveryLength = 10
	// recoveryAlphabet has 32 characters, none of which is mistaken for another.
	recoveryAlphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
)

// NewRecoveryCodes implements session.SecondFactors.
func (st *Store) NewRecoveryCodes(ctx context.Context, userID string) ([]string, error) {
	k, err := st.dataKeys(ctx)
	if err != nil {
		return nil, err
	}
	codes := make([]string, recoveryCodes)
	for i := range codes {
		codes[i] = newCode()
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	tx, err := st.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, st.unavailable(err)
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	if _, err := tx.ExecContext(ctx, st.o.Dialect.Bind(`DELETE FROM mfa_recovery WHERE user_id = ?`), userID); err != nil {
		return nil, st.unavailable(err)
	}
	for _, c := range codes {
		if _, err := tx.ExecContext(ctx, st.o.Dialect.Bind(`INSERT INTO mfa_recovery (user_id, hash, used_at) VALUES (?, ?, 0)`), userID, k.hashCode(userID, c)); err != nil {
			return nil, st.unavailable(err)
		}
	}
	if err := tx.Commit(); err != nil {
		return nil, st.unavailable(err)
	}
	return codes, nil
}

// CheckRecovery implements session.SecondFactors.
func (st *Store) CheckRecovery(ctx context.Context, u session.FactorUser, code, clientAddr string) error {
	return st.count(methodRecovery, st.checkRecovery(ctx, u, code, clientAddr))
}

func (st *Store) checkRecovery(ctx context.Context, u session.FactorUser, code, clientAddr string) error {
	if err := st.charge(ctx, u, clientAddr); err != nil {
		return err
	}
	k, err := st.dataKeys(ctx)
	if err != nil {
		return err
	}
	n, err := st.exec(ctx, `UPDATE mfa_recovery SET used_at = ? WHERE user_id = ? AND hash = ? AND used_at = 0`,
		st.now().UnixMicro(), u.ID, k.hashCode(u.ID, code))
	if err == nil && n == 0 {
		return session.ErrFactor
	}
	return err
}

// hashCode is what is kept of a code: a MAC under a key that the database does
// not have, for 50 bits alone could be tried out.
func (k *dataKeys) hashCode(userID, code string) []byte {
	h := hmac.New(sha256.New, k.recovery)
	h.Write([]byte(userID + "\x00" + plainCode(code)))
	return h.Sum(nil)
}

// plainCode takes out what people put between the characters.
func plainCode(code string) string {
	code = strings.ToUpper(code[:min(len(code), 64)])
	return strings.NewReplacer(" ", "", "-", "", "\u2013", "").Replace(code)
}

// newCode draws each character evenly: 32 divides 256.
func newCode() string {
	var random [recoveryLength]byte
	_, _ = rand.Read(random[:])
	out := make([]byte, 0, recoveryLength+1)
	for i, b := range random {
		if i == recoveryLength/2 {
			out = append(out, '-')
		}
		out = append(out, recoveryAlphabet[int(b)%len(recoveryAlphabet)])
	}
	return string(out)
}
