package session

import "context"

// ExchangeLogin is a sign-in that a single-page app began by itself at a
// provider, and that it has the gate finish.
type ExchangeLogin struct {
	Provider string
	// Code, Verifier and RedirectURI are those of the app's own request (RFC
	// 7636). Nonce is the one it sent there, which the ID token must carry.
	Code, Verifier, RedirectURI, Nonce string
	// Issuer is the parameter iss of the app's callback (RFC 9207), or "".
	Issuer string
	// Origin is the header of the app's request: who asks.
	Origin string
}

// Exchanger finishes such sign-ins. Safe for concurrent use.
type Exchanger interface {
	// AppOrigin reports whether an origin is that of an app whose redirect URI
	// is configured at any provider.
	AppOrigin(origin string) bool
	// Exchange redeems the code and begins a session of the kind Bearer. Login's
	// Cookie is its access token: no cookie opens with it, and it opens by
	// Manager.ByBearer alone. Errors are as those of Logins.Finish.
	Exchange(ctx context.Context, r ExchangeLogin) (*Login, error)
}

const (
	// LoginApp: the redirect URI is none that is configured for the provider, or
	// whoever asks is not where it points.
	LoginApp LoginReason = "app_unknown"
	// LoginRequest: the request lacks something, or has what cannot be.
	LoginRequest LoginReason = "request_invalid"
)
