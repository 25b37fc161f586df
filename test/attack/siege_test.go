package attack

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/test/idp/hostile"
	"github.com/neosc/gate/test/kit"
)

// siege is a running demo under attack, and what must be true of its logs when
// it is over.
type siege struct {
	*kit.Demo

	mu      sync.Mutex
	secrets map[string]string // what must be in no log and no reply → what it is
	turned  map[string]string // request id of what was refused → what it was
	people  map[string]string // session cookies of the demo's people
	address atomic.Uint32
	hangs   atomic.Bool // the gate, or what it needs, does not answer: on purpose

	links string          // the policy folder, a link, of a demo whose policies are swapped
	early string          // a session that an earlier run of the gate made
	world *hostile.Server // the providers of a demo that has some
}

// TestSiege runs every case. The cases of one demo share its Envoy and gate,
// groups at the same time, since a gate in service is attacked from many sides.
// Those that look at time and memory have the machine to themselves.
func TestSiege(t *testing.T) {
	list := listed(t)
	r := &roll{ran: map[string]string{}}
	t.Cleanup(func() { r.compare(t, list) }) // when the parallel ones have ended too
	t.Run("Strain", func(t *testing.T) {
		s := begin(t, kit.DemoOptions{Env: []string{"GATE_SESSION_IDLE=8s"}})
		r.lay(t, s, strain)
		t.Run("IdleSessionsEnd", func(t *testing.T) { idleSessionsEnd(t, s) })
		s.end(t)
	})
	t.Run("Faults", func(t *testing.T) {
		t.Parallel()
		s := faulty(t)
		r.lay(t, s, faults)
		s.end(t)
	})
	t.Run("Providers", func(t *testing.T) {
		t.Parallel()
		s := besieged(t)
		r.lay(t, s, providers)
		s.end(t)
	})
	t.Run("Fort", func(t *testing.T) { t.Parallel(); fort(t, r, false) })
}

// deliveries are the other ways in which Envoy gets what `gate envoy bootstrap`
// puts into one file: settings for the demo, each ends in a path.
var deliveries = map[string]string{"WatchedFiles": "GATE_ENVOY_FILES=", "Discovery": "GATE_ENVOY_ADS="}

// TestSiegeOfEveryDelivery sends what Envoy's configuration answers for to
// Envoys that have theirs by watched files and by discovery.
func TestSiegeOfEveryDelivery(t *testing.T) {
	for name, setting := range deliveries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "siege") // a socket's path has at most 107 bytes
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			fort(t, nil, false, setting+filepath.Join(dir, "xds"))
		})
	}
}

// TestSiegeOverTLS sends it to an Envoy that speaks TLS, over HTTP/1.1 and HTTP/2.
func TestSiegeOverTLS(t *testing.T) {
	fort(t, nil, true)
}

// fort sends all that goes through one Envoy and one gate that are well, with
// settings of theirs. Without a roll it was sent to another edge before, and
// what never comes near an edge is left out.
func fort(t *testing.T, r *roll, tls bool, settings ...string) {
	s := begin(t, kit.DemoOptions{TLS: tls, Policy: watchedPolicy(t), Env: append(settings, "GATE_ACCOUNTS_GUESS_BURST=1000", "GATE_ACCOUNTS_GUESSES_PER_MINUTE=6000")})
	groups := map[string][]attack{
		"ReturnTarget": returnTargets, "Path": paths, "Headers": headers, "Host": hosts, "Protocol": protocols,
		"Sessions": sessions, "Accounts": accounts, "Policy": policyCases,
	}
	if r != nil {
		groups["Policy"] = slices.Concat(policyCases, policyOnce)
	}
	t.Run("Groups", func(t *testing.T) {
		for name, attacks := range groups {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r.lay(t, s, attacks)
			})
		}
	})
	s.end(t)
}

// begin starts a demo and remembers its passwords as secrets.
func begin(t *testing.T, o kit.DemoOptions) *siege {
	t.Helper()
	s := &siege{Demo: kit.StartDemo(t, o), secrets: map[string]string{}, turned: map[string]string{}, people: map[string]string{}}
	for email, p := range s.Passwords {
		s.secret("the password of "+email, p)
	}
	return s
}

func (s *siege) secret(what, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value != "" {
		s.secrets[value] = what
	}
}

// end stops the demo, so that all logs are whole, and reads them: nothing that
// was refused went upstream, every line is one JSON object, no secret is
// anywhere, the database included.
func (s *siege) end(t *testing.T) {
	t.Helper()
	s.Stop(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := 0
	for _, line := range s.EdgeLog(t) {
		var l struct {
			ID       string `json:"request_id"`
			Decision string
			Details  string
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("a line of edge.log is no JSON object: %v\n%s", err, line)
		}
		if what, ok := s.turned[l.ID]; ok {
			seen++
			if l.Details == "via_upstream" || l.Decision == "allow" {
				t.Errorf("%s was answered with a refusal, and yet edge.log says that it went upstream: %s", what, line)
			}
		}
	}
	if seen < len(s.turned) {
		t.Errorf("edge.log has lines of %d of the %d requests that were refused", seen, len(s.turned))
	}
	for _, line := range s.AccessLog(t) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line of access.log is no JSON: %s", line)
		}
	}
	s.noSecrets(t)
}

func (s *siege) noSecrets(t *testing.T) {
	t.Helper()
	_, output, found := strings.Cut(s.Output(), "\nOpen ") // before it stand the passwords, printed once
	if !found {
		t.Error("gate dev has not printed where to go")
	}
	texts := map[string]string{"the output of gate dev": output}
	for _, name := range []string{"edge.log", "access.log", "envoy.log", "gate.db", "gate.db-wal", "gate.yaml", "routes.yaml"} {
		b, err := os.ReadFile(filepath.Join(s.State, name))
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
		texts[name] = string(b)
	}
	for where, text := range texts {
		for _, what := range s.found(text) {
			t.Errorf("%s holds %s", where, what)
		}
	}
}

// found names the secrets that a text holds. All credentials begin alike, which
// spares looking for hundreds of them in thousands of answers. s.mu is held.
func (s *siege) found(text string) (whats []string) {
	credentials := strings.Contains(text, "v1.")
	for value, what := range s.secrets {
		if (credentials || !strings.HasPrefix(value, "v1.")) && strings.Contains(text, value) {
			whats = append(whats, what)
		}
	}
	return whats
}

// cookieOf is the session cookie of one of the demo's people, who signs in once.
func (s *siege) cookieOf(t *testing.T, name string) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.people[name] == "" {
		value := s.SignedIn(t, name).Session()
		s.people[name], s.secrets[value] = value, "the session of "+name
	}
	return s.people[name]
}

// freshAddress is a loopback address that no one else of this siege dials from:
// guesses are counted by address.
func (s *siege) freshAddress() net.IP {
	n := s.address.Add(1)
	return net.IPv4(127, 7, byte(n>>8), byte(n))
}

// visitor is somebody with a browser at an address of their own.
func (s *siege) visitor(t *testing.T) *kit.Person {
	t.Helper()
	p := s.Stranger(t)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: s.freshAddress()}}
	tr := &http.Transport{MaxIdleConnsPerHost: 4, TLSClientConfig: s.Trust(t), DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", s.addr())
	}}
	t.Cleanup(tr.CloseIdleConnections)
	p.Transport = kit.Patient(tr)
	return p
}

func (s *siege) addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

func (s *siege) scheme() string {
	scheme, _, _ := strings.Cut(s.Origin("portal"), "://")
	return scheme
}

// otherScheme is the one that the edge does not serve.
func (s *siege) otherScheme() string {
	if s.TLS {
		return "http"
	}
	return "https"
}

// host is the authority of one of the demo's hosts, with its port.
func (s *siege) host(name string) string {
	_, host, _ := strings.Cut(s.Origin(name), "://")
	return host
}

// refused holds an answer to be the edge's refusal with one of the statuses:
// no upstream gave it, nor was any asked, which the logs tell in the end.
func (s *siege) refused(t *testing.T, what string, a answer, statuses ...int) {
	t.Helper()
	s.declined(t, what, a, statuses...)
	if id := a.header.Get("X-Request-Id"); id != "" {
		s.mu.Lock()
		s.turned[id] = what
		s.mu.Unlock()
	}
}

// declined is refused for what the gate's own pages, or an upstream that was
// asked what is open, may have said.
func (s *siege) declined(t *testing.T, what string, a answer, statuses ...int) {
	t.Helper()
	if !slices.Contains(statuses, a.status) {
		t.Errorf("%s: answered %d, want %v\n%.600s", what, a.status, statuses, a.body)
	}
	if strings.Contains(a.body, `"signed_assertion"`) {
		t.Errorf("%s: the upstream answered: %s", what, a.body)
	}
	s.clean(t, what, a)
}

// clean holds of every answer that nothing of the inside shows in it.
func (s *siege) clean(t *testing.T, what string, a answer) {
	t.Helper()
	for name, values := range a.header {
		n := strings.ToLower(name)
		for _, prefix := range []string{"x-pomerium", "x-envoy", "x-session", "x-user", "x-workspace", "x-evil", "x-forwarded"} {
			if strings.HasPrefix(n, prefix) {
				t.Errorf("%s: the answer has %s: %q", what, name, values)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.found(a.body + "\n" + a.header.Get("Location")) {
		t.Errorf("%s: the answer holds %s", what, name)
	}
}

// told is what the demo's backend says it was told.
type told struct {
	Method, Host, Path, Query string
	Headers                   map[string][]string
}

// arrived holds an answer to be the backend's and returns what it says.
func (s *siege) arrived(t *testing.T, what string, a answer) told {
	t.Helper()
	s.clean(t, what, a)
	var x told
	if a.status != http.StatusOK {
		t.Errorf("%s: answered %d, want 200\n%.600s", what, a.status, a.body)
	} else if err := json.Unmarshal([]byte(a.body), &x); err != nil {
		t.Errorf("%s: the answer is not the backend's: %v\n%.600s", what, err, a.body)
	}
	return x
}

// bound is how soon something has to come to pass: a gate with the race detector
// in it, beside others on two cores, has longer.
func bound(d time.Duration) time.Duration {
	if kit.Race {
		return 20 * time.Second
	}
	return d
}

// within waits for what another process brings about.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// watchedPolicy writes the shipped rules, with limits that are never reached,
// so changed that upstreams are also told which path and route policy saw.
func watchedPolicy(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "policies")
	if err := kit.WritePolicies(dir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "authz.rego")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const from = `"headers": identity.headers,`
	if strings.Count(string(b), from) != 1 {
		t.Fatalf("%s has not exactly one %s to change", file, from)
	}
	changed := strings.Replace(string(b), from, `"headers": object.union(identity.headers, {
		"x-pomerium-seen-path": substring(input.attributes.request.http.path, 0, 8000),
		"x-pomerium-seen-parsed": substring(urlquery.encode(concat("/", input.parsed_path)), 0, 8150),
		"x-pomerium-seen-method": input.attributes.request.http.method,
		"x-pomerium-seen-route": input.route.name,
	}),`, 1)
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
