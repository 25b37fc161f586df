package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// step is one that does what a test says.
type step struct {
	start func(Grant) error
	end   func(string) error
	ids   []string
	err   error
}

func (s *step) Start(_ context.Context, g Grant) error { return s.start(g) }
func (s *step) End(_ context.Context, id string) error { return s.end(id) }
func (s *step) Grants(context.Context) ([]string, error) {
	return s.ids, s.err
}

// memory is a journal that forgets with the process.
type memory struct {
	mu  sync.Mutex
	ids []string
	err error
}

func (m *memory) Mark(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ids = append(m.ids, id)
	return m.err
}

func (m *memory) Has(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.ids, id)
}

type world struct {
	h       *Handler
	step    *step
	journal *memory
	secrets Secrets
	log     *bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{step: &step{start: func(Grant) error { return nil }, end: func(string) error { return nil }}, journal: &memory{}, secrets: secrets(t, first), log: &bytes.Buffer{}}
	h, err := New(Options{
		Secrets: w.secrets, Steps: map[string]Step{"container": w.step}, Ended: w.journal, Timeout: time.Minute, Parallel: 2,
		Logger: slog.New(slog.NewTextHandler(w.log, nil)), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.h = h
	return w
}

// send posts a signed body.
func (w *world) send(t *testing.T, body string) (int, reply, http.Header) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	w.secrets.Sign(r.Header, "msg_1", noon, []byte(body))
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	var got reply
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatalf("the reply is no JSON: %v: %s", err, rec.Body)
	}
	return rec.Code, got, rec.Header()
}

func message(kind, id string) string {
	return fmt.Sprintf(`{"type":%q,"step":"container","grant":{"id":%q,"user_id":"u1","email":"ana@example.com","workspace_type":"desktop","expires_at":%q}}`, kind, id, noon.Add(time.Minute).Format(time.RFC3339))
}

func TestRepliesSayWhatToDoNext(t *testing.T) {
	t.Parallel()
	const id = "demo-1772712000-k3v9x2"
	for name, c := range map[string]struct {
		body, status string
		err          error
		code         int
	}{
		"Done":               {message(TypeStart, id), "done", nil, 200},
		"Pending":            {message(TypeEnd, id), "pending", fmt.Errorf("it is %w", ErrPending), 202},
		"RefusedForGood":     {message(TypeStart, id), "refused", fmt.Errorf("%w: no", ErrRefused), 422},
		"TryAgain":           {message(TypeEnd, id), "failed", errors.New("away"), 503},
		"NoBody":             {``, "refused", nil, 422},
		"NoJSON":             {`{"type":`, "refused", nil, 422},
		"TwoMessages":        {message(TypeEnd, id) + `{}`, "refused", nil, 422},
		"AnotherType":        {message("demo.restart", id), "refused", nil, 422},
		"AnotherStep":        {strings.Replace(message(TypeEnd, id), `"container"`, `"network"`, 1), "refused", nil, 422},
		"NoGrant":            {`{"type":"demo.end","step":"container"}`, "refused", nil, 422},
		"IDWithASlash":       {message(TypeEnd, "demo-1-a/../b"), "refused", nil, 422},
		"IDWithAComma":       {message(TypeEnd, "demo-1-a,b"), "refused", nil, 422},
		"IDOfAnotherKind":    {message(TypeEnd, "prod-1-a"), "refused", nil, 422},
		"IDThatIsLong":       {message(TypeEnd, "demo-1-"+strings.Repeat("a", 46)), "refused", nil, 422},
		"ExpiredStart":       {strings.Replace(message(TypeStart, id), "12:01:00", "12:00:00", 1), "refused", nil, 422},
		"StartWithoutAnEnd":  {strings.Replace(message(TypeStart, id), `"expires_at"`, `"expires"`, 1), "refused", nil, 422},
		"EndOfAnExpired":     {strings.Replace(message(TypeEnd, id), "12:01:00", "11:00:00", 1), "done", nil, 200},
		"UnknownMembersPass": {strings.Replace(message(TypeEnd, id), `"step"`, `"new":{"x":1},"step"`, 1), "done", nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.step.start = func(Grant) error { return c.err }
			w.step.end = func(string) error { return c.err }
			code, got, _ := w.send(t, c.body)
			if code != c.code || got.Status != c.status || (got.Error == "") != (code < 400) {
				t.Errorf("got %d %+v, want %d %s", code, got, c.code, c.status)
			}
		})
	}
}

func TestWhoIsNotTheGateGetsNothingDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.step.start = func(Grant) error { t.Error("started"); return nil }
	post := func(method, body string, sign func(http.Header)) int {
		r := httptest.NewRequestWithContext(t.Context(), method, "/", strings.NewReader(body))
		sign(r.Header)
		rec := httptest.NewRecorder()
		w.h.ServeHTTP(rec, r)
		return rec.Code
	}
	body := message(TypeStart, "demo-1-forged")
	for name, c := range map[string]struct {
		want         int
		method, body string
		sign         func(http.Header)
	}{
		"Unsigned": {401, "POST", body, func(http.Header) {}},
		"Forged":   {401, "POST", body, func(h http.Header) { secrets(t, second).Sign(h, "m", noon, []byte(body)) }},
		"Late":     {401, "POST", body, func(h http.Header) { w.secrets.Sign(h, "m", noon.Add(-6*time.Minute), []byte(body)) }},
		"Get":      {405, "GET", "", func(http.Header) {}},
		"TooLarge": {413, "POST", strings.Repeat(" ", mostBody+1), func(http.Header) {}},
	} {
		if got := post(c.method, c.body, c.sign); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if strings.Contains(w.log.String(), "forged") {
		t.Errorf("a stranger writes into the log: %s", w.log)
	}
}

func TestReplayedStartAfterAnEndMakesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	starts := 0
	w.step.start = func(Grant) error { starts++; return nil }
	start, end := message(TypeStart, "demo-1-a"), message(TypeEnd, "demo-1-a")
	for i, c := range []struct {
		body string
		code int
	}{{start, 200}, {start, 200}, {end, 200}, {start, 422}, {end, 200}, {start, 422}, {message(TypeStart, "demo-1-b"), 200}} {
		if code, got, _ := w.send(t, c.body); code != c.code {
			t.Errorf("message %d: %d %+v, want %d", i, code, got, c.code)
		}
	}
	if starts != 3 {
		t.Errorf("%d starts, want 3", starts)
	}
}

func TestEndThatCannotBeNotedIsNotDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.journal.err = errors.New("no space left")
	w.step.end = func(string) error { t.Error("ended"); return nil }
	if code, got, _ := w.send(t, message(TypeEnd, "demo-1-a")); code != 503 {
		t.Errorf("%d %+v", code, got)
	}
}

// TestEndDuringAStartWaitsAndEnds: the end is noted while the start is under
// way, and has its turn after it.
func TestEndDuringAStartWaitsAndEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	var order []string
	w.step.start = func(Grant) error { close(begun); <-goOn; order = append(order, "start"); return nil }
	w.step.end = func(string) error { order = append(order, "end"); return nil }
	var wait sync.WaitGroup
	wait.Go(func() { w.send(t, message(TypeStart, "demo-1-a")) })
	<-begun
	wait.Go(func() { w.send(t, message(TypeEnd, "demo-1-a")) })
	for end := time.Now().Add(30 * time.Second); !w.journal.Has("demo-1-a"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the end is not noted while a start is under way")
		}
	}
	// Both places are taken: a third is sent away, and told when to come back.
	code, _, h := w.send(t, message(TypeStart, "demo-1-b"))
	if code != 503 || h.Get("Retry-After") != "1" {
		t.Errorf("a third message: %d, Retry-After %q", code, h.Get("Retry-After"))
	}
	close(goOn)
	wait.Wait()
	if !slices.Equal(order, []string{"start", "end"}) {
		t.Errorf("order %v", order)
	}
	if len(w.h.grants.held) != 0 {
		t.Errorf("%d locks are left", len(w.h.grants.held))
	}
}

func TestListIsSortedAndHasNoTwins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const ask = `{"type":"demo.list","step":"container"}`
	if _, got, _ := w.send(t, ask); got.Grants == nil || len(got.Grants) != 0 {
		t.Errorf("of nothing: %+v, want an empty list", got)
	}
	w.step.ids = []string{"demo-2-b", "demo-1-a", "demo-2-b"}
	if code, got, _ := w.send(t, ask); code != 200 || !slices.Equal(got.Grants, []string{"demo-1-a", "demo-2-b"}) {
		t.Errorf("%d %+v", code, got)
	}
	w.step.err = &RetryError{7 * time.Second, errors.New("busy")}
	if code, _, h := w.send(t, ask); code != 503 || h.Get("Retry-After") != "7" {
		t.Errorf("%d, Retry-After %q", code, h.Get("Retry-After"))
	}
}
