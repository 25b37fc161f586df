// Package netbird takes the network access of demo grants away: the peers that
// enrolled for one and the keys with which they could again. It speaks the REST
// API of NetBird, at the one URL that the configuration names.
//
// client.go speaks the API, step.go is the step of a grant.
package netbird

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/neosc/gate/cmd/provisioner/internal/webhook"
)

// mostReply bounds a reply: a peer in a list is about 1 KiB.
const mostReply = 64 << 20

// Error is NetBird's refusal of a call.
type Error struct {
	Status  int
	Message string
	// After is what a 429 asks for, if it does.
	After time.Duration
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("netbird answers %d: %s", e.Status, e.Message)
}

// Client speaks to one management server. Safe for concurrent use.
type Client struct {
	http  *http.Client
	base  *url.URL
	token string
}

// NewClient returns a Client. The transport may be nil; redirects are never
// followed, since the token would go along.
func NewClient(base *url.URL, token string, transport http.RoundTripper) *Client {
	return &Client{base: base, token: token, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Ref is one of the groups that a peer is in.
type Ref struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Peer is a machine in the network.
type Peer struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Hostname string `json:"hostname"`
	Groups   []Ref  `json:"groups"`
}

// Key is a setup key, without the secret.
type Key struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Revoked    bool     `json:"revoked"`
	AutoGroups []string `json:"auto_groups"`
}

// Peers returns those whose name contains name, which NetBird matches loosely;
// "" is all.
func (c *Client) Peers(ctx context.Context, name string) ([]Peer, error) {
	q := url.Values{}
	if name != "" {
		q.Set("name", name)
	}
	var all []Peer
	err := c.do(ctx, http.MethodGet, q, nil, &all, "peers")
	return all, err
}

// DeletePeer removes a peer; one that is gone is no error (404).
func (c *Client) DeletePeer(ctx context.Context, id string) error {
	return unlessGone(c.do(ctx, http.MethodDelete, nil, nil, nil, "peers", id))
}

// Groups returns all groups.
func (c *Client) Groups(ctx context.Context) ([]Ref, error) {
	var all []Ref
	err := c.do(ctx, http.MethodGet, nil, nil, &all, "groups")
	return all, err
}

// Keys returns all setup keys.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	var all []Key
	err := c.do(ctx, http.MethodGet, nil, nil, &all, "setup-keys")
	return all, err
}

// RevokeKey ends a key's use; its peers stay. One that is gone is no error.
func (c *Client) RevokeKey(ctx context.Context, k Key) error {
	groups := k.AutoGroups
	if groups == nil {
		groups = []string{}
	}
	in := map[string]any{"revoked": true, "auto_groups": groups}
	return unlessGone(c.do(ctx, http.MethodPut, nil, in, nil, "setup-keys", k.ID))
}

// DeleteKey removes a key; one that is gone is no error.
func (c *Client) DeleteKey(ctx context.Context, id string) error {
	return unlessGone(c.do(ctx, http.MethodDelete, nil, nil, nil, "setup-keys", id))
}

// CreateKey makes a key for one machine, which leaves the network ten minutes
// after it was last seen, and returns the secret, which is shown this once.
func (c *Client) CreateKey(ctx context.Context, name string, life time.Duration, groups []string) (string, error) {
	in := map[string]any{
		"name": name, "type": "one-off", "usage_limit": 1, "ephemeral": true, "auto_groups": groups,
		// 0 would mean for ever.
		"expires_in": max(int64(life/time.Second), 1),
	}
	var made struct {
		Key string `json:"key"`
	}
	if err := c.do(ctx, http.MethodPost, nil, in, &made, "setup-keys"); err != nil {
		return "", err
	}
	if made.Key == "" {
		return "", errors.New("netbird made a setup key and did not say it")
	}
	return made.Key, nil
}

func unlessGone(err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
		return nil
	}
	return err
}

func (c *Client) do(ctx context.Context, method string, query url.Values, in, out any, path ...string) error {
	for i, p := range path {
		path[i] = url.PathEscape(p)
	}
	u := c.base.JoinPath(append([]string{"api"}, path...)...)
	u.RawQuery = query.Encode()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Token "+c.token)
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("netbird does not answer: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, mostReply+1))
	if err != nil {
		return fmt.Errorf("netbird's answer broke off: %w", err)
	}
	if len(b) > mostReply {
		return fmt.Errorf("netbird's answer has more than %d bytes", mostReply)
	}
	if resp.StatusCode/100 != 2 {
		return failure(resp, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		// The decoder may quote what it read, and a key is among that.
		return fmt.Errorf("netbird's answer to %s /api/%s is not what its API says", method, path[0])
	}
	return nil
}

func failure(resp *http.Response, body []byte) error {
	var said struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(body, &said)
	e := &Error{Status: resp.StatusCode, Message: fmt.Sprintf("%.300s", said.Message)}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 && n <= 3600 {
		e.After = time.Duration(n) * time.Second
	}
	if e.Status == http.StatusTooManyRequests {
		return &webhook.RetryError{After: max(e.After, 10*time.Second), Err: e}
	}
	return e
}
