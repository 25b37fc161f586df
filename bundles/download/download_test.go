package download_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/bundles/archive"
	"github.com/neosc/gate/bundles/download"
)

// bundle is what begins like one.
var bundle = []byte("\x1f\x8b the rest is for others to judge")

func client(t *testing.T, url string, change func(*download.Options)) *download.Client {
	t.Helper()
	o := download.Options{URL: url, Logger: slog.New(slog.DiscardHandler), Poll: 20 * time.Millisecond, Timeout: 20 * time.Second}
	if change != nil {
		change(&o)
	}
	c, err := download.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestFetchRefusesWhatIsNoBundle(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed, with %v", r.Header)
		_, _ = w.Write(bundle)
	})
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		says   string
	}{
		{"ServerError", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oh", 500) }, "answers 500"},
		{"NotFound", http.NotFound, "answers 404"},
		{"Forbidden", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, "answers 403; look at the token file"},
		{"HTML", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, "<html>Sign in")
		}, "sends text/html and no bundle"},
		{"HTMLUnderAnotherName", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/gzip")
			_, _ = io.WriteString(w, "<html>Sign in")
		}, "sends no bundle (13 bytes that are no gzip)"},
		{"Nothing", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/gzip")
		}, "sends no bundle"},
		{"Redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, "redirects are not followed"},
		{"RedirectWithinTheServer", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		}, "answers 307, to somewhere else"},
		{"Truncated", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/gzip")
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(bundle)
		}, "did not arrive whole"},
		{"HungUp", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		{"SaysTooMuch", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/gzip")
			w.Header().Set("Content-Length", "99999999999")
		}, "sends 99999999999 bytes, more than"},
		{"Endless", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/gzip")
			chunk := append(bytes.Clone(bundle), make([]byte, 1<<20)...)
			for err := error(nil); err == nil; _, err = w.Write(chunk) {
			}
		}, fmt.Sprintf("sends more than %d bytes", archive.MaxPacked)},
		{"EndlessHeader", func(w http.ResponseWriter, _ *http.Request) {
			for i := range 64 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1<<10))
			}
			_, _ = w.Write(bundle)
		}, "header"},
		{"NotModifiedUnasked", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, "answers 304"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.answer)
			s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			packed, err := client(t, s.URL+"/p.tar.gz?sig=hush", nil).Fetch(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.says) || packed != nil {
				t.Fatalf("%d bytes, %v; want %q", len(packed), err, c.says)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the query is shown: %v", err)
			}
		})
	}
}

// A server that sends a byte now and then, or none, is left after a time.
func TestFetchIsBoundedInTime(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"Silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"Dripping": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/gzip")
			_, _ = w.Write(bundle)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, answer)
			_, err := client(t, s.URL, func(o *download.Options) { o.Timeout = 50 * time.Millisecond }).Fetch(t.Context())
			if err == nil || !strings.Contains(err.Error(), "it took too long") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(nil)
	s.Close()
	if _, err := client(t, s.URL, nil).Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}

// watched is a run of a client, as events.
type watched struct {
	offers chan string
	told   chan error
	refuse atomic.Bool
	stop   context.CancelFunc
	done   chan struct{}
}

func watch(t *testing.T, c *download.Client) *watched {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watched{offers: make(chan string, 100), told: make(chan error, 1000), stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		c.Run(ctx, func(packed []byte) error {
			w.offers <- string(bytes.TrimPrefix(packed, []byte{0x1f, 0x8b}))
			if w.refuse.Load() {
				return errors.New("refused")
			}
			return nil
		}, func(err error) {
			select {
			case w.told <- err:
			default:
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-w.done })
	return w
}

func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case x := <-from:
		return x
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came within 30 s")
		panic("unreachable")
	}
}

func TestRunAsksByETag(t *testing.T) {
	t.Parallel()
	var version atomic.Int64
	var unchanged atomic.Int64
	version.Store(1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		tag := fmt.Sprintf(`"v%d"`, version.Load())
		w.Header().Set("ETag", tag)
		if r.Header.Get("Prefer") != "modes=snapshot" {
			t.Errorf("prefers %q of a server that cannot wait", r.Header.Get("Prefer"))
		}
		if r.Header.Get("If-None-Match") == tag {
			unchanged.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/gzip")
		fmt.Fprintf(w, "\x1f\x8bv%d", version.Load())
	})
	w := watch(t, client(t, s.URL, func(o *download.Options) { o.Wait = time.Minute }))
	if got := next(t, w.offers); got != "v1" {
		t.Fatal(got)
	}
	for unchanged.Load() < 3 {
		if err := next(t, w.told); err != nil {
			t.Fatal(err)
		}
	}
	version.Store(2)
	if got := next(t, w.offers); got != "v2" {
		t.Fatal(got)
	}
}

// A server that cannot wait is asked no more often than configured.
func TestRunAsksNoMoreOftenThanItShould(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/gzip")
		_, _ = w.Write(bundle)
	})
	began := time.Now()
	w := watch(t, client(t, s.URL, func(o *download.Options) { o.Poll, o.Wait = 100*time.Millisecond, time.Minute }))
	for range 5 {
		if err := next(t, w.told); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond) // a client that does not pause asks a hundred times meanwhile
	w.stop()
	<-w.done
	if n, took := asked.Load(), time.Since(began); n > 2+int64(took/(70*time.Millisecond)) {
		t.Errorf("asked %d times in %s", n, took)
	}
}

// A server that says that it can wait is asked to, and answers when there is
// something new.
func TestRunWaitsAtTheServer(t *testing.T) {
	t.Parallel()
	news := make(chan string)
	waiting := make(chan string, 10)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		text := "v1"
		if r.Header.Get("If-None-Match") != "" {
			waiting <- r.Header.Get("Prefer")
			select {
			case text = <-news:
			case <-r.Context().Done():
				return
			}
		}
		w.Header().Set("Content-Type", "application/vnd.openpolicyagent.bundles")
		w.Header().Set("ETag", `"`+text+`"`)
		_, _ = io.WriteString(w, "\x1f\x8b"+text)
	})
	w := watch(t, client(t, s.URL, func(o *download.Options) { o.Wait = 5 * time.Minute }))
	for _, text := range []string{"v1", "v2", "v3"} {
		if text != "v1" {
			news <- text
		}
		if got := next(t, w.offers); got != text {
			t.Fatal(got)
		}
		if got := next(t, waiting); got != "modes=snapshot;wait=300" {
			t.Fatalf("prefers %q", got)
		}
	}
}

// A server that says that it can wait and does not look at the tag would be asked,
// and what it sends be read whole, every second.
func TestRunComesBackSoonOnlyForANewTag(t *testing.T) {
	t.Parallel()
	tags := []string{"v1", "v1", "v1", "v2", "v2", "v3"}
	want := []time.Duration{time.Minute, time.Minute, time.Minute, time.Second, time.Minute, time.Second}
	var asked atomic.Int64
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.openpolicyagent.bundles")
		w.Header().Set("ETag", `"`+tags[asked.Add(1)-1]+`"`)
		_, _ = w.Write(bundle)
	})
	c := client(t, s.URL, func(o *download.Options) { o.Poll, o.Wait = time.Minute, 5*time.Minute })
	var pauses []time.Duration
	c.SetSleep(func(_ context.Context, d time.Duration) bool {
		pauses = append(pauses, d)
		return len(pauses) < len(tags)
	})
	c.Run(t.Context(), func([]byte) error { return nil }, func(error) {})
	if !slices.Equal(pauses, want) {
		t.Errorf("pauses are %v, want %v", pauses, want)
	}
}

// A server that fails is asked again, and what it says is told; a bundle that was
// refused comes again after a while, though it has not changed.
func TestRunGoesOnAfterFailuresAndRefusals(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			http.Error(w, "", http.StatusBadGateway)
			return
		}
		w.Header().Set("ETag", `"one"`)
		if r.Header.Get("If-None-Match") == `"one"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.WriteString(w, "\x1f\x8bone")
	})
	w := watch(t, client(t, s.URL, nil))
	if err := next(t, w.told); err == nil || !strings.Contains(err.Error(), "answers 502") {
		t.Fatal(err)
	}
	w.refuse.Store(true)
	broken.Store(false)
	next(t, w.offers)
	w.refuse.Store(false)
	next(t, w.offers)
	for err := next(t, w.told); err != nil; err = next(t, w.told) {
	}
}

func TestTokensAndAuthorities(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer tok-1" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/gzip")
		_, _ = w.Write(bundle)
	}))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	dir := t.TempDir()
	token, ca := filepath.Join(dir, "token"), filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(token, []byte("tok-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, s.URL, func(o *download.Options) { o.TokenFile, o.CAFile = token, ca }).Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := client(t, s.URL, func(o *download.Options) { o.CAFile = ca }).Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("without a token: %v", err)
	}
	if _, err := client(t, s.URL, func(o *download.Options) { o.TokenFile = token }).Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody is taken: %v", err)
	}
	if err := os.WriteFile(token, []byte("two words"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, s.URL, func(o *download.Options) { o.TokenFile, o.CAFile = token, ca }).Fetch(t.Context()); err == nil || strings.Contains(err.Error(), "words") {
		t.Errorf("%v", err)
	}
}

func TestNewWantsAnAddress(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "bundles.example.com", "ftp://x/y", "https://u:p@x/y", "https:///y"} {
		if _, err := download.New(download.Options{URL: u, Logger: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%q is taken", u)
		}
	}
	c := client(t, "https://x.example.com/a/b.tar.gz?token=hush#f", nil)
	if c.String() != "https://x.example.com/a/b.tar.gz" {
		t.Error(c.String())
	}
}
