package session

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// ProviderInfo is what a person may know of an identity provider.
type ProviderInfo struct {
	// ID names it in paths, logs and metrics: [a-z0-9_-]{1,32}.
	ID string
	// Name is its name for people, Note says whom it is for; Note may be "".
	Name, Note string
}

// StartLogin asks to send somebody to a provider.
type StartLogin struct {
	Provider string
	// ReturnTo is where they wanted to go; already checked.
	ReturnTo string
	// Browser is the secret of the browser's binding cookie: only that browser
	// can finish what it started.
	Browser string
}

// FinishLogin is what came back from a provider by way of the browser.
type FinishLogin struct {
	// Provider is the one whose callback was called.
	Provider string
	// Query is the callback's query: code, state, iss, error.
	Query url.Values
	// Browsers are the secrets of the binding cookies that the browser sent.
	Browsers []string
}

// Login is a finished sign-in: a session that holds from now on.
type Login struct {
	Session *Session
	// Cookie is the sealed value of its cookie.
	Cookie   string
	ReturnTo string
	// Started is when the browser was sent to the provider; zero for one who
	// was sent there by somebody else.
	Started time.Time
}

// Logins signs people in at identity providers. Safe for concurrent use. Its
// errors are *LoginError, or wrap ErrUnavailable when the store is away.
type Logins interface {
	// Providers lists them in the configured order.
	Providers() []ProviderInfo
	// Start returns the provider's address to which the browser goes next.
	Start(ctx context.Context, r StartLogin) (redirect string, err error)
	// Finish checks what came back and begins a session. Each start is
	// finished at most once.
	Finish(ctx context.Context, r FinishLogin) (*Login, error)
	// SignOut gives back what the provider gave for a session that has ended:
	// it revokes its tokens there and returns the address at which the provider
	// ends its own session, or "" if there is none. cookie is the value that
	// opened the session. It takes a few seconds at most, and trouble at the
	// provider is logged and never stands in the way.
	SignOut(ctx context.Context, s *Session, cookie string) (redirect string)
	// LogOut ends the sessions that a provider's logout token names (OpenID
	// Connect Back-Channel Logout 1.0). A token works once.
	LogOut(ctx context.Context, provider, token string) error
}

// LoginReason says why a sign-in at a provider did not come about. It is a
// reason code of pages, logs and metrics.
type LoginReason string

const (
	// LoginUnknown: there is no such provider.
	LoginUnknown LoginReason = "provider_unknown"
	// LoginAway: the provider did not answer, or not as one.
	LoginAway LoginReason = "provider_unavailable"
	// LoginSuperseded: the provider took back what it had just given, since
	// another sign-in of the same browser came after. Starting anew will do.
	LoginSuperseded LoginReason = "login_superseded"
	// LoginState: the state is missing, too old, used up, of another browser
	// or of another provider.
	LoginState LoginReason = "login_state_invalid"
	// LoginDenied: the provider said no, or the person did there.
	LoginDenied LoginReason = "login_denied"
	// LoginReply: what the provider sent does not hold.
	LoginReply LoginReason = "provider_reply_invalid"
	// LoginClock: it holds but for the time: a clock is off.
	LoginClock LoginReason = "clock_off"
	// LoginIdentity: it holds, but is nobody whom the gate can let in (a role
	// with a comma, a foreign organization).
	LoginIdentity LoginReason = "identity_refused"
	// LoginEnded: the provider ended its session before the sign-in was through.
	LoginEnded LoginReason = "login_ended"
)

// LoginError is why a sign-in did not come about. Its text is for logs: it
// holds no token, code or state.
type LoginError struct {
	Reason   LoginReason
	Provider string
	// ReturnTo is where the person wanted to go, if that is known.
	ReturnTo string
	// Anew: the provider no longer knew what it had just given, as when another
	// tab of the browser signed in meanwhile. Beginning again may do; it may
	// also be for ever so, hence not without an end.
	Anew bool
	Err  error
}

// Error implements error.
func (e *LoginError) Error() string {
	return fmt.Sprintf("sign-in at %s: %s: %v", clip(e.Provider), e.Reason, e.Err)
}

// Unwrap returns the cause.
func (e *LoginError) Unwrap() error { return e.Err }

// ErrReplayed: a logout token that was used before.
var ErrReplayed = errors.New("the token was used before")
