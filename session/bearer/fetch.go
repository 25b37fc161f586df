package bearer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Bounds on what a provider answers, and in what time.
const (
	fetchTime   = 5 * time.Second
	maxJWKS     = 256 << 10
	maxMetadata = 256 << 10
	maxAnswer   = 64 << 10
	// metadataAge is how long a provider's metadata is used. It is also
	// fetched again after its keys could not be.
	metadataAge = time.Hour
)

// newClient returns a client that follows no redirect: what a provider is asked
// carries our credentials and other people's tokens.
func newClient(given *http.Client) *http.Client {
	c := http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: fetchTime, ResponseHeaderTimeout: fetchTime, IdleConnTimeout: 90 * time.Second,
		MaxIdleConnsPerHost: slots, MaxResponseHeaderBytes: 64 << 10,
	}}
	if given != nil {
		c = *given
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.Jar = nil
	return &c
}

// statusError is an answer that is not the one asked for.
type statusError struct{ code int }

func (e *statusError) Error() string {
	return fmt.Sprintf("answered %d %s", e.code, http.StatusText(e.code))
}

// do sends a request and returns the body of a 200 answer of at most limit bytes.
func do(c *http.Client, req *http.Request, limit int64) ([]byte, error) {
	req.Header.Set("Accept", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &statusError{resp.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("answered more than %d bytes", limit)
	}
	return body, nil
}

func get(ctx context.Context, c *http.Client, url string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return do(c, req, limit)
}

// metadata is what a provider says of itself (OpenID Connect Discovery 1.0),
// fetched when first needed.
type metadata struct {
	p      *Provider
	client *http.Client
	clock  func() time.Time

	mu      sync.Mutex
	doc     *document
	fetched time.Time
}

type document struct {
	Issuer        string `json:"issuer"`
	JWKS          string `json:"jwks_uri"`
	Introspection string `json:"introspection_endpoint"`
}

func (m *metadata) get(ctx context.Context) (*document, error) {
	m.mu.Lock()
	doc, age := m.doc, m.clock().Sub(m.fetched)
	m.mu.Unlock()
	if doc != nil && age < metadataAge {
		return doc, nil
	}
	url := strings.TrimSuffix(m.p.Issuer, "/") + "/.well-known/openid-configuration"
	doc, err := m.fetch(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("metadata at %s: %w", url, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doc, m.fetched = doc, m.clock()
	return doc, nil
}

func (m *metadata) fetch(ctx context.Context, url string) (*document, error) {
	body, err := get(ctx, m.client, url, maxMetadata)
	if err != nil {
		return nil, err
	}
	doc := new(document)
	if err := json.Unmarshal(body, doc); err != nil {
		return nil, fmt.Errorf("it is no JSON object: %w", err)
	}
	// Whoever answers for another issuer could name keys of its own.
	if doc.Issuer != m.p.Issuer {
		return nil, fmt.Errorf("it is of issuer %.100q, not %q", doc.Issuer, m.p.Issuer)
	}
	return doc, errors.Join(m.p.checkURL("jwks_uri", doc.JWKS, true), m.p.checkURL("introspection_endpoint", doc.Introspection, true))
}

func (m *metadata) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doc = nil
}

// guard makes a panic an error: on a goroutine of its own it would end the gate
// for everybody, over what one provider sent.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}
