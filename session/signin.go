package session

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Authenticator checks a person's email and password. It is what the sign-in
// page needs of local accounts. Safe for concurrent use.
type Authenticator interface {
	// SignIn returns who the password proves somebody to be. clientAddr is the
	// guesser's address without a port, or "" when it is not known; guesses are
	// counted by it and by the account.
	//
	// ErrCredentials is the one answer to an unknown account, a wrong password
	// and a disabled account, and takes the same time for each.
	// *TooManyGuessesError refuses without looking. ErrBusy means that all
	// places for hashing are taken. ErrUnavailable: accounts cannot be read.
	SignIn(ctx context.Context, email, password, clientAddr string) (Identity, error)
}

// Issuer begins and ends browser sessions. Safe for concurrent use.
type Issuer interface {
	// Create stores a new session with a new ID for an identity and returns it
	// with the sealed value of its cookie. lifetime 0 means the configured one;
	// a longer one than that is shortened to it.
	Create(ctx context.Context, id Identity, kind Kind, lifetime time.Duration) (s *Session, cookie string, err error)
	// ByCookies returns the session that the values open at now: ErrInvalid if
	// none opens anything, ErrAmbiguous if two or more open live sessions,
	// ErrUnavailable if it cannot be told.
	ByCookies(ctx context.Context, values []string, now time.Time) (*Session, error)
	// Revoke ends one session. A session that is gone is no error.
	Revoke(ctx context.Context, k Key) error
	// EndBy has one session end at an instant at the latest, whatever it is used
	// for until then. A session that is gone is no error.
	EndBy(ctx context.Context, k Key, at time.Time) error
}

// Errors of signing in, matched with errors.Is.
var (
	// ErrCredentials: email and password do not open an account. One error for
	// every cause, so that nobody learns which accounts exist.
	ErrCredentials = errors.New("email or password is wrong")
	// ErrBusy: too many sign-ins at this moment; trying again soon will help.
	ErrBusy = errors.New("too many sign-ins at once")
)

// TooManyGuessesError refuses a sign-in because its account or address has
// guessed too often. It is matched with errors.As.
type TooManyGuessesError struct {
	// RetryAfter is how long until the next guess is looked at; > 0.
	RetryAfter time.Duration
}

// Error implements error.
func (e *TooManyGuessesError) Error() string {
	return fmt.Sprintf("too many guesses; the next one is looked at in %s", e.RetryAfter.Round(time.Second))
}
