package bundles_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/download"
)

// server is a bundle server that can be anything.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) does(f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// has a bundle.
func (s *server) has(packed []byte) {
	tag := fmt.Sprintf("%q", fmt.Sprint(len(packed), packed[len(packed)-8:]))
	s.does(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/gzip")
		_, _ = w.Write(packed)
	})
}

// remoteStand has its bundles from a server.
func remoteStand(t *testing.T, s *server) *stand {
	t.Helper()
	return newStand(t, func(o *bundles.Options) {
		c, err := download.New(download.Options{URL: s.URL + "/policy.tar.gz", Poll: 10 * time.Millisecond, Timeout: 20 * time.Second, Logger: discard()})
		if err != nil {
			t.Fatal(err)
		}
		o.File, o.Remote = "", c
	})
}

// run has a manager follow its source until the test ends.
func (s *stand) run() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
}

// until waits for a status.
func (s *stand) until(what string, is func(bundles.Status) bool) bundles.Status {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		x := s.Status()
		if is(x) {
			return x
		}
		if time.Now().After(end) {
			s.t.Fatalf("not within 30 s: %s; it is %+v", what, x)
		}
	}
}

// A server that is slow, wrong or gone: what is active goes on, and its trouble is
// told until it is over.
func TestABundleServerThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	from := newServer(t)
	s := remoteStand(t, from)
	from.has(s.bundle("one", 1))
	s.must(s.Reload())
	s.decides("one")
	s.run()
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		source string // what it says of the server
		last   string // or of the bundle
	}{
		{"Error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "answers 500", ""},
		{"HTML", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>"))
		}, "sends text/html", ""},
		{"Truncated", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Header().Set("Content-Type", "application/gzip")
			_, _ = w.Write([]byte("\x1f\x8b"))
		}, "did not arrive whole", ""},
		{"Garbage", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/gzip")
			_, _ = w.Write([]byte("\x1f\x8bgarbage"))
		}, "", "is no gzip file"},
		{"OfAnotherKey", nil, "", "no key that is trusted"},
	} {
		answer := c.answer
		if answer == nil {
			other := remoteStand(t, from)
			private, _ := other.pair("release", 7)
			answer = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/gzip")
				_, _ = w.Write(signedBy(t, private, other.bundle("evil", 9)))
			}
		}
		from.does(answer)
		s.until(c.name, func(x bundles.Status) bool {
			if c.source != "" {
				return x.SourceError != nil && strings.Contains(x.SourceError.Error(), c.source) && !x.SourceSince.IsZero()
			}
			return x.LastError != nil && strings.Contains(x.LastError.Error(), c.last)
		})
		s.decides("one")
	}
	from.has(s.bundle("two", 2))
	s.until("the server is well again", func(x bundles.Status) bool {
		return x.Revision == "two" && x.LastError == nil && x.SourceError == nil
	})
	s.decides("two")
}

// With no server at the start the kept bundle decides, and the server's once it
// is there.
func TestAStartWithoutTheServerUsesTheKeptBundle(t *testing.T) {
	t.Parallel()
	from := newServer(t)
	s := remoteStand(t, from)
	gone := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	from.does(gone)
	from.Config.ErrorLog = quietLogger()
	if err := s.Reload(); err == nil {
		t.Fatal("starts with nothing")
	}
	from.has(s.bundle("one", 1))
	s.must(s.Reload())
	from.does(gone)
	s.restart()
	s.must(s.Reload())
	s.decides("one")
	s.run()
	s.until("trouble is told", func(x bundles.Status) bool { return x.SourceError != nil })
	from.has(s.bundle("two", 2))
	s.until("it is there", func(x bundles.Status) bool { return x.Revision == "two" && x.SourceError == nil })
	// An operator asks at once, and goes back, which the server does not undo.
	from.has(s.bundle("three", 3))
	s.until("it is there", func(x bundles.Status) bool { return x.Revision == "three" })
	if _, err := s.Rollback("one"); err != nil {
		t.Fatal(err)
	}
	s.must(s.Reload())
	s.until("it is held", func(x bundles.Status) bool { return x.Held == "three" && x.Revision == "one" })
}

// The gate's own log and data may lie beside its bundle: what is written there is
// no reason to read the bundle again, which would be told of in the log.
func TestOnlyTheBundleFileItselfIsAReasonToReadIt(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	s := newStand(t, func(o *bundles.Options) { o.Registerer = reg })
	s.must(s.offer(s.bundle("one", 1)))
	s.run()
	inPlace := func(packed []byte) {
		t.Helper()
		s.put(s.file+".new", packed)
		s.must(renamed(s.file+".new", s.file))
	}
	inPlace([]byte("<html>"))
	s.until("it is refused", func(x bundles.Status) bool { return x.LastError != nil })
	for i := range 20 {
		s.put(filepath.Join(s.dir, "gate.log"), fmt.Appendln(nil, "refused", i))
		time.Sleep(10 * time.Millisecond) // twice as long as the folder has to be still
	}
	s.must(os.Remove(s.file))
	s.until("it is gone", func(x bundles.Status) bool { return errors.Is(x.LastError, fs.ErrNotExist) })
	for i := range 10 {
		s.put(filepath.Join(s.dir, "gate.log"), fmt.Appendln(nil, "gone", i))
		time.Sleep(10 * time.Millisecond)
	}
	inPlace(s.bundle("two", 2))
	s.until("two", func(x bundles.Status) bool { return x.Revision == "two" })
	if n := refusals(t, reg); n != 2 {
		t.Errorf("%v refusals of two things that were wrong", n)
	}
}

// refusals is how many attempts to activate ended so.
func refusals(t *testing.T, reg *prometheus.Registry) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "pomerium_policy_activations_total" && m.GetLabel()[0].GetValue() == "refused" {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatal("no such metric")
	return 0
}

// A bundle file is followed, also where it is a link that is put elsewhere.
func TestABundleFileIsFollowed(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	s.must(s.offer(s.bundle("one", 1)))
	s.run()
	s.put(s.file, s.bundle("two", 2))
	s.until("two", func(x bundles.Status) bool { return x.Revision == "two" })
	s.put(s.file+".new", s.bundle("three", 3))
	s.must(renamed(s.file+".new", s.file))
	s.until("three", func(x bundles.Status) bool { return x.Revision == "three" })
	s.must(relinked(s.t, s.dir, s.file, "a", s.bundle("four", 4)))
	s.until("four", func(x bundles.Status) bool { return x.Revision == "four" })
	s.must(relinked(s.t, s.dir, s.file, "b", s.bundle("five", 5)))
	s.until("five", func(x bundles.Status) bool { return x.Revision == "five" })
	s.decides("five")
}
