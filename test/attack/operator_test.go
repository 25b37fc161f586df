package attack

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session/web/admin"
)

var adminSocket = regexp.MustCompile(`admin: "([^"]+)"`)

// operator speaks to the running gate as its commands do, without starting a
// process for each of hundreds of sessions.
func (s *siege) operator(t *testing.T) *admin.Client {
	t.Helper()
	return admin.NewClient(s.adminSocket(t))
}

func (s *siege) adminSocket(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.State, "gate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := adminSocket.FindSubmatch(b)
	if m == nil {
		t.Fatalf("gate.yaml names no admin socket:\n%s", b)
	}
	return string(m[1])
}

// create makes a session with the arguments of `gate session create` and
// returns its credential and key.
func (s *siege) create(t *testing.T, args ...string) (credential, key string) {
	t.Helper()
	out, err := s.tryCreate(t, args...)
	if err != nil {
		t.Fatalf("session create %.300q: %v", args, err)
	}
	credential = out.Token
	if credential == "" {
		credential = strings.TrimPrefix(out.Cookie, "_pomerium=")
	}
	s.secret("the credential of "+out.Key, credential)
	return credential, out.Key
}

func (s *siege) tryCreate(t *testing.T, args ...string) (admin.CreatedSession, error) {
	t.Helper()
	n := admin.NewSession{Claims: map[string]any{}}
	f := flag.NewFlagSet("create", flag.ContinueOnError)
	f.StringVar(&n.Email, "email", "", "")
	f.StringVar(&n.UserID, "user", "", "")
	f.StringVar(&n.Lifetime, "lifetime", "", "")
	service := f.Bool("service", false, "")
	f.Func("role", "", func(v string) error { n.Roles = append(n.Roles, v); return nil })
	f.Func("claim", "", func(v string) error {
		name, text, _ := strings.Cut(v, "=")
		if name, isJSON := strings.CutSuffix(name, ":"); isJSON {
			n.Claims[name] = json.RawMessage(text)
			return nil
		}
		n.Claims[name] = text
		return nil
	})
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	if *service {
		n.Kind = "service"
	}
	return s.operator(t).CreateSession(t.Context(), n)
}

// checked runs `gate check` on the demo's config with another policy folder.
func (s *siege) checked(t *testing.T, policy string) (out string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Bin, "check", "-config", filepath.Join(s.State, "gate.yaml"))
	cmd.Env = append(os.Environ(), "GATE_POLICY_PATH="+policy)
	b, err := cmd.CombinedOutput()
	return string(b), err == nil
}

// resident is how many bytes of memory the gate holds now.
func (s *siege) resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(s.PID()) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// peak samples resident while f runs, and returns its highest.
func (s *siege) peak(t *testing.T, f func()) int {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	most := 0
	for {
		most = max(most, s.resident(t))
		select {
		case <-done:
			return most
		case <-time.After(5 * time.Millisecond):
		}
	}
}
