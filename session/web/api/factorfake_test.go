package api

import (
	"context"
	"fmt"
	"sync"

	"github.com/neosc/gate/session"
)

// factors let usr_two in with 123456, or with the recovery code.
type factors struct {
	session.SecondFactors
	mu      sync.Mutex
	pending map[string]session.PendingLogin
	tries   int
	has     session.Factors
}

func (f *factors) Factors(context.Context, string) (session.Factors, error) { return f.has, nil }

func (f *factors) Begin(_ context.Context, l session.PendingLogin) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	token := fmt.Sprintf("pending-%d", len(f.pending))
	f.pending[token] = l
	return token, nil
}

func (f *factors) Pending(_ context.Context, token string) (*session.PendingLogin, session.Key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.pending[token]
	if !ok || f.tries >= 5 {
		return nil, session.Key{}, session.ErrNotFound
	}
	return &l, session.Key{}, nil
}

func (f *factors) Try(context.Context, string) error { f.tries++; return nil }

func (f *factors) Take(ctx context.Context, token string) (*session.PendingLogin, error) {
	l, _, err := f.Pending(ctx, token)
	delete(f.pending, token)
	return l, err
}

func (f *factors) CheckApp(_ context.Context, _ session.FactorUser, code, _ string) error {
	return rightIf(code == "123456")
}

func (f *factors) CheckRecovery(_ context.Context, _ session.FactorUser, code, _ string) error {
	return rightIf(code == "ABCDE-23456")
}

func rightIf(ok bool) error {
	if !ok {
		return session.ErrFactor
	}
	return nil
}
