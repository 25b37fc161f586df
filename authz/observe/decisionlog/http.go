package decisionlog

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// HTTPOptions make an HTTP sink. URL is needed.
type HTTPOptions struct {
	// URL is that of the service; records are posted to URL/logs, as OPA does. It
	// may hold no password; its query is in no error.
	URL string
	// TokenFile holds a bearer token, read anew for each call; "" sends none.
	TokenFile string
	// Upload is how many bytes of records share a call before compression, 0 for
	// 512 KiB.
	Upload int
	// Timeout is of one call, 0 for 10 s; Tries how many there are, 0 for 8: with
	// waits that double from 0.2 s to 10 s some 20 s in all.
	Timeout time.Duration
	Tries   int
	// Busy is called before records are compressed, and what it returns after:
	// milliseconds. nil is nothing.
	Busy func() (done func())
	// Client is for tests; nil is one that follows no redirect.
	Client *http.Client
	// Wait is for tests; nil waits on the clock.
	Wait func(ctx context.Context, d time.Duration) error
}

type httpSink struct {
	o   HTTPOptions
	url string
	// place is the address without its query, which may hold a secret.
	place string
}

// NewHTTP returns a sink that posts arrays of records, compressed. A call that
// fails with a status that trying again does not mend (400, 401, 403, 404, 413)
// is not tried again.
func NewHTTP(o HTTPOptions) (Sink, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("decision log: the URL must begin with https:// or http:// and name a host")
	}
	if u.User != nil {
		return nil, errors.New("decision log: the URL must not hold a password; use a token file")
	}
	o.Busy = orNothing(o.Busy)
	if o.Upload <= 0 {
		o.Upload = 512 << 10
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Tries <= 0 {
		o.Tries = 8
	}
	if o.Client == nil {
		o.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	u = u.JoinPath("logs")
	sink := &httpSink{o: o, url: u.String()}
	u.RawQuery, u.Fragment = "", ""
	sink.place = u.String()
	return sink, nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Write implements Sink.
func (s *httpSink) Write(ctx context.Context, lines []byte) error {
	lost, problems := 0, error(nil)
	for len(lines) > 0 {
		part := len(lines)
		if part > s.o.Upload {
			if part = bytes.LastIndexByte(lines[:s.o.Upload], '\n') + 1; part == 0 {
				part = bytes.IndexByte(lines, '\n') + 1
			}
		}
		if err := s.post(ctx, lines[:part]); err != nil {
			lost += bytes.Count(lines[:part], []byte{'\n'})
			problems = err
		}
		lines = lines[part:]
	}
	if problems != nil {
		return &LostError{lost, problems}
	}
	return nil
}

func (s *httpSink) post(ctx context.Context, lines []byte) error {
	done := s.o.Busy()
	body, err := packed(lines)
	done()
	if err != nil {
		return err
	}
	pause := 200 * time.Millisecond
	for try := 1; ; try++ {
		again, err := s.once(ctx, body)
		if err == nil || !again || try == s.o.Tries {
			return err
		}
		if werr := s.o.Wait(ctx, pause/2+rand.N(pause)); werr != nil {
			return errors.Join(err, werr)
		}
		pause = min(2*pause, 10*time.Second)
	}
}

// packed is a gzipped JSON array of the lines.
func packed(lines []byte) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write([]byte{'['}) // a bytes.Buffer fails never, and Close would tell
	first := true
	for line := range bytes.Lines(lines) {
		if !first {
			_, _ = z.Write([]byte{','})
		}
		first = false
		_, _ = z.Write(bytes.TrimSuffix(line, []byte{'\n'}))
	}
	_, _ = z.Write([]byte{']'})
	err := z.Close()
	return out.Bytes(), err
}

func (s *httpSink) once(ctx context.Context, body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	if s.o.TokenFile != "" {
		token, err := os.ReadFile(s.o.TokenFile)
		if err != nil {
			return true, err
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	res, err := s.o.Client.Do(r)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return true, fmt.Errorf("%s: %w", s.place, err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	switch {
	case res.StatusCode/100 == 2:
		return false, nil
	case res.StatusCode == 400 || res.StatusCode == 401 || res.StatusCode == 403 || res.StatusCode == 404 || res.StatusCode == 413:
		return false, fmt.Errorf("%s answers %s", s.place, res.Status)
	default:
		return true, fmt.Errorf("%s answers %s", s.place, res.Status)
	}
}

// Idle implements Sink.
func (s *httpSink) Idle() {}

// Close implements Sink.
func (s *httpSink) Close() error { s.o.Client.CloseIdleConnections(); return nil }
