package attack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// faults are the cases in which what the gate needs is broken under it.
var faults = []attack{{"B1", forbiddenBuiltins}, {"B2", foreignBundles}, {"B3", reloadsUnderLoad}, {"W7", troubleIsNoRedirect}}

// faulty starts a demo whose policy folder is a link, so that one rename swaps
// the whole set, and whose sessions an earlier run of the gate has made: this
// one has no copy of them yet.
func faulty(t *testing.T) *siege {
	t.Helper()
	dir := t.TempDir()
	if err := kit.WritePolicies(filepath.Join(dir, "shipped")); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "policies")
	if err := os.Symlink("shipped", link); err != nil {
		t.Fatal(err)
	}
	o := kit.DemoOptions{Policy: link, State: filepath.Join(dir, "state")}
	first := begin(t, o)
	early := first.cookieOf(t, "admin")
	first.Stop(t)
	s := begin(t, o)
	s.Passwords, s.people = first.Passwords, map[string]string{}
	for value, what := range first.secrets {
		s.secret(what, value)
	}
	s.links, s.early = link, early
	return s
}

// swap puts a policy set of one file in the place of the one that serves.
func (s *siege) swap(t *testing.T, name, rego string) {
	t.Helper()
	to := filepath.Join(filepath.Dir(s.links), name)
	if rego != "" {
		if err := errors.Join(os.MkdirAll(to, 0o700), os.WriteFile(filepath.Join(to, "policy.rego"), []byte(rego), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	fresh := s.links + ".new"
	if err := errors.Join(os.Symlink(name, fresh), os.Rename(fresh, s.links)); err != nil {
		t.Fatal(err)
	}
}

// revision is which policy set serves.
func (s *siege) revision(t *testing.T) string {
	t.Helper()
	st, err := s.operator(t).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Policy.Revision
}

// activated swaps and waits until the new set serves.
func (s *siege) activated(t *testing.T, name, rego string) {
	t.Helper()
	before := s.revision(t)
	s.swap(t, name, rego)
	within(t, time.Minute, "policy set "+name+" is activated", func() bool { return s.revision(t) != before })
}

// B1: what reaches out of a decision, or makes it differ from itself, compiles
// neither at start nor in a running gate, whose old set goes on.
func forbiddenBuiltins(t *testing.T, s *siege) {
	cookie, before := s.cookieOf(t, "user"), s.revision(t)
	for i, call := range []string{
		`http.send({"method": "GET", "url": "http://evil.example/"}).status_code == 200`, `net.lookup_ip_addr("evil.example")`, `opa.runtime().env.HOME`, `rand.intn("x", 2) == 1`, `uuid.rfc4122("x") != ""`,
		`[f | f := http.send({"method": "GET", "url": input.attributes.request.http.path})]`, `trace("x"); http.send(input)`,
	} {
		rego := "package neosc.authz\n\ndecision := {\"allowed\": true} if {\n\t" + call + "\n}\n"
		name := fmt.Sprintf("forbidden%d", i)
		refusals := strings.Count(s.Output(), "policy refused")
		s.swap(t, name, rego)
		within(t, time.Minute, "the set with "+call+" is refused", func() bool { return strings.Count(s.Output(), "policy refused") > refusals })
		if s.revision(t) != before || !s.lives(t, cookie) {
			t.Errorf("after a set with %s another serves", call)
		}
		builtin, _, _ := strings.Cut(call[strings.IndexAny(call, "hnorut"):], "(")
		if out, ok := s.checked(t, s.links); ok || !strings.Contains(out, "policy.rego:") && !strings.Contains(out, "policy.rego, line") {
			t.Errorf("gate check says of %s: %s", builtin, out)
		}
	}
	bin, err := kit.Gate()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "dev", "-port", fmt.Sprint(kit.FreePort(t)), "-ops", "127.0.0.1:0", "-state", filepath.Join(t.TempDir(), "state"), "-policy", s.links)
	if cmd.Dir, err = kit.Root(); err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "http.send") {
		t.Errorf("a gate started with a set that names http.send: %v\n%s", err, out)
	}
	s.swap(t, "shipped", "")
}

// generation is a policy set whose number is in its Rego twice, once behind a
// rule of another package, and in what it tells the upstream.
func generation(n int) string {
	return fmt.Sprintf(`package neosc.authz

decision := {"allowed": true, "headers": {
	"x-pomerium-user": "g%[1]d",
	"x-pomerium-email": concat("", ["g", other]),
	"x-pomerium-groups": groups,
}}

other := "%[1]d" if input.attributes.request.http.method == "GET"

groups := "g%[1]d" if time.now_ns() > 0
`, n)
}

// B3: under load each decision is of one set, and none is lost.
func reloadsUnderLoad(t *testing.T, s *siege) {
	s.activated(t, "g0", generation(0))
	stop := make(chan struct{})
	var asked, seen atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			last := ""
			for {
				select {
				case <-stop:
					return
				default:
				}
				x := s.arrived(t, "under reloads", s.http1(t, s.asks("api.portal")))
				one := func(name string) string { return strings.Join(x.Headers[name], "|") }
				user := one("X-Pomerium-User")
				if user == "" || one("X-Pomerium-Email") != user || one("X-Pomerium-Groups") != user {
					t.Errorf("one decision is of several sets: %v", x.Headers)
					return
				}
				if asked.Add(1); user != last {
					seen.Add(1)
					last = user
				}
			}
		})
	}
	for n := 1; n <= 8; n++ {
		s.activated(t, fmt.Sprint("g", n), generation(n))
		goal := asked.Load() + 13
		within(t, time.Minute, "this set decides", func() bool { return asked.Load() >= goal || t.Failed() })
	}
	close(stop)
	wg.Wait()
	if seen.Load() < 8 || asked.Load() < 100 {
		t.Errorf("%d requests saw %d changes of set", asked.Load(), seen.Load())
	}
	s.activated(t, "shipped", "")
}

// broken are policy sets that cannot decide.
var broken = map[string]string{
	"conflict":  "decision := {\"allowed\": true} if input.attributes.request.http.path\n\ndecision := {\"allowed\": false} if input.attributes.request.http.method\n",
	"undefined": "decision := {\"allowed\": true} if input.attributes.request.http.method == \"NONE\"\n",
	"malformed": "decision := {\"allowed\": \"yes\"}\n",
	"forever":   "decision := {\"allowed\": count([1 | some i in numbers.range(1, 30000); some j in numbers.range(1, 30000); i * j == input.attributes.source.address.socketAddress.portValue]) > 0}\n",
}

// troubled holds that everybody is told of the trouble and nobody sent away:
// programs, asking over HTTP/1.1, and people, over HTTP/2.
func (s *siege) troubled(t *testing.T, what, target string, cookies []string, hosts ...string) {
	t.Helper()
	for _, host := range hosts {
		for proto, header := range map[string][]string{"HTTP/1.1": program, "HTTP/2": navigation} {
			what := proto + " " + host + target + " with " + what
			start := time.Now()
			a := wires[proto](s, t, request{method: "GET", host: s.host(host), target: target, header: with(header, cookies...)})
			s.refused(t, what, a, http.StatusServiceUnavailable)
			if a.header.Get("Location") != "" {
				t.Errorf("%s: sent to %s", what, a.header.Get("Location"))
			}
			if took := time.Since(start); took > bound(10*time.Second)+10*time.Second {
				t.Errorf("%s took %v", what, took)
			}
		}
	}
}

// W7: with the policy, the gate or the store in trouble the answer is 503, and
// never a redirect that would lead to another.
func troubleIsNoRedirect(t *testing.T, s *siege) {
	cookie := "Cookie: _pomerium=" + s.cookieOf(t, "user")
	for name, rego := range broken {
		s.activated(t, name, "package neosc.authz\n\n"+rego)
		s.troubled(t, "a policy that is "+name, "/oauth2/sign_in", nil, "gate")
		s.troubled(t, "a policy that is "+name+", signed in", "/", []string{cookie}, "portal", "api.portal", "workspace.portal")
	}
	s.decidedOnce(t)
	s.activated(t, "shipped", "")

	s.hangs.Store(true)
	defer s.hangs.Store(false)
	if err := syscall.Kill(s.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	within(t, 20*time.Second, "every thread of the gate has stopped", func() bool { return stopped(t, s.PID()) })
	s.troubled(t, "a gate that hangs", "/", []string{cookie}, "portal")
	if err := syscall.Kill(s.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	within(t, time.Minute, "the gate decides again", func() bool {
		return s.http1(t, s.asks("portal", strings.TrimPrefix(cookie, "Cookie: "))).status == http.StatusOK
	})
	s.storeGone(t)
	within(t, time.Minute, "the store is read again", func() bool { return s.lives(t, s.early) })
}

// decidedOnce holds that no check which failed was sent again, though some took
// long: each try would charge limits anew.
func (s *siege) decidedOnce(t *testing.T) {
	t.Helper()
	failed := map[string]int{}
	for line := range strings.Lines(s.Output()) {
		var l struct {
			Msg string
			ID  string `json:"request_id"`
		}
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "decision failed" {
			failed[l.ID]++
		}
	}
	if len(failed) == 0 {
		t.Error("no failure is in the log")
	}
	for id, n := range failed {
		if n > 1 {
			t.Errorf("request %s was decided %d times", id, n)
		}
	}
}

// stopped reports whether all threads of a process are: the signal reaches
// them one by one.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		if fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])); fields[0] != "T" {
			return false
		}
	}
	return true
}

// storeGone holds SQLite's read locks (the bytes 123 to 127 of its shared
// memory file, sqlite.org/walformat.html) and with them everyone who would read
// the sessions: a store that hangs.
func (s *siege) storeGone(t *testing.T) {
	t.Helper()
	f := s.form(t)
	shm, err := os.OpenFile(filepath.Join(s.State, "gate.db-shm"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer shm.Close() // lets go
	locks := syscall.Flock_t{Type: syscall.F_WRLCK, Start: 123, Len: 5}
	within(t, time.Minute, "the store's locks are ours", func() bool { return syscall.FcntlFlock(shm.Fd(), syscall.F_SETLK, &locks) == nil })
	early := []string{"Cookie: _pomerium=" + s.early}
	s.troubled(t, "the store gone", "/", early, "portal")
	s.troubled(t, "the store gone", "/oauth2/sign_in", early, "gate")
	// A stranger is led to the form once, and told there.
	s.both(t, request{method: "GET", host: s.host("portal"), target: "/", header: navigation}, func(proto string, a answer) {
		s.refused(t, proto+" a stranger with the store gone", a, http.StatusFound)
	})
	s.both(t, request{method: "GET", host: s.host("gate"), target: "/oauth2/sign_in", header: navigation}, func(proto string, a answer) {
		if a.status != http.StatusOK {
			t.Errorf("%s: with the store gone the form answered %d", proto, a.status)
		}
	})
	a := s.http1(t, s.post(f, "user@"+kit.Domain, s.Passwords["user@"+kit.Domain], ""))
	s.declined(t, "signing in with the store gone", a, http.StatusServiceUnavailable)
	if a.header.Get("Location") != "" || named((&http.Response{Header: a.header}).Cookies(), "_pomerium") != "" {
		t.Errorf("signing in with the store gone: %v", a.header)
	}
}
