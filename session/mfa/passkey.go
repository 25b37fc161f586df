package mfa

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/neosc/gate/session"
)

const (
	// ceremonyLife is how long a challenge holds.
	ceremonyLife = 5 * time.Minute
	maxPasskeys  = 20
	maxKeyName   = 60
	// maxReply bounds what a browser sends: a key with an attestation of a few
	// certificates.
	maxReply = 64 << 10
)

const (
	useCreate = "passkey to be"
	useGet    = "passkey check"
)

// passkey is a row.
type passkey struct {
	session.Factor
	userID     string
	credential webauthn.Credential
	signCount  int64
}

// holder is a user as the WebAuthn library wants it. Its handle is the user id,
// which is random and says nothing of the person.
type holder struct {
	user session.FactorUser
	keys []passkey
}

func (h *holder) WebAuthnID() []byte          { return []byte(h.user.ID) }
func (h *holder) WebAuthnName() string        { return h.user.Email }
func (h *holder) WebAuthnDisplayName() string { return h.user.Email }
func (h *holder) WebAuthnCredentials() []webauthn.Credential {
	out := make([]webauthn.Credential, len(h.keys))
	for i := range h.keys {
		out[i] = h.keys[i].credential
	}
	return out
}

// passkeys returns those of a user, the oldest first.
func (st *Store) passkeys(ctx context.Context, userID string) ([]passkey, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := st.db.QueryContext(ctx, st.o.Dialect.Bind(`SELECT id, user_id, name, credential, sign_count, added_at, used_at
		FROM mfa_passkeys WHERE user_id = ? ORDER BY added_at, id LIMIT ?`), userID, maxPasskeys)
	if err != nil {
		return nil, st.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	var out []passkey
	for rows.Next() {
		var k passkey
		var record string
		var added, used int64
		if err := rows.Scan(&k.ID, &k.userID, &k.Name, &record, &k.signCount, &added, &used); err != nil {
			return nil, st.unavailable(err)
		}
		if err := json.Unmarshal([]byte(record), &k.credential); err != nil {
			return nil, st.unavailable(fmt.Errorf("passkey %s: %w", k.ID, err))
		}
		k.credential.Authenticator.SignCount = uint32(k.signCount)
		k.AddedAt, k.UsedAt = instant(added), instant(used)
		out = append(out, k)
	}
	if err := rows.Err(); err != nil {
		return nil, st.unavailable(err)
	}
	return out, nil
}

func (st *Store) holder(ctx context.Context, u session.FactorUser) (*holder, error) {
	keys, err := st.passkeys(ctx, u.ID)
	return &holder{user: u, keys: keys}, err
}

// BeginPasskey implements session.SecondFactors.
func (st *Store) BeginPasskey(ctx context.Context, owner session.Key, u session.FactorUser) ([]byte, error) {
	h, err := st.holder(ctx, u)
	if err != nil {
		return nil, err
	}
	creation, data, err := st.web.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.WebAuthnCredentials()).CredentialDescriptors()))
	if err != nil {
		return nil, fmt.Errorf("begin a passkey: %w", err)
	}
	return st.begin(ctx, useCreate, owner, u.ID, data, creation.Response)
}

// begin keeps a challenge and returns the options for the browser.
func (st *Store) begin(ctx context.Context, use string, owner session.Key, userID string, data *webauthn.SessionData, options any) ([]byte, error) {
	kept, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("begin a passkey: %w", err)
	}
	now := st.now()
	if err := st.o.Notes.PutNote(ctx, challengeKey(use, owner, userID, data.Challenge), session.Note{Data: kept, Expires: now.Add(ceremonyLife)}, now); err != nil {
		return nil, fmt.Errorf("begin a passkey: %w", err)
	}
	return json.Marshal(options)
}

// challenge takes back what begin kept, once.
func (st *Store) challenge(ctx context.Context, use string, owner session.Key, userID, challenge string) (data webauthn.SessionData, err error) {
	n, err := st.o.Notes.TakeNote(ctx, challengeKey(use, owner, userID, challenge), st.now())
	if errors.Is(err, session.ErrNotFound) {
		return data, session.ErrFactor
	}
	if err != nil {
		return data, err
	}
	return data, json.Unmarshal(n.Data, &data)
}

// challengeKey has the challenge in it, so that a second tab's does not replace
// the first one's.
func challengeKey(use string, owner session.Key, userID, challenge string) session.Key {
	return noteKey(use+" "+challenge, owner, userID)
}

// FinishPasskey implements session.SecondFactors.
func (st *Store) FinishPasskey(ctx context.Context, owner session.Key, u session.FactorUser, name string, reply []byte) (session.Factor, error) {
	name, err := keyName(name)
	if err != nil {
		return session.Factor{}, err
	}
	if len(reply) > maxReply {
		return session.Factor{}, session.ErrFactor
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(reply)
	if err != nil {
		return session.Factor{}, st.refused(u, err)
	}
	data, err := st.challenge(ctx, useCreate, owner, u.ID, parsed.Response.CollectedClientData.Challenge)
	if err != nil {
		return session.Factor{}, err
	}
	h, err := st.holder(ctx, u)
	if err != nil {
		return session.Factor{}, err
	}
	if len(h.keys) >= maxPasskeys {
		return session.Factor{}, session.ErrTooManyFactors
	}
	c, err := st.web.CreateCredential(h, data, parsed)
	if err != nil {
		return session.Factor{}, st.refused(u, err)
	}
	return st.addPasskey(ctx, u, name, c)
}

func (st *Store) addPasskey(ctx context.Context, u session.FactorUser, name string, c *webauthn.Credential) (session.Factor, error) {
	// What was attested is not kept: nothing is decided by it, and it names the
	// model of the authenticator and its certificates.
	c.Attestation = webauthn.CredentialAttestation{}
	record, err := json.Marshal(c)
	if err != nil {
		return session.Factor{}, fmt.Errorf("passkey: %w", err)
	}
	f := session.Factor{ID: base64.RawURLEncoding.EncodeToString(c.ID), Name: name, AddedAt: st.now()}
	n, err := st.exec(ctx, `INSERT INTO mfa_passkeys (id, user_id, name, credential, sign_count, added_at, used_at)
		VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING`,
		f.ID, u.ID, name, string(record), int64(c.Authenticator.SignCount), f.AddedAt.UnixMicro())
	if err == nil && n == 0 { // an id that is somebody's (WebAuthn Level 3, 7.1, step 26)
		return session.Factor{}, session.ErrFactor
	}
	return f, err
}

// BeginPasskeyCheck implements session.SecondFactors.
func (st *Store) BeginPasskeyCheck(ctx context.Context, owner session.Key, u session.FactorUser) ([]byte, error) {
	verified := webauthn.WithUserVerification(protocol.VerificationRequired)
	if u.ID == "" {
		assertion, data, err := st.web.BeginDiscoverableLogin(verified)
		if err != nil {
			return nil, fmt.Errorf("begin a passkey check: %w", err)
		}
		return st.begin(ctx, useGet, owner, "", data, assertion.Response)
	}
	h, err := st.holder(ctx, u)
	if err != nil {
		return nil, err
	}
	if len(h.keys) == 0 {
		return nil, session.ErrNoFactor
	}
	assertion, data, err := st.web.BeginLogin(h, verified)
	if err != nil {
		return nil, fmt.Errorf("begin a passkey check: %w", err)
	}
	return st.begin(ctx, useGet, owner, u.ID, data, assertion.Response)
}

// FinishPasskeyCheck implements session.SecondFactors.
func (st *Store) FinishPasskeyCheck(ctx context.Context, owner session.Key, u session.FactorUser, reply []byte, clientAddr string) (string, error) {
	id, err := st.finishCheck(ctx, owner, u, reply, clientAddr)
	return id, st.count(methodPasskey, err)
}

func (st *Store) finishCheck(ctx context.Context, owner session.Key, u session.FactorUser, reply []byte, clientAddr string) (string, error) {
	if err := st.o.Guesses.ChargeGuess(ctx, u.Email, clientAddr); err != nil {
		return "", err
	}
	if len(reply) > maxReply {
		return "", session.ErrFactor
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(reply)
	if err != nil {
		return "", st.refused(u, err)
	}
	data, err := st.challenge(ctx, useGet, owner, u.ID, parsed.Response.CollectedClientData.Challenge)
	if err != nil {
		return "", err
	}
	var h *holder
	var c *webauthn.Credential
	if u.ID != "" {
		if h, err = st.holder(ctx, u); err != nil {
			return "", err
		}
		c, err = st.web.ValidateLogin(h, data, parsed)
	} else {
		c, err = st.web.ValidateDiscoverableLogin(func(_, handle []byte) (_ webauthn.User, err error) {
			h, err = st.holder(ctx, session.FactorUser{ID: string(handle[:min(len(handle), 64)])})
			return h, err
		}, data, parsed)
	}
	switch {
	case errors.Is(err, session.ErrUnavailable):
		return "", err
	case err != nil:
		return "", st.refused(u, err)
	case c.Authenticator.CloneWarning:
		// The counter went back: there are two of this key (WebAuthn Level 3, 6.1.1).
		st.o.Logger.Warn("a passkey was refused: its counter did not grow, so there may be a copy of it", "user", h.user.ID)
		return "", session.ErrFactor
	}
	return h.user.ID, st.used(ctx, h, c)
}

// used writes the counter down, unless another use was first.
func (st *Store) used(ctx context.Context, h *holder, c *webauthn.Credential) error {
	id := base64.RawURLEncoding.EncodeToString(c.ID)
	for _, k := range h.keys {
		if k.ID != id {
			continue
		}
		record, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("passkey: %w", err)
		}
		n, err := st.exec(ctx, `UPDATE mfa_passkeys SET credential = ?, sign_count = ?, used_at = ? WHERE id = ? AND user_id = ? AND sign_count = ?`,
			string(record), int64(c.Authenticator.SignCount), st.now().UnixMicro(), id, h.user.ID, k.signCount)
		if err == nil && n == 0 {
			return session.ErrFactor
		}
		return err
	}
	return session.ErrFactor
}

// refused logs why, which the person is not told.
func (st *Store) refused(u session.FactorUser, err error) error {
	detail := ""
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		detail = e.DevInfo
	}
	st.o.Logger.Warn("a passkey was refused", "user", u.ID, "error", err, "detail", detail[:min(len(detail), 512)])
	return session.ErrFactor
}

// RenamePasskey implements session.SecondFactors.
func (st *Store) RenamePasskey(ctx context.Context, userID, id, name string) error {
	name, err := keyName(name)
	if err != nil {
		return err
	}
	n, err := st.exec(ctx, `UPDATE mfa_passkeys SET name = ? WHERE id = ? AND user_id = ?`, name, id, userID)
	if err == nil && n == 0 {
		return session.ErrNoFactor
	}
	return err
}

// RemovePasskey implements session.SecondFactors.
func (st *Store) RemovePasskey(ctx context.Context, userID, id string) error {
	n, err := st.exec(ctx, `DELETE FROM mfa_passkeys WHERE id = ? AND user_id = ?`, id, userID)
	if err == nil && n == 0 {
		return session.ErrNoFactor
	}
	return err
}

// keyName checks what somebody calls a key.
func keyName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || utf8.RuneCountInString(name) > maxKeyName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", session.ErrFactorName
	}
	return name, nil
}
