package oidclogin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Bounds on what providers send, and on how long they may take.
const (
	maxBody    = 256 << 10
	askTimeout = 5 * time.Second
)

// newTransport bounds what http.DefaultTransport leaves open.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    3 * time.Second,
		ResponseHeaderTimeout:  askTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    16,
		MaxConnsPerHost:        64,
		IdleConnTimeout:        90 * time.Second,
	}
}

// newClient follows no redirect: from a token endpoint one would post code and
// verifier on to whoever is named there.
func newClient(rt http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: rt, Timeout: askTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

var errTooLarge = errors.New("the answer is too large")

// ask sends a request and returns the answer's status and its JSON body.
// endpoint is a metric label. Errors name neither the body nor the query.
func (p *provider) ask(ctx context.Context, endpoint string, req *http.Request) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req.Header.Set("Accept", "application/json")
	start := time.Now()
	status, body, err := p.send(req.WithContext(ctx))
	p.metrics.asked(p.ID, endpoint, status, err, time.Since(start))
	if err != nil {
		return status, nil, fmt.Errorf("%s endpoint: %w", endpoint, err)
	}
	return status, body, nil
}

func (p *provider) send(req *http.Request) (int, []byte, error) {
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, nil, withoutURL(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return resp.StatusCode, nil, err
	case len(body) > maxBody:
		return resp.StatusCode, nil, errTooLarge
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return resp.StatusCode, nil, fmt.Errorf("answered %d, and redirects are not followed", resp.StatusCode)
	}
	return resp.StatusCode, body, nil
}

// withoutURL drops the address that http.Client puts into its errors: it may
// carry a query.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
