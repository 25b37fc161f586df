package audit

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Sink takes checkpoints to where the gate's machine cannot change them.
type Sink interface {
	// Put returns once a checkpoint is kept. It may come with the same one
	// again.
	Put(ctx context.Context, number uint64, signed []byte) error
}

// FileSink appends to one file, which ReadCheckpoints reads.
type FileSink string

// Put implements Sink.
func (s FileSink) Put(_ context.Context, _ uint64, signed []byte) error {
	f, err := os.OpenFile(string(s), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	// One write, so that gates which share the file do not mix their lines.
	_, err = f.Write(append(bytes.Clone(signed), '\n'))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// DirSink makes a file of each checkpoint in a folder: the number in 20 digits,
// ".note". None is ever written over.
type DirSink string

// Put implements Sink.
func (s DirSink) Put(_ context.Context, number uint64, signed []byte) error {
	if err := os.MkdirAll(string(s), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(string(s), ".note-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(signed)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for again := range 100 {
		name := fmt.Sprintf("%020d.note", number)
		if again > 0 { // a seal of an entry that had a checkpoint before
			name = fmt.Sprintf("%020d-%02d.note", number, again)
		}
		name = filepath.Join(string(s), name)
		switch err := os.Link(f.Name(), name); {
		case err == nil:
			return syncDir(string(s))
		case !errors.Is(err, fs.ErrExist):
			return err
		}
		if was, err := os.ReadFile(name); err == nil && bytes.Equal(was, signed) {
			return nil
		}
	}
	return fmt.Errorf("%s has 100 checkpoints of entry %d", string(s), number)
}

// postTime bounds one POST, and postReply what is read of its answer.
const (
	postTime  = 10 * time.Second
	postReply = 4 << 10
)

// HTTPSink posts each checkpoint as text/plain to one address. Any 2xx says
// that it is kept. Redirects are not followed: who answers at that address is
// the one that was chosen.
type HTTPSink struct {
	url    string
	client *http.Client
}

// NewHTTPSink returns a sink for an http or https address.
func NewHTTPSink(address string) (*HTTPSink, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("want an address that begins with https:// or http://")
	}
	return &HTTPSink{url: address, client: &http.Client{
		Timeout: postTime,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: postTime,
			MaxResponseHeaderBytes: 16 << 10, IdleConnTimeout: time.Minute, MaxIdleConns: 1, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Put implements Sink.
func (s *HTTPSink) Put(ctx context.Context, _ uint64, signed []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(signed))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := s.client.Do(req)
	if err != nil {
		// Not the address: it may hold a password.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return fmt.Errorf("POST to %s: %w", req.URL.Host, err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, postReply) // so that the connection is used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("POST to %s: it answered %s", req.URL.Host, strings.TrimSpace(clip(resp.Status, maxName)))
	}
	return nil
}
