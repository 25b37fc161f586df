package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"github.com/neosc/gate/session"
)

// purpose is what a one-time link is for; it opens nothing else.
type purpose string

const (
	forVerify purpose = "verify"
	forReset  purpose = "reset"
	forInvite purpose = "invite"
)

// How long links are good. NIST SP 800-63B-4, 3.1.3.2, allows 24 hours by mail
// for proving an address; a new password is asked for by somebody who waits.
const (
	verifyLife = 24 * time.Hour
	resetLife  = time.Hour
	inviteLife = 7 * 24 * time.Hour
)

// link is a one-time link as it is kept: of its token only the hash, so that
// who reads the database can follow none.
type link struct {
	id      string
	purpose purpose
	// subject is the id of the user, or of the organization of an invitation.
	subject, email, data string
	created, expires     time.Time
}

// tokenSize is that of a token, in bytes: nobody guesses one.
const tokenSize = 32

func newToken() string {
	var b [tokenSize]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// tokenHash returns the name under which a token's link is kept, "" for what
// can be no token. Tokens are random, so that one round of SHA-256 will do.
func tokenHash(token string) string {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != tokenSize {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// putLink keeps a link and returns its token. Those of before with the same
// purpose, subject and email are void from then on.
func (st *Store) putLink(ctx context.Context, tx *sql.Tx, l *link) (token string, err error) {
	_, err = st.execOn(ctx, tx, `DELETE FROM links WHERE purpose = ? AND subject = ? AND email = ?`, string(l.purpose), l.subject, l.email)
	if err != nil {
		return "", err
	}
	token = newToken()
	_, err = st.execOn(ctx, tx, `INSERT INTO links (hash, id, purpose, subject, email, data, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		tokenHash(token), l.id, string(l.purpose), l.subject, l.email, l.data, l.created.UnixMicro(), l.expires.UnixMicro())
	return token, err
}

const linkColumns = `id, purpose, subject, email, data, created_at, expires_at`

func scanLink(scan func(...any) error) (*link, error) {
	var l link
	var created, expires int64
	err := scan(&l.id, &l.purpose, &l.subject, &l.email, &l.data, &created, &expires)
	l.created, l.expires = time.UnixMicro(created).UTC(), time.UnixMicro(expires).UTC()
	return &l, err
}

// findLink returns the link of a token and leaves it: session.ErrLink if there
// is none that holds now.
func (st *Store) findLink(ctx context.Context, p purpose, token string) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	l, err := scanLink(st.db.QueryRowContext(ctx, st.o.Dialect.Bind(`SELECT `+linkColumns+` FROM links WHERE hash = ? AND purpose = ? AND expires_at > ?`),
		tokenHash(token), string(p), st.now().UnixMicro()).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, session.ErrLink
	case err != nil:
		return nil, st.unavailable(err)
	}
	return l, nil
}

// takeLink removes the link of a token and returns it: of many callers one gets
// it, the others are refused with session.ErrLink.
func (st *Store) takeLink(ctx context.Context, tx *sql.Tx, p purpose, token string) (*link, error) {
	l, err := scanLink(tx.QueryRowContext(ctx, st.o.Dialect.Bind(`DELETE FROM links WHERE hash = ? AND purpose = ? AND expires_at > ? RETURNING `+linkColumns),
		tokenHash(token), string(p), st.now().UnixMicro()).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, refuse(session.ErrLink)
	}
	return l, err
}

// sweepLinks removes links that are over.
func (st *Store) sweepLinks(ctx context.Context) (int64, error) {
	return st.exec(ctx, `DELETE FROM links WHERE expires_at <= ?`, st.now().UnixMicro())
}
