// Package outbound is how steps of demo grants ask other programs: at addresses
// of the configuration alone, with no redirect followed, in bounded time and
// for bounded answers.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/neosc/gate/session"
)

// Place is another program's address. Safe for concurrent use.
type Place struct {
	// Target is the address of requests, Name what errors call it.
	Target, Name string
	client       *http.Client
}

// dialTime bounds a connection's beginning.
const dialTime = 5 * time.Second

// At returns the place of https://…, http:// on loopback, or
// unix:///run/x.sock, where the path of requests may follow behind a colon.
// roots are whom a certificate may be from; nil: the system's.
func At(raw string, roots *x509.CertPool) (*Place, error) {
	t := &http.Transport{
		MaxResponseHeaderBytes: 16 << 10, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4, MaxConnsPerHost: 16,
		TLSHandshakeTimeout: dialTime, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
	}
	p := &Place{client: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
		// Orders and secrets are for whom the configuration names, and for nobody
		// whom he names.
		return http.ErrUseLastResponse
	}}}
	if path, ok := strings.CutPrefix(raw, "unix://"); ok {
		return p, p.unix(path, t)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return nil, errors.New("is no address such as https://provisioner.internal:8443/ or unix:///run/provisioner.sock, without a user in it")
	case u.Scheme == "https":
		t.Proxy, t.ForceAttemptHTTP2 = http.ProxyFromEnvironment, true
		t.DialContext = (&net.Dialer{Timeout: dialTime}).DialContext
	case u.Scheme == "http" && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()):
		// localhost is a name, which whoever answers for names could point elsewhere.
		t.DialContext = (&net.Dialer{Timeout: dialTime, Control: onlyLoopback}).DialContext
	default:
		return nil, fmt.Errorf("%s://%s must begin with https://; http:// is for loopback", u.Scheme, u.Host)
	}
	p.Target, p.Name = u.String(), u.Host
	return p, nil
}

func (p *Place) unix(path string, t *http.Transport) error {
	sock, at, found := strings.Cut(path, ":")
	if !found {
		at = "/"
	}
	if !filepath.IsAbs(sock) || at == "" || at[0] != '/' {
		return errors.New("must be like unix:///run/provisioner.sock, or with the path of requests unix:///run/provisioner.sock:/path")
	}
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "unix", sock)
	}
	p.Target, p.Name = (&url.URL{Scheme: "http", Host: "localhost", Path: at}).String(), sock
	return nil
}

func onlyLoopback(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		return errors.New("http:// is for loopback, and the name stands for another address")
	}
	return nil
}

// Answer is another program's.
type Answer struct {
	Status int
	// JSON is the body, nil if it is not said to be JSON: a proxy's page says
	// nothing, whatever is in it.
	JSON []byte
	// After is Retry-After, at most session.MaxStepDelay; 0 if there is none.
	After time.Duration
}

// Do sends a request, within its context, and reads at most limit bytes of the
// answer. Errors name the place alone. now is for Retry-After.
func (p *Place) Do(req *http.Request, limit int64, now time.Time) (Answer, error) {
	resp, err := p.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return Answer{}, fmt.Errorf("asking %s: %w", p.Name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := Answer{Status: resp.StatusCode, After: retryAfter(resp.Header.Get("Retry-After"), now)}
	if a.JSON, err = io.ReadAll(io.LimitReader(resp.Body, limit+1)); err != nil {
		return Answer{}, fmt.Errorf("reading the answer of %s: %w", p.Name, err)
	}
	if int64(len(a.JSON)) > limit {
		return Answer{}, fmt.Errorf("the answer of %s is larger than %d bytes", p.Name, limit)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "application/json" {
		a.JSON = nil
	}
	return a, nil
}

// Delayed adds to err when to come again, if the answer says it.
func (a Answer) Delayed(err error) error {
	if a.After > 0 {
		return &session.StepDelayError{After: a.After, Err: err}
	}
	return err
}

// retryAfter reads both forms of it (RFC 9110, 10.2.3).
func retryAfter(v string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), session.MaxStepDelay)
}

// Words makes another program's words fit for an error.
func Words(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}
