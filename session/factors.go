package session

import (
	"context"
	"errors"
	"time"
)

// Authentication methods as the claim amr names them (RFC 8176), with one of
// our own: a recovery code is none of those that it lists.
const (
	AMRPassword = "pwd"
	AMROTP      = "otp"
	AMRKey      = "hwk"
	AMRRecovery = "recovery"
	// AMRMFA comes with every sign-in that took more than one factor.
	AMRMFA = "mfa"
)

// The actions of second factors.
const (
	ActionFactorAdded   Action = "mfa_enrolled"
	ActionFactorRemoved Action = "mfa_removed"
	ActionFactorRenamed Action = "mfa_renamed"
	ActionFactorUsed    Action = "mfa_verified"
	ActionFactorFailed  Action = "mfa_failed"
	// ActionRecoveryCodes: new recovery codes made the old ones void.
	ActionRecoveryCodes Action = "mfa_recovery_codes"
)

// Factor is one way to prove oneself besides the password.
type Factor struct {
	// ID names a passkey; an authenticator app has none, for there is one.
	ID, Name string
	AddedAt  time.Time
	// UsedAt is when it was last used, zero for never.
	UsedAt time.Time
}

// Factors is what an account has enrolled.
type Factors struct {
	// App is its authenticator app, nil for none.
	App *Factor
	// Passkeys are in the order in which they were added.
	Passkeys []Factor
	// Recovery is how many recovery codes are left of RecoveryMade.
	Recovery, RecoveryMade int
}

// Enrolled reports whether there is a second factor. Recovery codes are none:
// they stand in for one that was lost.
func (f Factors) Enrolled() bool { return f.App != nil || len(f.Passkeys) > 0 }

// FactorUser is whose factors are asked about.
type FactorUser struct {
	// ID is that of Identity.UserID, Email the account's.
	ID, Email string
}

// AppSecret is what an authenticator app needs to know.
type AppSecret struct {
	// Key is base32 without padding, URI the otpauth: address of a QR code.
	Key, URI string
}

// PendingLogin is a sign-in that waits for its second factor.
type PendingLogin struct {
	User     FactorUser
	ReturnTo string
	// Started is when the password was right.
	Started time.Time
}

// SecondFactors keeps and checks second factors. Safe for concurrent use.
//
// owner is who began something that takes two requests: the key of a session,
// or that of a pending login. What one owner began no other can finish. Checks
// are charged to the guess budgets of the account and of the address, and
// refused with *TooManyGuessesError without looking; a wrong answer is
// ErrFactor. All wrap ErrUnavailable when the database cannot be asked.
type SecondFactors interface {
	Factors(ctx context.Context, userID string) (Factors, error)

	// Begin keeps a pending login and returns its token, which only the browser
	// is given. It holds for five minutes.
	Begin(ctx context.Context, l PendingLogin) (token string, err error)
	// Pending returns it; ErrNotFound if there is none, or it had its guesses.
	Pending(ctx context.Context, token string) (*PendingLogin, Key, error)
	// Try counts an attempt at it: ErrNotFound if it has had five.
	Try(ctx context.Context, token string) error
	// Take returns it and ends it: of many callers one gets it.
	Take(ctx context.Context, token string) (*PendingLogin, error)

	// NewApp returns the secret of an app that is being set up, the same one for
	// ten minutes. ConfirmApp stores it once the app has shown a code; an app
	// that was there before is replaced.
	NewApp(ctx context.Context, owner Key, u FactorUser) (AppSecret, error)
	ConfirmApp(ctx context.Context, owner Key, u FactorUser, code, clientAddr string) error
	// CheckApp takes a code of the app. Each code works once.
	CheckApp(ctx context.Context, u FactorUser, code, clientAddr string) error
	RemoveApp(ctx context.Context, userID string) error

	// NewRecoveryCodes replaces all recovery codes. They are not to be had again.
	NewRecoveryCodes(ctx context.Context, userID string) ([]string, error)
	// CheckRecovery takes a recovery code, which is void from then on.
	CheckRecovery(ctx context.Context, u FactorUser, code, clientAddr string) error

	// BeginPasskey returns what navigator.credentials.create is to be given, as
	// JSON; FinishPasskey takes the reply and stores the key under a name.
	BeginPasskey(ctx context.Context, owner Key, u FactorUser) (options []byte, err error)
	FinishPasskey(ctx context.Context, owner Key, u FactorUser, name string, reply []byte) (Factor, error)
	// BeginPasskeyCheck returns what navigator.credentials.get is to be given; a
	// zero user means that the passkey itself says whose it is.
	// FinishPasskeyCheck returns the id of the user whom it proves.
	BeginPasskeyCheck(ctx context.Context, owner Key, u FactorUser) (options []byte, err error)
	FinishPasskeyCheck(ctx context.Context, owner Key, u FactorUser, reply []byte, clientAddr string) (userID string, err error)
	// RenamePasskey and RemovePasskey are ErrNoFactor for a key that is not the user's.
	RenamePasskey(ctx context.Context, userID, id, name string) error
	RemovePasskey(ctx context.Context, userID, id string) error
	// RemoveFactors takes away all that a user has.
	RemoveFactors(ctx context.Context, userID string) error
}

// Identifier says who an account's owner is without asking for a password.
// Safe for concurrent use.
type Identifier interface {
	// Identify returns the identity as a sign-in now would give it, without a
	// method in AMR, and when the account was last changed. ErrCredentials if
	// the account is gone or disabled.
	Identify(ctx context.Context, userID string) (id Identity, changed time.Time, err error)
}

// Errors of second factors, matched with errors.Is.
var (
	// ErrFactor: the code or the passkey's reply does not hold. One error for
	// every cause, such as a code that was used before.
	ErrFactor = errors.New("the second factor is wrong")
	// ErrNoFactor: there is no such factor.
	ErrNoFactor = errors.New("no such second factor")
	// ErrFactorName: a name that no passkey can have.
	ErrFactorName = errors.New("a passkey's name needs 1 to 60 characters, and no control characters")
	// ErrTooManyFactors: the account has as many passkeys as it may.
	ErrTooManyFactors = errors.New("too many passkeys")
)

// FactorNeededError: the password is right, and a second factor has to follow.
// Nobody is signed in by it. It is matched with errors.As.
type FactorNeededError struct {
	User FactorUser
}

// Error implements error.
func (e *FactorNeededError) Error() string { return "a second factor is needed" }
