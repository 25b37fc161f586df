package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/neosc/gate/test/kit"
)

// TestStreams shares one demo among what upgrades and what lasts: its slowest
// part waits half a minute, and everything else runs meanwhile.
func TestStreams(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised"})
	neosc, admin := d.SignedIn(t, "neosc"), d.SignedIn(t, "admin")
	t.Run("WebSocketsEcho", func(t *testing.T) { t.Parallel(); webSocketsEcho(t, d, neosc) })
	t.Run("WebSocketsAreRefused", func(t *testing.T) { t.Parallel(); webSocketsAreRefused(t, d, neosc) })
	t.Run("SPDY", func(t *testing.T) { t.Parallel(); spdyIsForWorkspacesOnly(t, d, admin) })
	t.Run("Timeouts", func(t *testing.T) { t.Parallel(); timeouts(t, d, neosc, admin) })
}

// dialSocket opens a WebSocket as p's browser would, with the Origin given; ""
// sends none. The answer is never nil unless the connection itself failed.
func dialSocket(t *testing.T, d *kit.Demo, p *kit.Person, host, origin string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	h := http.Header{}
	if origin != "" {
		h.Set("Origin", origin)
	}
	client := &http.Client{Jar: p.Jar, Transport: p.Transport, CheckRedirect: p.CheckRedirect}
	url := "ws" + strings.TrimPrefix(d.Origin(host), "http") + "/ws"
	c, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client, HTTPHeader: h})
	if err == nil {
		t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, resp, err
}

// echoes says one thing over a socket and wants it back.
func echoes(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		t.Fatalf("writing: %v", err)
	}
	_, got, err := c.Read(ctx)
	if err != nil || string(got) != text {
		t.Fatalf("the echo of %.20q is %.20q, %v", text, got, err)
	}
}

func webSocketsEcho(t *testing.T, d *kit.Demo, p *kit.Person) {
	for _, host := range []string{"workspace.portal", "portal"} {
		c, resp, err := dialSocket(t, d, p, host, d.Origin(host))
		if err != nil {
			t.Fatalf("%s: %v (%v)", host, err, resp)
		}
		echoes(t, c, "hello")
		echoes(t, c, strings.Repeat("long ", 5000))
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Errorf("%s: closing: %v", host, err)
		}
	}
}

func webSocketsAreRefused(t *testing.T, d *kit.Demo, neosc *kit.Person) {
	admin, second, user := d.SignedIn(t, "admin"), d.SignedIn(t, "neosc2"), d.SignedIn(t, "user")
	workspace := d.Origin("workspace.portal")
	for name, c := range map[string]struct {
		who          *kit.Person
		host, origin string
		want         int
	}{
		"WithoutOrigin":        {neosc, "workspace.portal", "", 403},
		"WithSiblingOrigin":    {neosc, "workspace.portal", d.Origin("portal"), 403},
		"WithForeignOrigin":    {neosc, "workspace.portal", "https://evil.example", 403},
		"WithNullOrigin":       {neosc, "workspace.portal", "null", 403},
		"PortalWithSibling":    {neosc, "portal", workspace, 403},
		"WithoutSession":       {d.Stranger(t), "workspace.portal", workspace, 401},
		"WithoutDemoSession":   {second, "workspace.portal", workspace, 403},
		"WithoutRole":          {user, "workspace.portal", workspace, 403},
		"WhereNoneIsListed":    {admin, "api.portal", d.Origin("api.portal"), 403},
		"WhereNoneIsListedToo": {admin, "admin.portal", d.Origin("admin.portal"), 403},
		"AtTheGateItself":      {admin, "gate", d.Origin("gate"), 403},
	} {
		t.Run(name, func(t *testing.T) {
			_, resp, err := dialSocket(t, d, c.who, c.host, c.origin)
			if err == nil {
				t.Fatal("the socket opened")
			}
			if resp == nil || resp.StatusCode != c.want {
				t.Errorf("answered %+v (%v), want %d", resp, err, c.want)
			}
		})
	}
}

// upgradeSPDY asks for SPDY/3.1 as kubectl exec does, and echoes a few bytes
// once it is switched.
func upgradeSPDY(t *testing.T, d *kit.Demo, p *kit.Person, host string) int {
	t.Helper()
	c, err := d.Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, authority, _ := strings.Cut(d.Origin(host), "://")
	fmt.Fprintf(c, "POST /exec HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nCookie: _pomerium=%s\r\nAccept: application/json\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
		authority, d.Origin(host), p.Session())
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("%s: %v", host, err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return resp.StatusCode
	}
	if got := resp.Header.Get("Upgrade"); !strings.EqualFold(got, "SPDY/3.1") {
		t.Errorf("%s switched to %q", host, got)
	}
	frame := []byte{0x80, 0x03, 0x00, 0x06, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x01} // PING 1
	if _, err := c.Write(frame); err != nil {
		t.Fatal(err)
	}
	back := make([]byte, len(frame))
	for n := 0; n < len(back); {
		m, err := r.Read(back[n:])
		if err != nil {
			t.Fatalf("%s: %v after %x", host, err, back[:n])
		}
		n += m
	}
	if string(back) != string(frame) {
		t.Errorf("%s: the frame %x came back as %x", host, frame, back)
	}
	return resp.StatusCode
}

func spdyIsForWorkspacesOnly(t *testing.T, d *kit.Demo, admin *kit.Person) {
	for host, want := range map[string]int{"workspace.portal": 101, "portal": 403, "api.portal": 403, "admin.portal": 403, "gate": 403} {
		if got := upgradeSPDY(t, d, admin, host); got != want {
			t.Errorf("SPDY/3.1 at %s is answered %d, want %d", host, got, want)
		}
	}
}

// timeouts shows each route's own: 15 s where nothing is said, 30 s on admin,
// none on the workspace, whose socket stays open through all of it.
func timeouts(t *testing.T, d *kit.Demo, neosc, admin *kit.Person) {
	socket, resp, err := dialSocket(t, d, neosc, "workspace.portal", d.Origin("workspace.portal"))
	if err != nil {
		t.Fatalf("%v (%v)", err, resp)
	}
	for host, limit := range map[string]time.Duration{"api.portal": 15 * time.Second, "admin.portal": 30 * time.Second} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			if reply := admin.Get(t, d.Origin(host)+"/slow?ms=100"); reply.StatusCode != http.StatusOK {
				t.Errorf("a quick answer got %s", reply.Status)
			}
			began := time.Now()
			reply := admin.Get(t, d.Origin(host)+"/slow?ms=35000")
			if took := time.Since(began); reply.StatusCode != http.StatusGatewayTimeout || took < limit-100*time.Millisecond || took > limit+12*time.Second {
				t.Errorf("answered %s after %v, want 504 after %v", reply.Status, took, limit)
			}
		})
	}
	t.Cleanup(func() { // after both
		if t.Failed() {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := socket.Write(ctx, websocket.MessageText, []byte("still here")); err != nil {
			t.Fatalf("after half a minute of silence: %v", err)
		}
		if _, got, err := socket.Read(ctx); err != nil || string(got) != "still here" {
			t.Errorf("after half a minute of silence the echo is %q, %v", got, err)
		}
	})
}
