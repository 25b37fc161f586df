package limit

import (
	"context"
	"time"

	"github.com/neosc/gate/authz"
)

// Guesses are budgets for guessing secrets, on top of a limiter. They fail
// closed: whatever the limiter does when it is in trouble, a guess that was not
// paid for is refused.
type Guesses struct{ limiter authz.Limiter }

// Stricter is a limiter that may be set to admit what it could not count.
// Strict returns the same limiter without that.
type Stricter interface{ Strict() authz.Limiter }

// NewGuesses returns budgets kept by l, by its Strict form if it has one.
func NewGuesses(l authz.Limiter) *Guesses {
	if s, ok := l.(Stricter); ok {
		l = s.Strict()
	}
	return &Guesses{l}
}

// Take pays for one guess out of the bucket of name and key, which holds burst
// guesses and gets rate back a second. ok is whether the guess may be tried; if
// not, and err is nil, retryAfter is when it may be. With an error ok is false.
func (g *Guesses) Take(ctx context.Context, now time.Time, name, key string, rate float64, burst int) (ok bool, retryAfter time.Duration, err error) {
	charge := [1]authz.Charge{{Name: name, Key: key, Rate: rate, Burst: burst, Cost: 1}}
	s, err := g.limiter.Spend(ctx, now, charge[:])
	if err != nil {
		return false, 0, err
	}
	return s.Allowed, s.RetryAfter, nil
}
