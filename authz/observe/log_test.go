package observe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

var noon = time.Date(2026, 3, 5, 10, 15, 30, 152_000_000, time.UTC)

func sample() (*authz.Request, *authz.Outcome) {
	s := &session.Session{Identity: session.Identity{UserID: "u-1", Email: "user@company.com"}}
	s.Key[0] = 0xab
	return &authz.Request{
			Time: noon, ID: "9f3c", Method: "GET", Host: "api.portal.kappa4.com",
			Path:    "/api/workspace/12345?token=hush",
			Headers: authz.Headers{{Name: "cookie", Value: "_pomerium=hush"}, {Name: "authorization", Value: "Bearer hush"}},
			Route:   &authz.Route{Name: "api"}, RouteName: "api",
			Source: authz.Peer{Addr: netip.MustParseAddrPort("203.0.113.9:4711")}, Session: s,
		}, &authz.Outcome{
			Verdict: authz.Allowed, Status: 200, Reasons: []string{"matched_policy"}, Session: s,
			Decision: &authz.Decision{Revision: "r7"},
		}
}

func newLog(t *testing.T, o LogOptions) *Log {
	t.Helper()
	l, err := NewLog(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t *testing.T, l *Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestLineHasTheFieldsOfTheContract(t *testing.T) {
	t.Parallel()
	r, o := sample()
	got := string(appendLine(nil, r, o, 45*time.Millisecond))
	want := `{"level":"info","timestamp":"2026-03-05T10:15:30.152Z","user":"u-1","email":"user@company.com","method":"GET",` +
		`"path":"/api/workspace/12345","host":"api.portal.kappa4.com","decision":"allow","reason":"matched_policy",` +
		`"duration_ms":45.000,"status":200,"request_id":"9f3c","route":"api","session":"ab00000000000000","policy_revision":"r7",` +
		`"client_ip":"203.0.113.9"}` + "\n"
	if got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	if short := o.Session.Key.Short(); !strings.Contains(got, short) {
		t.Errorf("session is not named as %s", short)
	}
}

func TestLineOfNobodyOnNoRoute(t *testing.T) {
	t.Parallel()
	r := &authz.Request{Time: noon, RouteName: "made-up\nroute"}
	for verdict, want := range map[authz.Verdict][2]string{
		authz.Denied: {"warn", "deny"}, authz.Unauthenticated: {"info", "deny"},
		authz.Limited: {"warn", "limit"}, authz.Failed: {"error", "error"},
	} {
		var m map[string]any
		line := appendLine(nil, r, &authz.Outcome{Verdict: verdict, Status: 403, Reasons: []string{"a", "b"}}, 1234*time.Nanosecond)
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		if m["level"] != want[0] || m["decision"] != want[1] || m["reason"] != "a,b" || m["route"] != "unknown" ||
			m["user"] != "" || m["email"] != "" || m["session"] != "" || m["client_ip"] != "" || m["duration_ms"] != 0.001 {
			t.Errorf("verdict %v: %s", verdict, line)
		}
	}
}

func TestLineHoldsNoCredentialAndNoQuery(t *testing.T) {
	t.Parallel()
	r, o := sample()
	if line := appendLine(nil, r, o, 0); bytes.Contains(line, []byte("hush")) {
		t.Errorf("a secret got into %s", line)
	}
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJlLi4u"
	r.Path = "/open/" + token + "/now"
	if line := string(appendLine(nil, r, o, 0)); strings.Contains(line, token) || !strings.Contains(line, `"path":"/open/(masked)/now"`) {
		t.Errorf("a token of a link got into %s", line)
	}
}

// Whatever a client sends, a line is one line of valid JSON without control
// characters, bounded, and says what was sent (secrets, and bytes that are no text, aside).
func TestLineWithstandsAnyText(t *testing.T) {
	t.Parallel()
	wild := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.SliceOf(rapid.SampledFrom([]string{"\n", "\r", "\x00", "\"", "\\", "\u2028", "\u202e", "\u009b", "\x7f", "é", "\xff", "a"})),
			func(s []string) string { return strings.Join(s, "") }))
	rapid.Check(t, func(t *rapid.T) {
		r, o := sample()
		path := wild.Draw(t, "path")
		r.Path, r.Method, r.Host, r.ID = path, wild.Draw(t, "method"), wild.Draw(t, "host"), wild.Draw(t, "id")
		r.Route.Name, o.Reasons = wild.Draw(t, "route"), []string{wild.Draw(t, "reason")}
		o.Session.Identity.Email = wild.Draw(t, "email")
		checkLine(t, appendLine(nil, r, o, 0), path)
	})
}

// replaced is what encoding/json makes of bytes that are no UTF-8: U+FFFD each.
func replaced(s string) string { return string([]rune(s)) }

type failer interface {
	Helper()
	Errorf(string, ...any)
	Fatalf(string, ...any)
}

func checkLine(t failer, line []byte, path string) {
	t.Helper()
	if len(line) > 24<<10 {
		t.Errorf("line has %d bytes", len(line))
	}
	if !utf8.Valid(line) || line[len(line)-1] != '\n' {
		t.Fatalf("not one line of UTF-8: %q", line)
	}
	for _, c := range string(line[:len(line)-1]) {
		if c < 0x20 || (c >= 0x7f && c < 0xa0) || deceptive(c) {
			t.Fatalf("character %U is as it came: %q", c, line)
		}
	}
	var m map[string]any
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	if len(m) != 16 {
		t.Fatalf("%d fields: %q", len(m), line)
	}
	want, _, _ := strings.Cut(authz.MaskAddress(path), "?")
	if got := m["path"].(string); len(want) <= maxPath && got != replaced(want) {
		t.Errorf("path %q became %q", want, got)
	}
}

func FuzzAccessLogLine(f *testing.F) {
	f.Add("/a", "GET", "h")
	f.Add("/\"\n{\"level\":\"info\"}", "\x1b[2J", "\xff\xfe\u2028")
	f.Fuzz(func(t *testing.T, path, method, host string) {
		r, o := sample()
		r.Path, r.Method, r.Host = path, method, host
		checkLine(t, appendLine(nil, r, o, 0), path)
	})
}

func TestLongTextIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"abcdef": "abcde…", "abcdé!": "abcd…", "abc€€": "abc…", "ab😀": "ab…", "abcde": "abcde",
	} {
		if got := string(AppendText(nil, in, 5)); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestLogWritesEveryLineWhole(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newLog(t, LogOptions{Writer: &out, Linger: -1})
	const callers, each = 8, 500
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			r, o := sample()
			for i := range each {
				r.ID = fmt.Sprintf("%d-%d", c, i)
				l.Observe(r, o, time.Duration(i))
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	seen := map[string]bool{}
	for sc := bufio.NewScanner(&out); sc.Scan(); {
		var m struct {
			ID string `json:"request_id"`
		}
		if err := json.Unmarshal(sc.Bytes(), &m); err != nil {
			t.Fatalf("%v: %s", err, sc.Text())
		}
		seen[m.ID] = true
	}
	if len(seen) != callers*each {
		t.Errorf("%d lines of %d", len(seen), callers*each)
	}
	if n := value(t, l.written); n != callers*each {
		t.Errorf("counted %v", n)
	}
}

// gateWriter blocks until it is opened.
type gateWriter struct {
	entered, open chan struct{}
	once          sync.Once
	out           bytes.Buffer
}

func (g *gateWriter) Write(p []byte) (int, error) {
	g.once.Do(func() { close(g.entered) })
	<-g.open
	return g.out.Write(p)
}

func TestSlowWriterBlocksNobodyAndDropsAreCounted(t *testing.T) {
	t.Parallel()
	w := &gateWriter{entered: make(chan struct{}), open: make(chan struct{})}
	l := newLog(t, LogOptions{Writer: w, Buffer: 10_000, Linger: -1})
	r, o := sample()
	l.Observe(r, o, 0)
	<-w.entered
	const more = 1000
	for range more {
		l.Observe(r, o, 0) // would hang here if it waited for the writer
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close with a hanging writer: %v", err)
	}
	close(w.open)
	closeLog(t, l)
	lines := bytes.Count(w.out.Bytes(), []byte{'\n'})
	dropped := int(value(t, l.full))
	if dropped == 0 || lines+dropped != more+1 {
		t.Errorf("%d written, %d dropped, of %d", lines, dropped, more+1)
	}
	l.Observe(r, o, 0)
	if got := int(value(t, l.full)); got != dropped+1 {
		t.Error("a line after Close is not counted as dropped")
	}
}

// flaky fails once inside a line.
type flaky struct {
	out    bytes.Buffer
	failed bool
}

func (f *flaky) Write(p []byte) (int, error) {
	if !f.failed && len(p) > 10 {
		f.failed = true
		n, _ := f.out.Write(p[:10])
		return n, io.ErrShortWrite
	}
	return f.out.Write(p)
}

func TestTornLineSpoilsNoOther(t *testing.T) {
	t.Parallel()
	w := &flaky{}
	l := newLog(t, LogOptions{Writer: w, Linger: time.Hour})
	r, o := sample()
	l.Observe(r, o, 0)
	l.flush() // the writer's goroutine lingers: this call has the buffers to itself
	l.Observe(r, o, 0)
	closeLog(t, l)
	lines := strings.Split(strings.TrimSuffix(w.out.String(), "\n"), "\n")
	if len(lines) != 2 || !json.Valid([]byte(lines[1])) {
		t.Errorf("got %q", lines)
	}
	if value(t, l.failed) != 1 || value(t, l.written) != 1 {
		t.Errorf("counted %v failed, %v written", value(t, l.failed), value(t, l.written))
	}
}

func TestObserveKeepsNothingOfTheRequest(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newLog(t, LogOptions{Writer: &out, Linger: time.Hour})
	r, o := sample()
	l.Observe(r, o, 0)
	r.Method, r.Host, o.Session.Identity.Email, o.Reasons[0] = "changed", "changed", "changed", "changed"
	closeLog(t, l)
	if strings.Contains(out.String(), "changed") || !strings.Contains(out.String(), `"GET"`) {
		t.Errorf("got %s", out.String())
	}
}

func TestLogNeedsAWriterAndAPrefix(t *testing.T) {
	t.Parallel()
	if _, err := NewLog(LogOptions{}); err == nil {
		t.Error("took no writer")
	}
	if _, err := NewLog(LogOptions{Writer: io.Discard, Prefix: "9-"}); err == nil {
		t.Error("took a wrong prefix")
	}
}

func BenchmarkEncode(b *testing.B) {
	r, o := sample()
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = appendLine(line[:0], r, o, 152*time.Microsecond)
	}
}

func BenchmarkObserveLog(b *testing.B) {
	l, err := NewLog(LogOptions{Writer: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close(context.Background()) }()
	r, o := sample()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Observe(r, o, 152*time.Microsecond)
		}
	})
}
