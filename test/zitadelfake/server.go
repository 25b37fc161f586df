package zitadelfake

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// PAT is a personal access token that is taken.
const PAT = "fake-personal-access-token"

// Fault is how one call goes wrong.
type Fault struct {
	// Status and Code are the answer's; Code "" makes it a proxy's page.
	Status     int
	Code       string
	RetryAfter string
	// Done: the call does its work, and only the answer is wrong.
	Done bool
	// Drop closes the connection instead of answering.
	Drop bool
	// Slow holds the call until it is closed or the caller goes.
	Slow <-chan struct{}
}

// Server is the fake. Safe for concurrent use.
type Server struct {
	URL string
	// Key signs assertions of the service user ServiceUser, with the key id KeyID.
	Key *rsa.PrivateKey

	mu      sync.Mutex
	clock   func() time.Time
	fault   func(procedure string, nth int) *Fault
	away    bool
	calls   []string
	counts  map[string]int
	tokens  map[string]time.Time
	lag     int
	serial  int
	users   map[string]bool
	auths   map[string]*authorization
	roles   map[string]*role // project + "/" + key
	shown   []snapshot       // what lists show: the first of these
	edits   func(procedure string)
	oldName bool
}

// Who the service user is.
const (
	ServiceUser = "349573018273645001"
	KeyID       = "349573018273645002"
)

// serviceKey is made once: RSA keys are dear.
var serviceKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// Start starts a fake in which users are known, until the test ends.
func Start(t testing.TB, clock func() time.Time, users ...string) *Server {
	t.Helper()
	key, err := serviceKey()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Key: key, clock: clock, counts: map[string]int{}, tokens: map[string]time.Time{}, users: map[string]bool{},
		auths: map[string]*authorization{}, roles: map[string]*role{},
	}
	for _, u := range users {
		s.users[u] = true
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.URL = srv.URL
	return s
}

// Fail has f say of each call how it goes wrong; nil: it does not. nth counts
// the calls of a procedure from 1.
func (s *Server) Fail(f func(procedure string, nth int) *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.counts = f, map[string]int{}
}

// Away has every connection closed without an answer, or no more.
func (s *Server) Away(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// Lag has lists show a write only after so many lists.
func (s *Server) Lag(lists int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = lists
}

// OldNames has it know the filter for people by its earlier name alone.
func (s *Server) OldNames() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oldName = true
}

// ForgetTokens has no token hold any more, but the personal one.
func (s *Server) ForgetTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// Before calls f before each call of a procedure is answered, outside of locks:
// what somebody else does at that moment.
func (s *Server) Before(f func(procedure string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.edits = f
}

// Calls are the procedures that were called, in order.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	procedure := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	s.mu.Lock()
	s.calls = append(s.calls, procedure)
	s.counts[procedure]++
	away, edits := s.away, s.edits
	var f *Fault
	if s.fault != nil {
		f = s.fault(procedure, s.counts[procedure])
	}
	s.mu.Unlock()
	if edits != nil {
		edits(procedure)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || away {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if f == nil {
		s.answer(w, r)
		return
	}
	if f.Slow != nil {
		select {
		case <-f.Slow:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	if f.Done || f.Status == 0 && !f.Drop {
		lost := httptest.NewRecorder()
		s.answer(lost, r)
		if f.Status == 0 && !f.Drop {
			for k, v := range lost.Header() {
				w.Header()[k] = v
			}
			w.WriteHeader(lost.Code)
			_, _ = w.Write(lost.Body.Bytes())
			return
		}
	}
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.Code == "" {
		http.Error(w, "<html>a proxy's page</html>", f.Status)
		return
	}
	refuse(w, f.Status, f.Code, "injected")
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	if r.URL.Path == "/oauth/v2/token" {
		s.token(w, r)
		return
	}
	do, ok := s.procedures()[r.URL.Path]
	switch {
	case !ok:
		http.NotFound(w, r)
		return
	case r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Connect-Protocol-Version") != "1":
		http.Error(w, "no Connect", http.StatusUnsupportedMediaType)
		return
	case !s.letIn(r.Header.Get("Authorization")):
		refuse(w, http.StatusUnauthorized, "unauthenticated", "Errors.Token.Invalid (AUTH-7fs1e)")
		return
	}
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	out, fail := do(body)
	s.mu.Unlock()
	if fail != nil {
		refuse(w, fail.status, fail.code, fail.message)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

// failure is an error of Connect's.
type failure struct {
	status        int
	code, message string
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message})
}

// decode reads a message, and refuses fields that it does not have.
func decode(body []byte, into any) *failure {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &failure{http.StatusBadRequest, "invalid_argument", err.Error()}
	}
	return nil
}

// id makes the ids: digits, as Zitadel's are.
func (s *Server) id() string {
	s.serial++
	return "3495730182736" + strconv.Itoa(50000+s.serial)
}
