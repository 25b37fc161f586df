package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/neosc/gate/session"
)

// Client speaks to a running gate over its admin socket. Its errors are made
// to be shown; one that the gate answered is a *Problem. Safe for concurrent
// use.
type Client struct {
	socket string
	http   *http.Client
}

// maxAnswer bounds what a client reads: a full listing with room.
const maxAnswer = 32 << 20

// NewClient returns a client for the socket at path. It opens nothing yet.
func NewClient(path string) *Client {
	var d net.Dialer
	return &Client{socket: path, http: &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		}},
	}}
}

// Sessions lists live sessions, newest first. Empty strings and 0 do not
// restrict.
func (c *Client) Sessions(ctx context.Context, userID, email string, limit int) ([]SessionInfo, error) {
	q := url.Values{}
	set(q, "user", userID)
	set(q, "email", email)
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var out sessionList
	err := c.do(ctx, "GET", "/v1/sessions", q, nil, &out)
	return out.Sessions, err
}

// CreateSession creates a session and returns its credential.
func (c *Client) CreateSession(ctx context.Context, n NewSession) (out CreatedSession, err error) {
	err = c.do(ctx, "POST", "/v1/sessions", nil, n, &out)
	return out, err
}

// RevokeSession ends the session of a key; one that is gone is no error.
func (c *Client) RevokeSession(ctx context.Context, key string) (int, error) {
	var out ended
	err := c.do(ctx, "DELETE", "/v1/sessions/"+url.PathEscape(key), nil, nil, &out)
	return out.Ended, err
}

// RevokeSessions ends all sessions of either a user id or an email.
func (c *Client) RevokeSessions(ctx context.Context, userID, email string) (int, error) {
	q := url.Values{}
	set(q, "user", userID)
	set(q, "email", email)
	var out ended
	err := c.do(ctx, "DELETE", "/v1/sessions", q, nil, &out)
	return out.Ended, err
}

// RevokeAll ends everybody's sessions and access tokens.
func (c *Client) RevokeAll(ctx context.Context) (int, error) {
	var out ended
	err := c.do(ctx, "DELETE", "/v1/sessions", url.Values{"all": {"true"}}, nil, &out)
	return out.Ended, err
}

// Users lists accounts and whom providers have signed in, by email: at most limit,
// and those whose email or name has search in it.
func (c *Client) Users(ctx context.Context, search string, limit int) ([]session.User, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	set(q, "search", search)
	var out userList
	err := c.do(ctx, "GET", "/v1/users", q, nil, &out)
	return out.Users, err
}

// AddUser adds an account.
func (c *Client) AddUser(ctx context.Context, n NewUser) (out ChangedUser, err error) {
	err = c.do(ctx, "POST", "/v1/users", nil, n, &out)
	return out, err
}

// SetPassword changes a password, to a generated one if it is empty, and ends
// the account's sessions.
func (c *Client) SetPassword(ctx context.Context, email, password string) (out ChangedUser, err error) {
	err = c.do(ctx, "PUT", "/v1/users/"+url.PathEscape(email)+"/password", nil, passwordChange{password}, &out)
	return out, err
}

// SetRoles gives an account, and its live sessions, exactly these roles.
func (c *Client) SetRoles(ctx context.Context, email string, roles []string) (out ChangedUser, err error) {
	roles = nonNil(roles)
	err = c.do(ctx, "PUT", "/v1/users/"+url.PathEscape(email)+"/roles", nil, roleChange{&roles}, &out)
	return out, err
}

// RemoveUser removes an account and ends its sessions.
func (c *Client) RemoveUser(ctx context.Context, email string) (out ChangedUser, err error) {
	err = c.do(ctx, "DELETE", "/v1/users/"+url.PathEscape(email), nil, nil, &out)
	return out, err
}

// Person returns who an email is to policy.
func (c *Client) Person(ctx context.Context, email string) (out Person, err error) {
	err = c.do(ctx, "GET", "/v1/people/"+url.PathEscape(email), nil, nil, &out)
	return out, err
}

// Decision returns the explanation of a recent decision, as JSON.
func (c *Client) Decision(ctx context.Context, requestID string) (out json.RawMessage, err error) {
	err = c.do(ctx, "GET", "/v1/decisions/"+url.PathEscape(requestID), nil, nil, &out)
	return out, err
}

// Audit lists entries of the audit trail, newest first.
func (c *Client) Audit(ctx context.Context, a AuditQuery) ([]session.AuditEntry, error) {
	q := url.Values{}
	set(q, "user", a.User)
	set(q, "action", string(a.Action))
	set(q, "text", a.Text)
	for name, at := range map[string]time.Time{"since": a.Since, "until": a.Until} {
		if !at.IsZero() {
			q.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if a.Before != 0 {
		q.Set("before", strconv.FormatUint(a.Before, 10))
	}
	if a.Limit != 0 {
		q.Set("limit", strconv.Itoa(a.Limit))
	}
	var out auditList
	err := c.do(ctx, "GET", "/v1/audit", q, nil, &out)
	if err == nil && out.Paused != 0 {
		err = &session.AuditPaused{Before: out.Paused}
	}
	return out.Entries, err
}

// ReloadPolicy loads and activates the policy anew.
func (c *Client) ReloadPolicy(ctx context.Context) (out Policy, err error) {
	err = c.do(ctx, "POST", "/v1/policy/reload", nil, nil, &out)
	return out, err
}

// Status says how the gate is.
func (c *Client) Status(ctx context.Context) (out Status, err error) {
	err = c.do(ctx, "GET", "/v1/status", nil, nil, &out)
	return out, err
}

// Get asks for what is served on the socket beside this package's own.
func (c *Client) Get(ctx context.Context, path string, q url.Values, out any) error {
	return c.do(ctx, "GET", path, q, nil, out)
}

// Post has something done by what is served on the socket beside this package's
// own.
func (c *Client) Post(ctx context.Context, path string, in, out any) error {
	return c.do(ctx, "POST", path, nil, in, out)
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func (c *Client) do(ctx context.Context, method, path string, q url.Values, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("the request cannot be written as JSON: %w", err)
		}
		body = bytes.NewReader(b)
	}
	target := "http://gate" + path
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the gate's answer did not arrive whole: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		p := &Problem{}
		if err := json.Unmarshal(answer, p); err != nil || p.Detail == "" {
			return fmt.Errorf("the gate answered %s", resp.Status)
		}
		return p
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the gate's answer is not what this command knows; are both of one version? %w", err)
	}
	return nil
}

// explain says what to do when there is no gate to speak to.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("no gate is running with this config (socket %s); start it with gate serve or gate dev", c.socket)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("socket %s opens only to the user that runs the gate; run this command as that user or as root", c.socket)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	return fmt.Errorf("the gate at socket %s does not answer: %w", c.socket, err)
}
