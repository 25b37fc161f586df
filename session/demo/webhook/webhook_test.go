package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/demo/webhook"
)

var (
	noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	ana  = session.DemoGrant{
		ID: "demo-1772705730-3f2a9c", Status: session.GrantStarting, UserID: "idp-7", Email: "ana@kappa4.com", Organization: "o-1", WorkspaceType: "desktop",
		Role: "demo-user-12345", Purpose: "to look at it", ClientAddr: "203.0.113.9", StartedAt: noon, ExpiresAt: noon.Add(30 * time.Minute),
	}
)

const (
	oneSecret   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherSecret = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IQ=="
)

// call is a webhook as it came.
type call struct {
	path, id, body string
	header         http.Header
}

// receiver keeps what comes, and answers by a function.
type receiver struct {
	mu     sync.Mutex
	calls  []call
	answer func(w http.ResponseWriter)
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	r.mu.Lock()
	r.calls = append(r.calls, call{q.Method + " " + q.URL.Path, q.Header.Get("webhook-id"), string(body), q.Header})
	r.mu.Unlock()
	r.answer(w)
}

func (r *receiver) all() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

func says(status int, body string, headers ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

var done = says(200, `{"status":"done"}`)

func secretsFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// stand starts a receiver and a step that asks it.
func stand(t *testing.T, answer func(http.ResponseWriter), change ...func(*webhook.Options)) (*receiver, *webhook.Step) {
	t.Helper()
	r := &receiver{answer: answer}
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	o := webhook.Options{Name: "container", URL: srv.URL + "/hooks", Secrets: secretsFile(t, oneSecret), Clock: func() time.Time { return noon }}
	for _, f := range change {
		f(&o)
	}
	s, err := webhook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

// verify is a receiver's check, written from the published form.
func verify(c call, secret string) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", c.header.Get("webhook-id"), c.header.Get("webhook-timestamp"), c.body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if !slices.Contains(strings.Split(c.header.Get("webhook-signature"), " "), want) {
		return errors.New("no signature is right")
	}
	return nil
}

func TestAWebhookSaysWhatReceiversAreToldOfIt(t *testing.T) {
	r, s := stand(t, done)
	if err := errors.Join(s.Start(t.Context(), ana), s.End(t.Context(), session.DemoGrant{ID: ana.ID})); err != nil {
		t.Fatal(err)
	}
	calls := r.all()
	want := []struct{ id, body string }{
		{"demo-1772705730-3f2a9c.container.start", `{"type":"demo.start","step":"container","grant":{"id":"demo-1772705730-3f2a9c","user_id":"idp-7","email":"ana@kappa4.com","organization":"o-1","workspace_type":"desktop","role":"demo-user-12345","started_at":"2026-03-05T12:00:00Z","expires_at":"2026-03-05T12:30:00Z"}}`},
		{"demo-1772705730-3f2a9c.container.end", `{"type":"demo.end","step":"container","grant":{"id":"demo-1772705730-3f2a9c"}}`},
	}
	for i, c := range calls {
		if c.path != "POST /hooks" || c.id != want[i].id || c.body != want[i].body || c.header.Get("webhook-timestamp") != strconv.FormatInt(noon.Unix(), 10) || c.header.Get("Content-Type") != "application/json" {
			t.Errorf("call %d:\n%s %s %s %v\nwant\n%s %s", i, c.path, c.id, c.body, c.header, want[i].id, want[i].body)
		}
		if err := verify(c, oneSecret); err != nil {
			t.Errorf("call %d: %v: %v", i, err, c.header)
		}
		if verify(c, otherSecret) == nil {
			t.Error("the signature is right with another secret as well")
		}
	}
	if len(calls) != 2 {
		t.Fatalf("%d calls", len(calls))
	}
}

func TestTheSameTryAgainHasItsKeyAndItsOwnTime(t *testing.T) {
	now := noon
	r, s := stand(t, says(503, `{}`), func(o *webhook.Options) { o.Clock = func() time.Time { return now } })
	for range 3 {
		if err := s.End(t.Context(), ana); err == nil || errors.Is(err, session.ErrStepRefused) {
			t.Fatalf("a 503 is %v", err)
		}
		now = now.Add(time.Minute)
	}
	for i, c := range r.all() {
		if c.id != ana.ID+".container.end" || c.header.Get("webhook-timestamp") != strconv.FormatInt(noon.Unix()+int64(60*i), 10) {
			t.Errorf("try %d came as %s at %s", i, c.id, c.header.Get("webhook-timestamp"))
		}
		if err := verify(c, oneSecret); err != nil {
			t.Errorf("try %d: %v", i, err)
		}
	}
}

func TestSecretsChangeWithoutAGap(t *testing.T) {
	path := secretsFile(t, "# the receiver's", oneSecret)
	r, s := stand(t, done, func(o *webhook.Options) { o.Secrets = path })
	write := func(mode os.FileMode, text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		mode os.FileMode
		file string
		good []string
	}{
		{0o600, oneSecret + "\n" + otherSecret, []string{oneSecret, otherSecret}},
		{0o600, "half a line", []string{oneSecret, otherSecret}}, // the last that could be read
		{0o644, otherSecret, []string{oneSecret, otherSecret}},   // others could read it
		{0o600, otherSecret, []string{otherSecret}},
	} {
		write(step.mode, step.file)
		if err := s.Start(t.Context(), ana); err != nil {
			t.Fatal(err)
		}
		calls := r.all()
		for _, secret := range []string{oneSecret, otherSecret} {
			if got, want := verify(calls[len(calls)-1], secret) == nil, slices.Contains(step.good, secret); got != want {
				t.Errorf("with the file %q the secret %s… is right: %v, want %v", step.file, secret[:10], got, want)
			}
		}
	}
}

func TestAnswersMeanWhatTheyShould(t *testing.T) {
	for name, c := range map[string]struct {
		answer  func(http.ResponseWriter)
		done    bool
		refused bool
		pending bool
		after   time.Duration
	}{
		"Done":                  {answer: done, done: true},
		"Pending":               {answer: says(202, `{"status":"pending"}`), pending: true},
		"PendingFor":            {answer: says(202, `{"status":"pending"}`, "Retry-After", "7"), pending: true, after: 7 * time.Second},
		"PendingAs200":          {answer: says(200, `{"status":"pending"}`), pending: true},
		"EmptyOK":               {answer: says(200, ``)},
		"OtherOK":               {answer: says(200, `{"ok":true}`)},
		"DoneOfAProxyPage":      {answer: says(200, `{"status":"done"}`, "Content-Type", "text/html")},
		"NoContent":             {answer: says(204, ``)},
		"Redirect":              {answer: says(307, ``, "Location", "http://127.0.0.1:1/")},
		"BadRequest":            {answer: says(400, `{"error":"no such kind"}`), refused: true},
		"Forbidden":             {answer: says(403, ``), refused: true},
		"Gone":                  {answer: says(410, ``, "Retry-After", "7"), refused: true},
		"Timeout":               {answer: says(408, ``)},
		"Conflict":              {answer: says(409, ``)},
		"TooEarly":              {answer: says(425, ``)},
		"TooMany":               {answer: says(429, ``, "Retry-After", "30"), after: 30 * time.Second},
		"TooManyUntil":          {answer: says(429, ``, "Retry-After", noon.Add(time.Minute).Format(http.TimeFormat)), after: time.Minute},
		"TooManyForYears":       {answer: says(503, ``, "Retry-After", "100000000"), after: session.MaxStepDelay},
		"TooManyBeforeNow":      {answer: says(503, ``, "Retry-After", noon.Add(-time.Hour).Format(http.TimeFormat))},
		"RetryAfterNonsense":    {answer: says(503, ``, "Retry-After", "-5")},
		"LargerThanIsRead":      {answer: says(200, `{"status":"done","x":"`+strings.Repeat("x", 17<<10)+`"}`)},
		"RefusedWithOddLetters": {answer: says(422, `{"error":"a\u0000b\nc"}`), refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, s := stand(t, c.answer)
			err := s.Start(t.Context(), ana)
			if (err == nil) != c.done || errors.Is(err, session.ErrStepRefused) != c.refused || errors.Is(err, session.ErrStepPending) != c.pending || session.StepAfter(err) != c.after {
				t.Errorf("%v (again after %v), want done %v, refused %v, pending %v, after %v", err, session.StepAfter(err), c.done, c.refused, c.pending, c.after)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x00\n") {
				t.Errorf("control characters of the answer are in %q", err)
			}
		})
	}
}

func TestWhatIsUnderWayIsAskedAboutAgain(t *testing.T) {
	n := 0
	r, s := stand(t, func(w http.ResponseWriter) {
		if n++; n < 4 {
			says(202, `{"status":"pending"}`)(w)
			return
		}
		done(w)
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Start(ctx, ana); err != nil {
		t.Fatal(err)
	}
	calls := r.all()
	if len(calls) != 4 || calls[0].id != calls[3].id {
		t.Errorf("%+v", calls)
	}
}

func TestWhatIsUnderWayForLongerThanTheCallMayLastIsPending(t *testing.T) {
	_, s := stand(t, says(202, `{"status":"pending"}`, "Retry-After", "120"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.End(ctx, ana); !errors.Is(err, session.ErrStepPending) || session.StepAfter(err) != 2*time.Minute {
		t.Errorf("%v", err)
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	elsewhere := &receiver{answer: done}
	srv := httptest.NewServer(elsewhere)
	defer srv.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		_, s := stand(t, says(status, ``, "Location", srv.URL))
		if err := s.End(t.Context(), ana); err == nil || !strings.Contains(err.Error(), "redirects are not followed") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if n := len(elsewhere.all()); n != 0 {
		t.Errorf("%d signed webhooks went to where a redirect pointed", n)
	}
}

func TestOwnedIsWhatTheReceiverLists(t *testing.T) {
	r, s := stand(t, says(200, `{"grants":["demo-1-a","demo-2-b"]}`))
	got, err := s.Owned(t.Context())
	if err != nil || len(got) != 2 || got[0].ID != "demo-1-a" || got[1].ID != "demo-2-b" {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := s.Owned(t.Context()); err != nil {
		t.Fatal(err)
	}
	calls := r.all()
	if calls[0].body != `{"type":"demo.list","step":"container"}` || calls[0].id == calls[1].id || !strings.HasSuffix(calls[0].id, ".container.list") {
		t.Errorf("%+v", calls)
	}
	if err := verify(calls[0], oneSecret); err != nil {
		t.Error(err)
	}
	_, s = stand(t, says(200, `{"grants":[]}`))
	if got, err := s.Owned(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("an empty list is %v, %v", got, err)
	}
}

// An answer that is no list must not say that nothing is left, nor name what no
// grant can be called.
func TestAnswersThatAreNoListsAreErrors(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"Done": done, "Pending": says(202, `{"grants":[]}`), "Null": says(200, `null`), "NullList": says(200, `{"grants":null}`), "Away": says(503, ``),
		"Forbidden": says(403, `{"grants":[]}`), "Page": says(200, `{"grants":[]}`, "Content-Type", "text/html"), "Number": says(200, `{"grants":[1]}`),
		"OddID": says(200, `{"grants":["demo-1-a","../../etc"]}`), "OtherID": says(200, `{"grants":["demo-user-1"]}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, s := stand(t, answer)
			if got, err := s.Owned(t.Context()); err == nil {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestASlowReceiverIsGivenUp(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	_, s := stand(t, func(http.ResponseWriter) { <-stop }, func(o *webhook.Options) { o.Timeout = webhook.MinTimeout })
	if err := s.Start(t.Context(), ana); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Start(ctx, ana); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAUnixSocketIsAReceiver(t *testing.T) {
	dir, err := os.MkdirTemp("", "hook")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sock := filepath.Join(dir, "p.sock")
	r := &receiver{answer: done}
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	for url, path := range map[string]string{"unix://" + sock: "POST /", "unix://" + sock + ":/hooks/demo": "POST /hooks/demo"} {
		_, s := stand(t, done, func(o *webhook.Options) { o.URL = url })
		if err := s.Start(t.Context(), ana); err != nil {
			t.Fatal(err)
		}
		if calls := r.all(); calls[len(calls)-1].path != path {
			t.Errorf("%s came at %s", url, calls[len(calls)-1].path)
		}
	}
	if err := os.Remove(sock); err != nil {
		t.Fatal(err)
	}
	_, s := stand(t, done, func(o *webhook.Options) { o.URL = "unix://" + sock })
	if err := s.Start(t.Context(), ana); err == nil || errors.Is(err, session.ErrStepRefused) || !strings.Contains(err.Error(), sock) {
		t.Errorf("a socket that is not there is %v", err)
	}
}

func TestGrantsWithOddIDsAreNotSentOut(t *testing.T) {
	r, s := stand(t, done)
	for _, id := range []string{"", "demo-1-a.container.start", "demo-1-", "demo-x-1", "demo-1-a\n", "demo-1-a/b"} {
		if err := s.End(t.Context(), session.DemoGrant{ID: id}); !errors.Is(err, session.ErrStepRefused) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if n := len(r.all()); n != 0 {
		t.Errorf("%d webhooks", n)
	}
}
