package admin

import (
	"time"

	"github.com/neosc/gate/session"
)

// SessionInfo is a session as operators see it. Nothing in it opens anything.
type SessionInfo struct {
	Key           string    `json:"key"`
	Kind          string    `json:"kind"`
	UserID        string    `json:"user_id"`
	Email         string    `json:"email"`
	Name          string    `json:"name,omitempty"`
	Organization  string    `json:"organization,omitempty"`
	Roles         []string  `json:"roles"`
	Groups        []string  `json:"groups,omitempty"`
	Provider      string    `json:"provider"`
	CreatedAt     time.Time `json:"created_at"`
	ExpiresAt     time.Time `json:"expires_at"`
	IdleExpiresAt time.Time `json:"idle_expires_at"`
}

func infoOf(s *session.Session) SessionInfo {
	id := s.Identity
	return SessionInfo{
		Key: s.Key.String(), Kind: string(s.Kind), UserID: id.UserID, Email: id.Email, Name: id.Name, Organization: id.Organization,
		Roles: nonNil(id.Roles), Groups: id.Groups, Provider: id.Provider, CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt, IdleExpiresAt: s.IdleExpiresAt,
	}
}

// NewSession asks for a session. Email is needed.
type NewSession struct {
	Email string `json:"email"`
	// UserID is "operator:" and the email if empty.
	UserID       string         `json:"user_id,omitempty"`
	Name         string         `json:"name,omitempty"`
	Organization string         `json:"organization,omitempty"`
	Roles        []string       `json:"roles,omitempty"`
	Claims       map[string]any `json:"claims,omitempty"`
	// Lifetime is a Go duration ("8h"); "" means the configured one, which it
	// cannot exceed.
	Lifetime string `json:"lifetime,omitempty"`
	// Kind is "browser" (the default) or "service".
	Kind string `json:"kind,omitempty"`
}

// CreatedSession is the answer: the only time that the credential is shown.
type CreatedSession struct {
	Key string `json:"key"`
	// Cookie is "name=value" for a browser session, Token the bearer token of
	// a service session.
	Cookie    string    `json:"cookie,omitempty"`
	Token     string    `json:"token,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// NewUser asks for an account.
type NewUser struct {
	Email        string   `json:"email"`
	Name         string   `json:"name,omitempty"`
	Organization string   `json:"organization,omitempty"`
	Roles        []string `json:"roles,omitempty"`
	// Password is generated if empty.
	Password string `json:"password,omitempty"`
	Demo     bool   `json:"demo,omitempty"`
	// PasswordSHA256 stands instead of a password: what an older program kept.
	PasswordSHA256 string `json:"password_sha256,omitempty"`
}

// ChangedUser is an account after a change, and what became of its sessions.
type ChangedUser struct {
	User session.User `json:"user"`
	// Password is set when it was generated, the only time that it is shown.
	Password string `json:"password,omitempty"`
	// SessionsEnded and SessionsChanged count the account's live sessions.
	SessionsEnded   int `json:"sessions_ended"`
	SessionsChanged int `json:"sessions_changed"`
}

// Policy says which policy is active.
type Policy struct {
	Revision   string `json:"revision"`
	Generation uint64 `json:"generation"`
}

// Status is how the gate is.
type Status struct {
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Policy   Policy    `json:"policy"`
	Sessions int       `json:"sessions"`
	Ready    bool      `json:"ready"`
	// NotReady names what is missing.
	NotReady []string `json:"not_ready,omitempty"`
}

type sessionList struct {
	Sessions []SessionInfo `json:"sessions"`
}

type userList struct {
	Users []session.User `json:"users"`
}

type ended struct {
	Ended int `json:"ended"`
}

type passwordChange struct {
	Password string `json:"password,omitempty"`
}

// roleChange has a pointer to tell "no roles" from a field that was forgotten.
type roleChange struct {
	Roles *[]string `json:"roles"`
}

// Problem is an error as the API answers it (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
