package dev

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

var origins = Origins{
	Portal: "http://portal.neosc.localhost:8080", API: "http://api.portal.neosc.localhost:8080",
	Admin: "http://admin.portal.neosc.localhost:8080", Workspace: "http://workspace.portal.neosc.localhost:8080",
	Gate: "http://gate.neosc.localhost:8080",
}

func upstreams(t *testing.T) *Upstreams {
	t.Helper()
	u, err := StartUpstreams(UpstreamOptions{Origins: origins, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := u.Close(ctx); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return u
}

// vouched are the headers that the edge sets for a person.
func vouched() http.Header {
	return http.Header{
		"X-Pomerium-Email": {"nora@neosc.localhost"}, "X-Pomerium-User": {"u-7"}, "X-Pomerium-Groups": {"neosc,staff"},
		"X-Session-Id": {"demo-42"}, "X-User-Email": {"nora@neosc.localhost"}, "X-Workspace-Type": {"ubuntu"},
	}
}

func call(t *testing.T, method, addr, path string, h http.Header, body string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h.Clone()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

func TestUpstreamsBelieveOnlyTheEdge(t *testing.T) {
	t.Parallel()
	u := upstreams(t)
	twice := vouched()
	twice.Add("X-Pomerium-Email", "ceo@company.com")
	noUser := vouched()
	noUser.Del("X-Pomerium-User")
	for name, h := range map[string]http.Header{
		"Nothing": {}, "OnlyCredentials": {"Authorization": {"Bearer x"}, "Cookie": {"_pomerium=x"}}, "TwoEmails": twice, "NoUser": noUser,
	} {
		for _, to := range []string{u.Frontend + "/", u.Frontend + "/ws", u.Backend + "/", u.Backend + "/slow?ms=0", u.Backend + "/api/workspaces", u.Kasm + "/", u.Kasm + "/ws", u.Kasm + "/workspace.js"} {
			addr, path, _ := strings.Cut(to, "/")
			if status, _, _ := call(t, "GET", addr, "/"+path, h, ""); status != 401 {
				t.Errorf("%s at %s: %d", name, path, status)
			}
		}
	}
}

func TestFrontendGreetsAndLinks(t *testing.T) {
	t.Parallel()
	u := upstreams(t)
	h := vouched()
	h.Set("X-Pomerium-Email", `"><script>alert(1)</script>`)
	h.Set("Cookie", "_pomerium=hush; theme=dark")
	status, head, body := call(t, "GET", u.Frontend, "/", h, "")
	if status != 200 || !strings.HasPrefix(head.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %v", status, head)
	}
	wantText(t, body, "Welcome, &#34;&gt;&lt;script&gt;", "<strong>neosc</strong>, <strong>staff</strong>",
		`href="http://gate.neosc.localhost:8080/assets/gate.css"`, `href="http://gate.neosc.localhost:8080/oauth2/sign_out?rd=http%3a%2f%2fportal.neosc.localhost%3a8080/"`, "_pomerium=…; theme=…", origins.Portal+"/", origins.API+"/api/whoami", origins.Admin+"/", origins.Workspace+"/")
	if strings.Contains(body, "hush") || strings.Contains(body, "<script") || strings.Contains(body, " style=") {
		t.Error("the page shows a cookie, or has a script or a style of its own")
	}
	wantText(t, head.Get("Content-Security-Policy"), "default-src 'none'", "style-src "+origins.Gate, "form-action 'none'")
}

func TestBackendShowsWhoAndWhatItWasGiven(t *testing.T) {
	t.Parallel()
	u := upstreams(t)
	h := vouched()
	h.Set("Cookie", "_pomerium=hush")
	h.Set("Authorization", "Bearer hush")
	h.Set("X-Pomerium-Jwt-Assertion", "hush")
	status, _, body := call(t, "PATCH", u.Backend, "/any/path?x=1", h, "")
	var got struct {
		Identity            identity
		Method, Path, Query string
		Headers             map[string][]string
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
		t.Fatalf("%d %v", status, err)
	}
	if got.Identity.Email != "nora@neosc.localhost" || got.Identity.User != "u-7" || len(got.Identity.Groups) != 2 || !got.Identity.Assertion ||
		got.Method != "PATCH" || got.Path != "/any/path" || got.Query != "x=1" ||
		got.Headers["Cookie"][0] != "_pomerium=…" || got.Headers["Authorization"][0] != "Bearer …" || strings.Contains(body, "hush") {
		t.Errorf("%s", body)
	}
}

func TestBackendWaitsWithinBounds(t *testing.T) {
	t.Parallel()
	u := upstreams(t)
	for path, want := range map[string]int{"/slow?ms=1": 200, "/slow?ms=-1": 400, "/slow?ms=60001": 400, "/slow": 400, "/slow?ms=1e3": 400} {
		if status, _, body := call(t, "GET", u.Backend, path, vouched(), ""); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestWebSocketEchoes(t *testing.T) {
	t.Parallel()
	u := upstreams(t)
	for name, c := range map[string]struct {
		addr, origin string
		want         int
	}{
		// The edge strips the port from Host; a browser's Origin still has it.
		"Workspace": {u.Kasm, origins.Workspace, 101}, "Portal": {u.Frontend, origins.Portal, 101},
		"NoOrigin": {u.Kasm, "", 101}, "ForeignOrigin": {u.Kasm, "https://evil.example", 403},
	} {
		t.Run(name, func(t *testing.T) {
			h := vouched()
			if c.origin != "" {
				h.Set("Origin", c.origin)
			}
			conn, res, err := websocket.Dial(t.Context(), "ws://"+c.addr+"/ws", &websocket.DialOptions{HTTPHeader: h, Host: "workspace.portal.neosc.localhost"})
			if res == nil || res.StatusCode != c.want {
				t.Fatalf("%v %v", res, err)
			}
			if err != nil {
				return
			}
			defer func() { _ = conn.CloseNow() }()
			if err := conn.Write(t.Context(), websocket.MessageText, []byte("ping")); err != nil {
				t.Fatal(err)
			}
			kind, got, err := conn.Read(t.Context())
			if err != nil || kind != websocket.MessageText || string(got) != "ping" {
				t.Errorf("%v %q %v", kind, got, err)
			}
		})
	}
}

func TestSPDYUpgradeEchoes(t *testing.T) {
	t.Parallel()
	u := upstreams(t)
	conn, err := net.Dial("tcp", u.Kasm)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprint(conn, "POST /exec HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Pomerium-User: u-7\r\n\r\nearly")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "SPDY/3.1" {
		t.Fatalf("%v %v", res, err)
	}
	_, _ = fmt.Fprint(conn, " and late")
	got := make([]byte, len("early and late"))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "early and late" {
		t.Errorf("%q %v", got, err)
	}
}

func TestKasmPageShowsTheSession(t *testing.T) {
	t.Parallel()
	u := upstreams(t)
	status, head, body := call(t, "GET", u.Kasm, "/", vouched(), "")
	if status != 200 {
		t.Fatal(status)
	}
	wantText(t, body, "demo-42", "ubuntu", "nora@neosc.localhost", `src="/workspace.js"`)
	wantText(t, head.Get("Content-Security-Policy"), "connect-src 'self' ws://workspace.portal.neosc.localhost:8080")
	status, head, body = call(t, "GET", u.Kasm, "/workspace.js", vouched(), "")
	if status != 200 || !strings.Contains(head.Get("Content-Type"), "javascript") {
		t.Errorf("%d %v", status, head)
	}
	wantText(t, body, "new WebSocket(")
}

func TestOpenSocketsAreBoundedAndEndWithTheirUpstream(t *testing.T) {
	t.Parallel()
	u, err := StartUpstreams(UpstreamOptions{Origins: origins, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	conn, _, err := websocket.Dial(t.Context(), "ws://"+u.Kasm+"/ws", &websocket.DialOptions{HTTPHeader: vouched()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	for range maxSockets - 1 {
		u.sockets[0].slots <- struct{}{}
	}
	if status, head, _ := call(t, "GET", u.Kasm, "/ws", vouched(), ""); status != 503 || head.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", status)
	}
	if err := u.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(t.Context()); err == nil {
		t.Error("the socket outlived its upstream")
	}
}
