package decisionlog_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz/observe/decisionlog"
)

func TestRecordsArePostedAsOPAPostsThemAndTriedAgain(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	got := make(chan []map[string]any, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		z, err := gzip.NewReader(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/logs" || r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Authorization") != "Bearer t0ken" {
			t.Errorf("%v: %s %s %v", err, r.Method, r.URL, r.Header)
			return
		}
		var list []map[string]any
		if err := json.NewDecoder(z).Decode(&list); err != nil {
			t.Error(err)
		}
		got <- list
	}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("t0ken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sink, err := decisionlog.NewHTTP(decisionlog.HTTPOptions{URL: server.URL + "/v1", TokenFile: token, Wait: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	l, err := decisionlog.New(options(sink))
	if err != nil {
		t.Fatal(err)
	}
	r, o := asked("r-1")
	for range 3 {
		l.Observe(r, o, 0)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(got)
	n := 0
	for list := range got {
		n += len(list)
		if list[0]["decision_id"] == nil {
			t.Errorf("posted %v", list[0])
		}
	}
	if n != 3 {
		t.Errorf("%d records are there", n)
	}
}

func TestAServerThatStaysAwayLosesWhatItIsToldAndNoMore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		status, calls int
	}{{"NoSuchPlace", 404, 1}, {"Redirected", 302, 3}, {"Broken", 500, 3}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				t.Errorf("records and their token went on to %s %s", r.Method, r.URL)
			}))
			defer elsewhere.Close()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(c.status)
			}))
			defer server.Close()
			sink, err := decisionlog.NewHTTP(decisionlog.HTTPOptions{URL: server.URL, Tries: 3, Wait: func(context.Context, time.Duration) error { return nil }})
			if err != nil {
				t.Fatal(err)
			}
			o, reg := options(sink), prometheus.NewRegistry()
			o.Registerer = reg
			l, err := decisionlog.New(o)
			if err != nil {
				t.Fatal(err)
			}
			r, out := asked("r-1")
			l.Observe(r, out, 0)
			if err := l.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, err := dropped(reg, "write"); err != nil || n != 1 || int(calls.Load()) != c.calls {
				t.Errorf("%v dropped after %d calls, want %d: %v", n, calls.Load(), c.calls, err)
			}
		})
	}
}

func TestTheAddressOfTheServerTellsNoSecret(t *testing.T) {
	t.Parallel()
	if _, err := decisionlog.NewHTTP(decisionlog.HTTPOptions{URL: "https://u:hush@logs.example.com"}); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("a password in the address: %v", err)
	}
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "key=hush" {
			t.Errorf("the query is %q", r.URL.RawQuery)
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer refuses.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for place, says := range map[string]string{refuses.URL: "403", gone.URL: "refused"} {
		sink, err := decisionlog.NewHTTP(decisionlog.HTTPOptions{URL: place + "/v1?key=hush", Tries: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := sink.Write(t.Context(), []byte("{}\n")); err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), place+"/v1/logs") {
			t.Errorf("says %v", err)
		}
	}
}

// filter is a policy's masking.
type filter func(map[string]any) (bool, error)

func (f filter) Active() bool { return true }

func (f filter) Apply(_ context.Context, r map[string]any) (bool, error) { return f(r) }

func TestThePolicyMasksAndDropsAndWhatItFailsOnIsNotKept(t *testing.T) {
	t.Parallel()
	m := &memory{}
	o, reg := options(m), prometheus.NewRegistry()
	o.Registerer = reg
	o.Filter = filter(func(r map[string]any) (bool, error) {
		custom, _ := r["custom"].(map[string]any)
		switch custom["request_id"] {
		case "drop":
			return true, nil
		case "fail":
			return false, errors.New("no")
		}
		r["masked"] = []any{"/input/session/user/email"}
		return false, nil
	})
	lines := logged(t, o, m, func(l *decisionlog.Log) {
		for _, id := range []string{"drop", "keep", "fail"} {
			r, out := asked(id)
			l.Observe(r, out, 0)
		}
	})
	if len(lines) != 1 {
		t.Fatalf("%d records are kept", len(lines))
	}
	rec, err := decisionlog.Parse(lines[0])
	if err != nil || rec.RequestID != "keep" || len(rec.Masked) != 1 || rec.Result.Charges[0].Rate != 0.5 {
		t.Errorf("kept %+v, %v", rec, err)
	}
	for _, cause := range []string{"policy", "mask"} {
		if n, err := dropped(reg, cause); n != 1 || err != nil {
			t.Errorf("%v dropped by %s: %v", n, cause, err)
		}
	}
}

// TestMain lets this program be one that logs until it is killed.
func TestMain(m *testing.M) {
	if file := os.Getenv("DECISIONLOG_WRITE"); file != "" {
		if err := writeForEver(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// telling says on stdout how many records are written, after they are.
type telling struct {
	decisionlog.Sink
	n int
}

func (s *telling) Write(ctx context.Context, lines []byte) error {
	err := s.Sink.Write(ctx, lines)
	s.n += bytes.Count(lines, []byte{'\n'})
	fmt.Println(s.n)
	return err
}

func writeForEver(file string) error {
	sink, err := decisionlog.NewFile(decisionlog.FileOptions{Path: file, MaxBytes: 256 << 10, Files: 300, Sync: 20 * time.Millisecond})
	if err != nil {
		return err
	}
	o := options(&telling{Sink: sink})
	o.Linger, o.Buffer = time.Microsecond, 256<<20 // nothing is dropped while a disk is busy
	l, err := decisionlog.New(o)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		r, out := asked(strconv.Itoa(i))
		l.Observe(r, out, 0)
		time.Sleep(time.Millisecond)
	}
}

func TestAKilledWriterLosesItsTailAtMost(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "d.ndjson")
	told := 0
	for round := range 3 {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), program)
		c.Env = append(os.Environ(), "DECISIONLOG_WRITE="+file)
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 6 + 3*round {
			if !lines.Scan() {
				t.Fatal("the writer has ended")
			}
		}
		if told, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // it was killed
		checkAfterKill(t, file, told)
	}
}

// checkAfterKill wants all records in order within each life of the writer, with
// one line that is cut off in its place at most, and all that was written in the last life.
func checkAfterKill(t *testing.T, file string, told int) {
	t.Helper()
	last, bad, lives := -1, 0, 0
	err := decisionlog.Scan(t.Context(), file, func(l decisionlog.Line) error {
		rec, err := decisionlog.Parse(string(l.Text))
		if l.Err != nil || err != nil {
			bad++
			return nil
		}
		n, err := strconv.Atoi(strings.TrimSpace(rec.RequestID))
		switch {
		case err != nil:
			return err
		case n == 0 || last < 0: // of the first life, the oldest files may be gone
			lives++
		case n != last+1:
			return fmt.Errorf("%s:%d: %d follows %d", l.File, l.Number, n, last)
		}
		last = n
		return nil
	})
	if err != nil || bad > lives || last < told-1 {
		t.Errorf("the last record is %d, %d were told of, %d lines are cut off in %d lives: %v", last, told, bad, lives, err)
	}
}
