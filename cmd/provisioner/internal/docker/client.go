// Package docker makes the containers of demo grants and takes them away, over
// the Docker Engine API on a Unix socket. A container is found by its labels
// alone, never by what this process remembers, so that a crash loses none.
//
// client.go speaks the API, spec.go says how a container is confined, network.go
// with whom it can speak, step.go is the step of a grant.
package docker

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
	"strings"
	"sync"
	"time"
)

const (
	// wantVersion is of the API that is spoken here, and leastVersion the oldest
	// that has all of it; an engine's own bounds are asked for.
	wantVersion, leastVersion = "1.44", "1.40"
	// mostReply bounds a reply: a container in a list is about 2 KiB.
	mostReply = 32 << 20
)

// Error is the engine's refusal of a call.
type Error struct {
	Status  int
	Message string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("docker answers %d: %s", e.Status, e.Message)
}

func status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

// Client speaks to one engine. Safe for concurrent use.
type Client struct {
	http    *http.Client
	mu      sync.Mutex
	version string // agreed on with the engine; "" until it was asked
}

// NewClient returns a Client of the engine at a Unix socket. Nothing is asked yet.
func NewClient(socket string) *Client {
	return &Client{http: &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
			},
			MaxIdleConns: 8, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ping asks whether the engine answers.
func (c *Client) Ping(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/_ping", nil, nil, nil)
}

// agree finds the version of the API that both sides speak.
func (c *Client) agree(ctx context.Context) (string, error) {
	c.mu.Lock()
	v := c.version
	c.mu.Unlock()
	if v != "" {
		return v, nil
	}
	// /version and /_ping alone are without a version by intent.
	var engine struct{ ApiVersion, MinAPIVersion string }
	if err := c.do(ctx, http.MethodGet, "/version", nil, nil, &engine); err != nil {
		return "", err
	}
	v = wantVersion
	if below(engine.ApiVersion, v) {
		v = engine.ApiVersion
	}
	if below(v, engine.MinAPIVersion) {
		v = engine.MinAPIVersion
	}
	if below(v, leastVersion) || below(engine.ApiVersion, v) {
		return "", fmt.Errorf("docker speaks API %.20q to %.20q; want one from %s on", engine.MinAPIVersion, engine.ApiVersion, leastVersion)
	}
	c.mu.Lock()
	c.version = v
	c.mu.Unlock()
	return v, nil
}

// below compares versions such as 1.9 and 1.44; what is none is 0.
func below(a, b string) bool {
	am, an := parts(a)
	bm, bn := parts(b)
	return am < bm || am == bm && an < bn
}

func parts(v string) (major, minor int) {
	a, b, _ := strings.Cut(v, ".")
	major, _ = strconv.Atoi(a)
	minor, _ = strconv.Atoi(b)
	return major, minor
}

// call is do below the agreed version's path.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	v, err := c.agree(ctx)
	if err != nil {
		return err
	}
	err = c.do(ctx, method, "/v"+v+path, query, in, out)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusBadRequest && strings.Contains(e.Message, "API version") {
		c.mu.Lock()
		c.version = "" // the engine was exchanged for another
		c.mu.Unlock()
		return fmt.Errorf("docker is not the one that it was: %s", e.Message)
	}
	return err
}

func (c *Client) do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	u := url.URL{Scheme: "http", Host: "docker", Path: path, RawQuery: query.Encode()}
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
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("docker does not answer: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, mostReply+1))
	if err != nil {
		return fmt.Errorf("docker's answer broke off: %w", err)
	}
	if len(b) > mostReply {
		return fmt.Errorf("docker's answer has more than %d bytes", mostReply)
	}
	if resp.StatusCode/100 != 2 {
		var said struct{ Message string }
		_ = json.Unmarshal(b, &said)
		return &Error{resp.StatusCode, fmt.Sprintf("%.300s", said.Message)}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("docker's answer to %s is not what its API says: %w", path, err)
	}
	return nil
}

// Container is one in a list.
type Container struct {
	ID     string `json:"Id"`
	Names  []string
	Labels map[string]string
	State  string
}

// List returns all containers that have all labels, running or not.
func (c *Client) List(ctx context.Context, labels map[string]string) ([]Container, error) {
	filters, err := json.Marshal(map[string][]string{"label": labelFilters(labels)})
	if err != nil {
		return nil, err
	}
	var all []Container
	err = c.call(ctx, http.MethodGet, "/containers/json", url.Values{"all": {"1"}, "filters": {string(filters)}}, nil, &all)
	if err != nil {
		return nil, err
	}
	// An engine that left out the filter would have us remove what is others'.
	ours := all[:0]
	for _, x := range all {
		if has(x.Labels, labels) {
			ours = append(ours, x)
		}
	}
	return ours, nil
}

// labelFilters are labels as filters name them; one without a value has any.
func labelFilters(labels map[string]string) []string {
	want := []string{}
	for k, v := range labels {
		if v != "" {
			k += "=" + v
		}
		want = append(want, k)
	}
	return want
}

func has(labels, want map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || v != "" && got != v {
			return false
		}
	}
	return true
}

// Create makes a container and returns its id: 404 without the image, 409 where
// there is one of the name.
func (c *Client) Create(ctx context.Context, name string, s Spec) (string, error) {
	var made struct {
		ID string `json:"Id"`
	}
	err := c.call(ctx, http.MethodPost, "/containers/create", url.Values{"name": {name}}, s.create(), &made)
	return made.ID, err
}

// Start starts a container; one that runs is no error (304).
func (c *Client) Start(ctx context.Context, id string) error {
	return unless(c.call(ctx, http.MethodPost, "/containers/"+url.PathEscape(id)+"/start", nil, nil, nil), http.StatusNotModified)
}

// Stop asks a container to end and kills it after grace; one that is stopped or
// gone is no error (304, 404).
func (c *Client) Stop(ctx context.Context, id string, grace time.Duration) error {
	q := url.Values{"t": {strconv.Itoa(int(grace / time.Second))}}
	return unless(c.call(ctx, http.MethodPost, "/containers/"+url.PathEscape(id)+"/stop", q, nil, nil), http.StatusNotModified, http.StatusNotFound)
}

// Remove takes a container away with its anonymous volumes; one that is gone is
// no error (404). 409 says that it is being removed.
func (c *Client) Remove(ctx context.Context, id string) error {
	q := url.Values{"force": {"1"}, "v": {"1"}}
	return unless(c.call(ctx, http.MethodDelete, "/containers/"+url.PathEscape(id), q, nil, nil), http.StatusNotFound)
}

func unless(err error, fine ...int) error {
	for _, s := range fine {
		if status(err) == s {
			return nil
		}
	}
	return err
}
