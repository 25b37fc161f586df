package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
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

// Bounds on replies: a word, and the ids of all grants of which something is left.
const (
	maxReply = 16 << 10
	maxList  = 4 << 20
)

// endpoint returns where requests go, and by what. The address is from the
// configuration alone.
func endpoint(raw string, roots *x509.CertPool) (target string, t *http.Transport, err error) {
	t = &http.Transport{
		MaxResponseHeaderBytes: 16 << 10, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4, MaxConnsPerHost: 16,
		TLSHandshakeTimeout: 5 * time.Second, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
	}
	if path, ok := strings.CutPrefix(raw, "unix://"); ok {
		return unixEndpoint(path, t)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return "", nil, errors.New("url is none such as https://provisioner.internal:8443/ or unix:///run/provisioner.sock, without a user in it")
	case u.Scheme == "https":
		t.Proxy, t.ForceAttemptHTTP2 = http.ProxyFromEnvironment, true
		t.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	case u.Scheme == "http" && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()):
		// localhost is a name, which whoever answers for names could point elsewhere.
		t.DialContext = (&net.Dialer{Timeout: 5 * time.Second, Control: onlyLoopback}).DialContext
	default:
		return "", nil, fmt.Errorf("url %s://%s must begin with https://; http:// is for loopback", u.Scheme, u.Host)
	}
	return u.String(), t, nil
}

func unixEndpoint(path string, t *http.Transport) (string, *http.Transport, error) {
	sock, at, found := strings.Cut(path, ":")
	if !found {
		at = "/"
	}
	if !filepath.IsAbs(sock) || at == "" || at[0] != '/' {
		return "", nil, errors.New("url of a Unix socket must be like unix:///run/provisioner.sock or unix:///run/provisioner.sock:/path")
	}
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", sock)
	}
	return (&url.URL{Scheme: "http", Host: "localhost", Path: at}).String(), t, nil
}

func onlyLoopback(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		return errors.New("http:// is for loopback, and the name stands for another address")
	}
	return nil
}

// newClient follows no redirect: signed orders are for whom the configuration
// names, and for nobody whom he names.
func newClient(t *http.Transport) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// reply is an answer as it came.
type reply struct {
	status int
	body   []byte
	again  time.Duration // Retry-After, bounded; 0 if there is none
}

// send makes one try: who calls it tries again. Errors name no more of the
// address than its host.
func (s *Step) send(ctx context.Context, id string, e event, limit int64) (reply, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return reply{}, err
	}
	keys, err := s.secrets.current()
	if err != nil {
		return reply{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.target, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	now := s.o.Clock()
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {"neosc-gate"}, "Webhook-Id": {id},
		"Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)}, "Webhook-Signature": {sign(keys, id, now, body)},
	}
	resp, err := s.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return reply{}, fmt.Errorf("asking %s: %w", s.where(), err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := reply{status: resp.StatusCode, again: retryAfter(resp.Header.Get("Retry-After"), now)}
	if r.body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1)); err != nil {
		return reply{}, fmt.Errorf("reading the answer of %s: %w", s.where(), err)
	}
	if int64(len(r.body)) > limit {
		return reply{}, fmt.Errorf("the answer of %s is larger than %d bytes", s.where(), limit)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "application/json" {
		r.body = nil // a proxy's page, whatever it says
	}
	return r, nil
}

// where names the other side for errors.
func (s *Step) where() string {
	if path, ok := strings.CutPrefix(s.o.URL, "unix://"); ok {
		return path
	}
	u, err := url.Parse(s.target)
	if err != nil {
		return "the receiver"
	}
	return u.Host
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

// outcome says what an answer to demo.start or demo.end means.
func (r reply) outcome() error {
	var said struct {
		Status string `json:"status"`
		Error  string `json:"error"`
	}
	_ = json.Unmarshal(r.body, &said) // what is no JSON says nothing
	err := fmt.Errorf("it answered %d", r.status)
	if said.Error != "" {
		err = fmt.Errorf("it answered %d: %q", r.status, clip(said.Error))
	}
	switch {
	case r.status == http.StatusOK && said.Status == "done":
		return nil
	case r.status == http.StatusAccepted, r.status == http.StatusOK && said.Status == "pending":
		err = session.ErrStepPending
	case r.status == http.StatusOK:
		return errors.New(`it answered 200 without {"status":"done"}`)
	case final(r.status):
		return fmt.Errorf("%w: %w", session.ErrStepRefused, err)
	case r.status >= 300 && r.status < 400:
		return fmt.Errorf("%w, and redirects are not followed", err)
	}
	if r.again > 0 {
		return &session.StepDelayError{After: r.again, Err: err}
	}
	return err
}

// final reports whether a status will be the same next time.
func final(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// clip makes another's words fit for an error.
func clip(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}
