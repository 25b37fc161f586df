// Package upstreams runs the documented verifiers for Python and Node as they
// stand in the document, against tokens of the real signer.
package upstreams

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/verify"
	"github.com/neosc/gate/test/kit"
)

const host = "api.portal.kappa4.com"

// documented is the one block of a language in the document.
func documented(t *testing.T, language string) string {
	t.Helper()
	root, err := kit.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "upstreams.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(text, -1)
	if len(found) != 1 {
		t.Fatalf("docs/upstreams.md has %d blocks of %s, want 1", len(found), language)
	}
	block := string(found[0][1])
	lines := 0
	for l := range strings.Lines(block) {
		if strings.TrimSpace(l) != "" {
			lines++
		}
	}
	if lines > 20 {
		t.Errorf("the %s verifier has %d lines; 20 are promised", language, lines)
	}
	return block
}

// gate is a signer and its published keys.
type gate struct {
	*assertion.Signer
	url     string
	fetched atomic.Int64
	down    atomic.Bool
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.fetched.Add(1)
		switch {
		case g.down.Load():
			w.WriteHeader(http.StatusBadGateway)
		case r.URL.Path != "/.well-known/pomerium/jwks.json":
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = w.Write(g.JWKS())
		}
	}))
	t.Cleanup(s.Close)
	g.url = s.URL
	g.Signer = signer(t, s.URL, keys(t))
	return g
}

func keys(t *testing.T) assertion.Keys {
	t.Helper()
	now := time.Now()
	ks, err := (assertion.Keys)(nil).With(now, now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if ks, err = ks.With(now, now.Add(assertion.Lead)); err != nil { // published, not signing
		t.Fatal(err)
	}
	return ks
}

func signer(t *testing.T, issuer string, ks assertion.Keys) *assertion.Signer {
	t.Helper()
	s, err := assertion.New(assertion.Options{Keys: ks, Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t *testing.T, s *assertion.Signer, audience string, now time.Time) string {
	t.Helper()
	x := &session.Session{Key: session.NewID().Key(), ExpiresAt: now.Add(time.Hour), IdleExpiresAt: now.Add(time.Hour),
		Identity: session.Identity{UserID: "u-7", Email: "ana@kappa4.com", EmailVerified: true, Roles: []string{"user"}}}
	token, err := s.Assertion(x, audience, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func encoded(format string, args ...any) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, format, args...))
}

// tokens are what an upstream gets, by name; all but those named Good are to
// be refused.
func tokens(t *testing.T, g *gate) map[string]string {
	t.Helper()
	now := time.Now()
	good := sign(t, g.Signer, host, now)
	p := strings.Split(good, ".")
	var head struct{ Kid string }
	b, _ := base64.RawURLEncoding.DecodeString(p[0])
	if err := json.Unmarshal(b, &head); err != nil {
		t.Fatal(err)
	}
	claims, _ := base64.RawURLEncoding.DecodeString(p[1])
	admin := base64.RawURLEncoding.EncodeToString(bytes.Replace(claims, []byte(`"user"`), []byte(`"admin"`), 1))
	mac := hmac.New(sha256.New, g.JWKS())
	hs := encoded(`{"alg":"HS256","kid":%q,"typ":"JWT"}`, head.Kid) + "." + p[1]
	mac.Write([]byte(hs))
	stranger := signer(t, g.url, keys(t))
	theirs := strings.Split(sign(t, stranger, host, now), ".")
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(stranger.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	flipped := []byte(p[2])
	flipped[10] ^= 1
	return map[string]string{
		"Good":             good,
		"GoodWithinLeeway": sign(t, g.Signer, host, now.Add(-assertion.Life-time.Second)),
		"WrongAudience":    sign(t, g.Signer, "admin.portal.kappa4.com", now),
		"AudienceInFront":  sign(t, g.Signer, host+".evil.com", now),
		"WrongIssuer":      sign(t, signer(t, "https://evil.com", g.Keys()), host, now),
		"Expired":          sign(t, g.Signer, host, now.Add(-time.Hour)),
		"FromTheFuture":    sign(t, g.Signer, host, now.Add(5*time.Minute)),
		"AlgNone":          encoded(`{"alg":"none","kid":%q}`, head.Kid) + "." + p[1] + ".",
		"AlgNoneSigned":    encoded(`{"alg":"none","kid":%q}`, head.Kid) + "." + p[1] + "." + p[2],
		"HMACUnderTheSet":  hs + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
		"Tampered":         p[0] + "." + admin + "." + p[2],
		"OtherSignature":   p[0] + "." + p[1] + "." + string(flipped),
		"NoSignature":      p[0] + "." + p[1] + ".",
		"UnknownKey":       strings.Join(theirs, "."),
		"StrangersKeyAs":   p[0] + "." + theirs[1] + "." + theirs[2],
		"KeyInTheHeader":   encoded(`{"alg":"ES256","kid":"x","jwk":%s}`, set.Keys[0]) + "." + theirs[1] + "." + theirs[2],
		"NoKeyID":          encoded(`{"alg":"ES256"}`) + "." + p[1] + "." + p[2],
		"KeyIDIsANumber":   encoded(`{"alg":"ES256","kid":1}`) + "." + p[1] + "." + p[2],
		"HeaderIsNull":     encoded(`null`) + "." + p[1] + "." + p[2],
		"HeaderIsNoJSON":   encoded(`{`) + "." + p[1] + "." + p[2],
		"TwoOfThem":        good + ", " + good,
		"FourParts":        good + "." + p[2],
		"OnePart":          p[0],
		"Garbage":          "héllo wörld",
		"Empty":            "",
	}
}

// upstream is a language's verifier with a loop that answers each line.
type upstream struct {
	language, file, loop string
	command              func(t *testing.T) string
}

var upstreams = map[string]upstream{
	"Python": {"python", "upstream.py", `
import sys
for line in sys.stdin:
    try:
        print(200, identity(line.rstrip("\n"))["sub"], flush=True)
    except jwt.InvalidTokenError:
        print(401, flush=True)
    except jwt.PyJWKClientError:
        print(503, flush=True)
    except Exception as e:
        print("crash", type(e).__name__, e, flush=True)
`, func(t *testing.T) string {
		root, err := kit.Root()
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("sh", filepath.Join(root, "test", "upstreams", "install.sh")).Output()
		if err != nil {
			if x, ok := err.(*exec.ExitError); ok {
				t.Fatalf("%v\n%s", err, x.Stderr)
			}
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}},
	"Node": {"js", "upstream.mjs", `
import { createInterface } from 'node:readline'
for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(200, (await identity(line)).sub)
  } catch (e) {
    console.log(e instanceof TypeError || e instanceof SyntaxError ? 401 : 503)
  }
}
`, func(t *testing.T) string {
		node, err := exec.LookPath("node")
		if err != nil {
			t.Fatalf("the documented Node upstream needs node 20 or later on PATH (bash test/install.sh installs it): %v", err)
		}
		return node
	}},
}

// run gives tokens to a fresh process and returns an answer for each.
func (u upstream) run(t *testing.T, g *gate, tokens []string) []string {
	t.Helper()
	source := strings.ReplaceAll(documented(t, u.language), "https://gate.kappa4.com", g.url)
	if !strings.Contains(source, g.url) || !strings.Contains(source, host) {
		t.Fatal("the document names another issuer or audience than this test")
	}
	file := filepath.Join(t.TempDir(), u.file)
	if err := os.WriteFile(file, []byte(source+u.loop), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), u.command(t), file)
	cmd.Stdin = strings.NewReader(strings.Join(tokens, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	answers := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(answers) != len(tokens) {
		t.Fatalf("%d answers to %d tokens:\n%s%s", len(answers), len(tokens), out, stderr.String())
	}
	return answers
}

func TestDocumentedVerifiers(t *testing.T) {
	t.Parallel()
	for name, u := range upstreams {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			var names, lines []string
			for name, token := range tokens(t, g) {
				names, lines = append(names, name), append(lines, token)
			}
			for i, got := range u.run(t, g, lines) {
				want := "401"
				if strings.HasPrefix(names[i], "Good") {
					want = "200 u-7"
				}
				if got != want {
					t.Errorf("%s: %s, want %s", names[i], got, want)
				}
			}
			if n := g.fetched.Load(); n != 1 {
				t.Errorf("the keys were fetched %d times, want once", n)
			}
		})
		t.Run(name+"WithoutKeys", func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			g.down.Store(true)
			if got := u.run(t, g, []string{sign(t, g.Signer, host, time.Now())}); got[0] != "503" {
				t.Errorf("%s, want 503", got[0])
			}
		})
	}
}

// TestTheGoVerifierAgrees gives the same tokens to the package that the
// document recommends for Go.
func TestTheGoVerifierAgrees(t *testing.T) {
	t.Parallel()
	documentedGo := documented(t, "go")
	for _, name := range []string{"verify.New(verify.Options{", "Issuer:", "Audience:", "JWKSURL:", "v.Middleware(", "verify.From("} {
		if !strings.Contains(documentedGo, name) {
			t.Errorf("the document does not use %s", name)
		}
	}
	g := newGate(t)
	v, err := verify.New(verify.Options{Issuer: g.url, Audience: host, JWKSURL: g.url + "/.well-known/pomerium/jwks.json"})
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range tokens(t, g) {
		if _, err := v.Verify(t.Context(), token); strings.HasPrefix(name, "Good") != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
