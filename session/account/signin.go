package account

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/neosc/gate/session"
)

// Provider is the provider of local identities.
const Provider = "local"

// Claims of a demo session, as policy reads them.
const (
	claimDemoSession   = "neosc:demo_session_id"
	claimWorkspaceType = "neosc:workspace_type"
	claimDemoExpires   = "neosc:demo_expires_at"
	claimMaxDuration   = "neosc:max_duration"
)

// SignIn implements session.Authenticator. The address is charged first: one
// that is out of guesses cannot use up those of an account as well.
func (st *Store) SignIn(ctx context.Context, email, password, clientAddr string) (session.Identity, error) {
	now := st.o.Clock()
	if err := st.charge(ctx, now, "guess_address", session.AddressKey(clientAddr), st.o.PerAddress); err != nil {
		return session.Identity{}, err
	}
	// An address that no account can have tells the guesser nothing new.
	e, err := NormalizeEmail(email)
	if err != nil {
		return session.Identity{}, session.ErrCredentials
	}
	if err := st.charge(ctx, now, "guess_account", e, st.o.PerAccount); err != nil {
		return session.Identity{}, err
	}
	if !couldBePassword(password) {
		return session.Identity{}, session.ErrCredentials
	}
	u, err := st.Get(ctx, e)
	if err != nil && !errors.Is(err, session.ErrNoUser) {
		return session.Identity{}, err
	}
	if u, err = st.verify(ctx, u, password); err != nil {
		return session.Identity{}, err
	}
	return u.identity(now), nil
}

// charge takes one guess, or refuses. A budget that cannot be asked refuses:
// without it passwords could be guessed at the speed of the hash.
func (st *Store) charge(ctx context.Context, now time.Time, name, key string, g Guesses) error {
	ok, wait, err := st.o.Budget.Take(ctx, now, name, key, 1/g.Every.Seconds(), g.Burst)
	switch {
	case err != nil:
		return fmt.Errorf("%w: guesses cannot be counted: %w", session.ErrUnavailable, err)
	case !ok:
		return &session.TooManyGuessesError{RetryAfter: max(wait, time.Second)}
	}
	return nil
}

// verify returns u, as it then is, if the password is its own and it may sign
// in. u is nil for an unknown account, which costs the same single hash.
func (st *Store) verify(ctx context.Context, u *User, password string) (*User, error) {
	want := st.hasher.dummy
	known := u != nil
	if known {
		h, err := parseHash(u.PasswordHash)
		if err != nil {
			return nil, st.unavailable(fmt.Errorf("account %s: %w", u.ID, err))
		}
		want = h
	}
	leave, err := st.hasher.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if match := st.hasher.verify(password, want); !match || !known {
		return nil, session.ErrCredentials
	}
	// Read again: while this one was hashed its password, its roles or the
	// account itself may have been taken away.
	now, err := st.Get(ctx, u.Email)
	switch {
	case errors.Is(err, session.ErrNoUser):
		return nil, session.ErrCredentials
	case err != nil:
		return nil, err
	case now.Disabled || now.ID != u.ID || now.PasswordHash != u.PasswordHash:
		return nil, session.ErrCredentials
	}
	if want.params != st.hasher.params || want.overSHA256 {
		st.rehash(ctx, now, password)
	}
	return now, nil
}

// rehash stores the password under the costs of now. It is no reason to refuse
// the sign-in if that fails: the next one tries again.
func (st *Store) rehash(ctx context.Context, u *User, password string) {
	_, err := st.exec(ctx, `UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?`,
		st.hasher.create(normalPassword(password)), u.ID, u.PasswordHash)
	if err != nil {
		st.o.Logger.Warn("a password hash could not be renewed", "user", u.ID, "error", err)
	}
}

// identity is who u is to policy and upstreams.
func (u *User) identity(now time.Time) session.Identity {
	now = now.UTC().Truncate(time.Millisecond)
	id := session.Identity{
		Provider: Provider, Subject: u.ID, UserID: u.ID, Claims: map[string]any{"sub": u.ID},
		AMR: []string{session.AMRPassword}, AuthenticatedAt: now,
	}
	u.describe(&id)
	id.Roles = u.effectiveRoles()
	if u.Demo != nil {
		u.Demo.claim(id.Claims, now)
	}
	return id
}

// effectiveRoles are those that count: none before the email is verified, or
// whoever registers another's address would have them under that name.
func (u *User) effectiveRoles() []string {
	if !u.EmailVerified {
		return []string{}
	}
	return u.Roles
}

// describe sets what an identity says of u, but for its roles.
func (u *User) describe(id *session.Identity) {
	id.Email, id.EmailVerified, id.Name, id.Organization = u.Email, u.EmailVerified, u.Name, u.Organization
	id.Claims["email"], id.Claims["email_verified"], id.Claims["mfa_enabled"] = u.Email, u.EmailVerified, u.MFA
	id.Claims["organization_id"] = u.OrganizationID
	if delete(id.Claims, "name"); u.Name != "" {
		id.Claims["name"] = u.Name
	}
}

// claim adds a demo session that begins now.
func (g *DemoGrant) claim(claims map[string]any, now time.Time) {
	var random [8]byte
	_, _ = rand.Read(random[:])
	claims[claimDemoSession] = "demo-" + strconv.FormatInt(now.Unix(), 10) + "-" + hex.EncodeToString(random[:])
	claims[claimWorkspaceType] = g.WorkspaceType
	if g.Seconds > 0 {
		claims[claimDemoExpires] = now.Add(time.Duration(g.Seconds) * time.Second).Format(time.RFC3339)
		claims[claimMaxDuration] = json.Number(strconv.Itoa(g.Seconds))
	}
}
