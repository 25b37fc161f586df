package mfa

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/neosc/gate/session"
)

const (
	// pendingLife is how long a password counts before the second factor.
	pendingLife = 5 * time.Minute
	// pendingTries is how many attempts one password gets.
	pendingTries = 5
	tokenBytes   = 32
)

// pending is a pending login as its note has it. The token is nowhere in it.
type pending struct {
	UserID   string    `json:"user_id"`
	Email    string    `json:"email"`
	ReturnTo string    `json:"return_to,omitempty"`
	Started  time.Time `json:"started"`
	Tries    int       `json:"tries"`
}

// Begin implements session.SecondFactors.
func (st *Store) Begin(ctx context.Context, l session.PendingLogin) (string, error) {
	var random [tokenBytes]byte
	_, _ = rand.Read(random[:])
	token := base64.RawURLEncoding.EncodeToString(random[:])
	data, err := json.Marshal(pending{UserID: l.User.ID, Email: l.User.Email, ReturnTo: l.ReturnTo, Started: l.Started})
	if err != nil {
		return "", fmt.Errorf("pending login: %w", err)
	}
	now := st.now()
	if err := st.o.Notes.PutNote(ctx, pendingKey(token), session.Note{Data: data, Expires: now.Add(pendingLife)}, now); err != nil {
		return "", fmt.Errorf("pending login: %w", err)
	}
	return token, nil
}

// Pending implements session.SecondFactors.
func (st *Store) Pending(ctx context.Context, token string) (*session.PendingLogin, session.Key, error) {
	k := pendingKey(token)
	_, p, err := st.readPending(ctx, k)
	if err != nil {
		return nil, session.Key{}, err
	}
	return p.login(), k, nil
}

// Try implements session.SecondFactors.
func (st *Store) Try(ctx context.Context, token string) error {
	k := pendingKey(token)
	for {
		n, p, err := st.readPending(ctx, k)
		if err != nil {
			return err
		}
		p.Tries++
		data, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("pending login: %w", err)
		}
		err = st.o.Notes.SwapNote(ctx, k, n.Data, session.Note{Data: data, Expires: n.Expires}, st.now())
		if !errors.Is(err, session.ErrConflict) { // each conflict is another's try, of which there are five
			return err
		}
	}
}

// Take implements session.SecondFactors.
func (st *Store) Take(ctx context.Context, token string) (*session.PendingLogin, error) {
	n, err := st.o.Notes.TakeNote(ctx, pendingKey(token), st.now())
	if err != nil {
		return nil, err
	}
	var p pending
	if err := json.Unmarshal(n.Data, &p); err != nil {
		return nil, fmt.Errorf("pending login: %w", err)
	}
	return p.login(), nil
}

// readPending returns a pending login that has tries left.
func (st *Store) readPending(ctx context.Context, k session.Key) (session.Note, *pending, error) {
	n, err := st.o.Notes.GetNote(ctx, k, st.now())
	if err != nil {
		return session.Note{}, nil, err
	}
	p := new(pending)
	if err := json.Unmarshal(n.Data, p); err != nil {
		return session.Note{}, nil, fmt.Errorf("pending login: %w", err)
	}
	if p.Tries >= pendingTries {
		return session.Note{}, nil, session.ErrNotFound
	}
	return n, p, nil
}

func (p *pending) login() *session.PendingLogin {
	return &session.PendingLogin{User: session.FactorUser{ID: p.UserID, Email: p.Email}, ReturnTo: p.ReturnTo, Started: p.Started}
}

func pendingKey(token string) session.Key {
	return session.Key(sha256.Sum256([]byte("neosc pending login\x00" + token)))
}
