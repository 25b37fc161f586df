// Package download brings bundles from a server as OPA's own client asks for
// them: by ETag, and waiting at the server (Prefer: wait=N) where that offers it.
// Whatever a server does (slow, endless, cut, elsewhere, a page in place of a
// bundle) ends within a time and a size and leaves what was there before.
package download

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/neosc/gate/bundles/archive"
)

// Options make a Client.
type Options struct {
	// URL is where the bundle is, https or http. It may hold no password.
	URL string
	// TokenFile, if set, holds a bearer token, read anew for each request.
	TokenFile string
	// CAFile, if set, holds the certificates that the server's is of, as PEM.
	CAFile string
	// Poll is the time between two questions, of which each is moved by up to a
	// fifth, so that gates do not ask all at once; 0 means 60 s.
	Poll time.Duration
	// Wait is how long a server may keep a question until there is something new; 0
	// means not at all. It is asked to only if it says that it can.
	Wait time.Duration
	// Timeout bounds one download, without Wait; 0 means 60 s.
	Timeout time.Duration
	// Logger is required.
	Logger *slog.Logger
}

// bundleType is what a server says that can wait with its answer.
const bundleType = "application/vnd.openpolicyagent.bundles"

// retry is the first pause after a failure; they double up to Poll.
const retry = time.Second

// again is how many unchanged answers come until a bundle that was refused is
// asked for anew: what was wrong may have been here, a full disk for example.
const again = 10

// Client asks one server. Run is for one goroutine; Fetch for any.
type Client struct {
	opt  Options
	url  *url.URL
	http *http.Client
	// sleep pauses for about a time; false when ctx ended. Tests have their own.
	sleep func(ctx context.Context, d time.Duration) bool

	mu    sync.Mutex
	etag  string
	waits bool // the server can
}

// New checks the options; nothing is asked yet.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("bundle server: the URL must be as https://bundles.example.com/policy.tar.gz")
	case u.User != nil:
		return nil, errors.New("bundle server: the URL must not hold a password; use a token file")
	case o.Logger == nil:
		return nil, errors.New("download: Options.Logger is missing")
	}
	tr := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 32 << 10, IdleConnTimeout: 2 * time.Minute,
		DisableCompression: true, // the bundle is packed, and what unpacks on the way is not bounded
		TLSClientConfig:    &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
	}
	if o.CAFile != "" {
		text, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("bundle server: %w", err)
		}
		tr.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !tr.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("bundle server: %s holds no certificate", o.CAFile)
		}
	}
	o.Poll, o.Timeout = cmp.Or(o.Poll, time.Minute), cmp.Or(o.Timeout, time.Minute)
	return &Client{opt: o, url: u, sleep: sleep, http: &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}, nil
}

// String is the address without its query, which may hold a secret.
func (c *Client) String() string {
	u := *c.url
	u.RawQuery, u.Fragment = "", ""
	return u.String()
}

// Fetch returns the bundle that is there now.
func (c *Client) Fetch(ctx context.Context) ([]byte, error) {
	packed, _, err := c.get(ctx, "", 0)
	return packed, err
}

// Run asks until ctx ends: at once, and then as Options say.
func (c *Client) Run(ctx context.Context, offer func([]byte) error, told func(error)) {
	pause, refused := retry, 0
	for ctx.Err() == nil {
		c.mu.Lock()
		etag, wait := c.etag, c.wait()
		c.mu.Unlock()
		began := time.Now()
		packed, tag, err := c.get(ctx, etag, wait)
		if ctx.Err() != nil {
			return
		}
		told(err)
		next := c.opt.Poll
		switch {
		case err != nil:
			next, pause = min(pause, c.opt.Poll), min(2*pause, c.opt.Poll)
		case packed == nil: // not modified
			pause = retry
			if refused > 0 {
				refused--
				if refused == 0 {
					c.seen("")
				}
			}
		default:
			pause, refused = retry, 0
			c.seen(tag)
			if offer(packed) != nil {
				refused = again
			}
		}
		// A server that has kept the question has paused already. One that has
		// always something new is not asked all the time, and one that sends the same
		// again, for it does not look at the tag, no more often than configured.
		switch {
		case err != nil || wait == 0:
		case packed != nil && tag == etag:
		case packed != nil:
			next = min(retry, next)
		case time.Since(began) >= wait/2:
			next = 0
		}
		if !c.sleep(ctx, next) {
			return
		}
	}
}

func (c *Client) wait() time.Duration {
	if c.waits && c.etag != "" {
		return c.opt.Wait
	}
	return 0
}

func (c *Client) seen(etag string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.etag = etag
}

// sleep pauses for about d; false when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		d += time.Duration((rand.Float64() - 0.5) * 0.4 * float64(d))
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// get returns a bundle and its ETag, or nothing if it is the one of etag.
func (c *Client) get(ctx context.Context, etag string, wait time.Duration) (packed []byte, tag string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.opt.Timeout+wait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url.String(), nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("User-Agent", "neosc-gate")
	req.Header.Set("Accept", bundleType+", application/gzip, application/octet-stream;q=0.5")
	prefer := "modes=snapshot"
	if wait > 0 {
		prefer += ";wait=" + strconv.Itoa(int(max(1, wait/time.Second)))
	}
	req.Header.Set("Prefer", prefer)
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	if err := c.authorize(req); err != nil {
		return nil, "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, "", c.explain(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified && etag != "" {
		return nil, etag, nil
	}
	if err := c.acceptable(resp); err != nil {
		return nil, "", err
	}
	packed, err = io.ReadAll(io.LimitReader(resp.Body, archive.MaxPacked+1))
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("the bundle of %s did not arrive whole: %w", c, c.explain(ctx, err))
	case len(packed) > archive.MaxPacked:
		return nil, "", fmt.Errorf("%s sends more than %d bytes", c, archive.MaxPacked)
	case !bytes.HasPrefix(packed, []byte{0x1f, 0x8b}):
		return nil, "", fmt.Errorf("%s sends no bundle (%d bytes that are no gzip)", c, len(packed))
	}
	c.mu.Lock()
	c.waits = mediaType(resp) == bundleType
	c.mu.Unlock()
	return packed, tagOf(resp), nil
}

// tagOf is the ETag of an answer, if it is one.
func tagOf(resp *http.Response) string {
	if tag := resp.Header.Get("ETag"); len(tag) <= 512 {
		return tag
	}
	return ""
}

func mediaType(resp *http.Response) string {
	t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return t
}

// acceptable says what is wrong with an answer before its body is read.
func (c *Client) acceptable(resp *http.Response) error {
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return fmt.Errorf("%s answers %d, to somewhere else; redirects are not followed: configure the address itself", c, resp.StatusCode)
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s answers %d; look at the token file", c, resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %d", c, resp.StatusCode)
	case strings.HasPrefix(mediaType(resp), "text/"):
		return fmt.Errorf("%s sends %s and no bundle", c, mediaType(resp))
	case resp.ContentLength > archive.MaxPacked:
		return fmt.Errorf("%s sends %d bytes, more than %d", c, resp.ContentLength, archive.MaxPacked)
	}
	return nil
}

func (c *Client) authorize(req *http.Request) error {
	if c.opt.TokenFile == "" {
		return nil
	}
	text, err := os.ReadFile(c.opt.TokenFile)
	if err != nil {
		return fmt.Errorf("token of the bundle server: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(token) > 8<<10 || strings.ContainsAny(token, " \t\r\n") {
		return fmt.Errorf("token of the bundle server: %s holds no token", c.opt.TokenFile)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// explain leaves the address out of what net/http says: its query may hold a
// secret.
func (c *Client) explain(ctx context.Context, err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = errors.New("it took too long")
	}
	return fmt.Errorf("%s: %w", c, err)
}
