package mfa

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/neosc/gate/session"
)

// dataKeys are what the data key gives. Immutable.
type dataKeys struct {
	seal     cipher.AEAD
	recovery []byte
}

const keyUse = "neosc gate key of second factors"

// Reset takes away what is kept under the data key, and the key: apps and
// recovery codes of everybody, which a lost ring has made unreadable. Passkeys
// need no secret of ours.
func (st *Store) Reset(ctx context.Context) error {
	for _, table := range []string{"mfa_app", "mfa_recovery", "mfa_key"} {
		if _, err := st.exec(ctx, `DELETE FROM `+table); err != nil {
			return err
		}
	}
	st.keys.Store(nil)
	return nil
}

// Renew seals the data key under the ring's newest key if it is under another,
// and takes a new one that a Reset on another gate has led to. It is to be called
// now and then, while the ring still has both keys.
func (st *Store) Renew(ctx context.Context) error {
	_, err := st.open(ctx)
	if ctx.Err() == nil {
		st.trouble.Store(&err)
	}
	return err
}

// Trouble is why the last Renew failed, nil if it did not.
func (st *Store) Trouble() error {
	if err := st.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// dataKeys returns the keys, which are made on first use.
func (st *Store) dataKeys(ctx context.Context) (*dataKeys, error) {
	if k := st.keys.Load(); k != nil {
		return k, nil
	}
	return st.open(ctx)
}

func (st *Store) open(ctx context.Context) (*dataKeys, error) {
	ring, err := st.o.Keys()
	if err != nil || len(ring) == 0 {
		return nil, fmt.Errorf("%w: second factors: the key ring cannot be used: %w", session.ErrUnavailable, err)
	}
	var sealed []byte
	err = st.row(ctx, `SELECT sealed FROM mfa_key WHERE id = 1`, nil, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		if err = st.makeKey(ctx, ring[0]); err == nil {
			// Another gate may have been first.
			err = st.row(ctx, `SELECT sealed FROM mfa_key WHERE id = 1`, nil, &sealed)
		}
	}
	if err != nil {
		return nil, err
	}
	for i, key := range ring {
		secret, err := unseal(key, sealed)
		if err != nil {
			continue
		}
		if i > 0 {
			if err := st.reseal(ctx, ring[0], secret, sealed); err != nil {
				return nil, err
			}
			st.o.Logger.Info("the key of second factors is sealed under the newest key of the ring")
		}
		k, err := derive(secret)
		if err != nil {
			return nil, err
		}
		st.keys.Store(k)
		return k, nil
	}
	return nil, fmt.Errorf("%w: second factors: no key of cookie.keys opens them; put the key ring back from a backup, or take all factors away with gate user mfa-reset -all", session.ErrUnavailable)
}

func (st *Store) makeKey(ctx context.Context, ring []byte) error {
	var secret [32]byte
	_, _ = rand.Read(secret[:])
	sealed, err := seal(ring, secret[:])
	if err == nil {
		_, err = st.exec(ctx, `INSERT INTO mfa_key (id, sealed) VALUES (1, ?) ON CONFLICT DO NOTHING`, sealed)
	}
	return err
}

// reseal loses against another gate's without harm: the data key is the same.
func (st *Store) reseal(ctx context.Context, ring, secret, old []byte) error {
	sealed, err := seal(ring, secret)
	if err == nil {
		_, err = st.exec(ctx, `UPDATE mfa_key SET sealed = ? WHERE id = 1 AND sealed = ?`, sealed, old)
	}
	return err
}

func derive(secret []byte) (*dataKeys, error) {
	sealing, err := hkdf.Key(sha256.New, secret, nil, "neosc gate secrets of apps", 32)
	if err != nil {
		return nil, err
	}
	k := &dataKeys{}
	if k.recovery, err = hkdf.Key(sha256.New, secret, nil, "neosc gate recovery codes", 32); err != nil {
		return nil, err
	}
	k.seal, err = chacha20poly1305.NewX(sealing)
	return k, err
}

func seal(key, plain []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	return sealWith(aead, plain, keyUse), nil
}

func unseal(key, sealed []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	return openWith(aead, sealed, keyUse)
}

// sealWith binds what is sealed to its use, so that a secret that was moved to
// another user's row does not open.
func sealWith(aead cipher.AEAD, plain []byte, use string) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, []byte(use))
}

func openWith(aead cipher.AEAD, sealed []byte, use string) ([]byte, error) {
	if len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, errors.New("too short to be sealed")
	}
	return aead.Open(nil, sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:], []byte(use))
}
