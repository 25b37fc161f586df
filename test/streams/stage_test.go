package streams

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/neosc/gate/test/kit"
)

// streamRoutes has a host whose routes have no timeout, and one whose plain
// answers have and whose WebSockets have not.
const streamRoutes = `gate: http://gate.neosc.localhost:%[1]d
listen: 127.0.0.1:%[1]d
shields: {requests_per_second: 100000}
upstreams: {app: "%[2]s"}
hosts:
- origin: http://workspace.neosc.localhost:%[1]d
  routes:
  - {name: workspace, prefix: /, upstream: app, timeout: 0s, upgrades: [websocket]}
- origin: http://portal.neosc.localhost:%[1]d
  routes:
  - {name: portal, prefix: /, upstream: app, upgrades: [websocket]}
- origin: http://gate.neosc.localhost:%[1]d
  routes:
  - {name: gate, prefix: /, upstream: gate, pass_authorization: true}
`

// streamPolicy lets staff in, on workspace until the instant in the query, if
// there is one.
const streamPolicy = `package neosc.authz

default staff := false

staff if "staff" in input.session.roles

until := {"stream_until": to_number(input.parsed_query.until[0])}

decision := object.union({"allowed": staff, "reasons": ["test"]}, object.union_n([u | u := until]))
`

// streamUpstream echoes WebSockets, sends events, and answers downloads of any
// length a little at a time.
func streamUpstream(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ws":
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, b) != nil {
				return
			}
		}
	case "/events", "/download":
		if w.Header().Set("Content-Type", "text/event-stream"); r.URL.Path == "/download" {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Length", "1000000000")
		}
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, "data: tick\n\n"); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	case "/short":
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "short")
		w.Header().Set("X-Sum", "5")
	}
}

// streamStage is an edge with streams, a gate behind it and one who may have
// them.
type streamStage struct {
	*kit.Edge
	gate   *kit.Server
	cookie string
	key    string
}

func startStreams(t *testing.T, settings string) *streamStage {
	t.Helper()
	e := kit.StartEdgeBefore(t, streamRoutes, http.HandlerFunc(streamUpstream))
	s := &streamStage{Edge: e}
	s.writePolicy(t, streamPolicy)
	e.Configure(t, "policy: {path: policy}\n"+settings)
	s.gate = e.Serve(t)
	s.cookie, s.key = s.create(t, "staff")
	return s
}

func (s *streamStage) writePolicy(t *testing.T, rego string) {
	t.Helper()
	dir, next := filepath.Join(s.Dir, "policy"), filepath.Join(s.Dir, "next.rego")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(next, []byte(rego), 0o600), os.Rename(next, filepath.Join(dir, "authz.rego"))); err != nil {
		t.Fatal(err)
	}
}

func (s *streamStage) create(t *testing.T, roles string, more ...string) (cookie, key string) {
	t.Helper()
	var made struct{ Cookie, Key string }
	if err := json.Unmarshal([]byte(s.Run(t, append([]string{"session", "create", "-email", "staff@kappa4.com", "-role", roles, "-json"}, more...)...)), &made); err != nil {
		t.Fatal(err)
	}
	return made.Cookie, made.Key
}

func (s *streamStage) addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// stream is an open stream: done is closed when it ends.
type stream struct {
	done chan struct{}
	at   time.Time // when it ended
}

// reading reads until r ends.
func reading(r io.Reader, stop io.Closer) *stream {
	s := &stream{done: make(chan struct{})}
	go func() {
		_, _ = io.Copy(io.Discard, r)
		s.at = time.Now()
		_ = stop.Close()
		close(s.done)
	}()
	return s
}

// ended waits for the end.
func (s *stream) ended(t *testing.T, what string) {
	t.Helper()
	select {
	case <-s.done:
	case <-time.After(90 * time.Second):
		t.Fatalf("%s goes on", what)
	}
}

func (s *stream) open() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// patiently opens again where the edge gave up a check after its second, which on
// a busy machine happens now and then; where it is right to, it does each time.
func patiently(open func() (*stream, int)) (*stream, int) {
	for n := 1; ; n++ {
		began := time.Now()
		x, status := open()
		if status != http.StatusServiceUnavailable || time.Since(began) < 900*time.Millisecond || n == 4 {
			return x, status
		}
	}
}

// openers open each kind of stream with something already received on it, or
// return the status that was answered.
var openers = map[string]func(t *testing.T, s *streamStage, host, query, cookie string) (*stream, int){
	"WebSocket": openSocket,
	"RFC8441":   openExtended,
	"ServerEvents": func(t *testing.T, s *streamStage, h, q, c string) (*stream, int) {
		return openPlain(t, s, h, "/events"+q, c)
	},
	"LongDownload": func(t *testing.T, s *streamStage, h, q, c string) (*stream, int) {
		return openPlain(t, s, h, "/download"+q, c)
	},
}

// openRaw sends a request on a connection of its own and reads the answer's head.
func openRaw(t *testing.T, s *streamStage, host, path, cookie string, headers ...string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	c, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	_, authority, _ := strings.Cut(s.Origin(host), "://")
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nCookie: %s\r\nAccept: application/json\r\n%s\r\n", path, authority, s.Origin(host), cookie, strings.Join(headers, ""))
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("%s%s: %v", host, path, err)
	}
	return c, r, resp
}

var upgradeHeaders = []string{"Connection: Upgrade\r\n", "Upgrade: websocket\r\n", "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"}

// frame is a masked text frame "hi", echoed is what comes back.
var frame, echoed = []byte{0x81, 0x82, 0, 0, 0, 0, 'h', 'i'}, []byte{0x81, 0x02, 'h', 'i'}

func openSocket(t *testing.T, s *streamStage, host, query, cookie string) (*stream, int) {
	t.Helper()
	return patiently(func() (*stream, int) { return trySocket(t, s, host, query, cookie) })
}

func trySocket(t *testing.T, s *streamStage, host, query, cookie string) (*stream, int) {
	t.Helper()
	c, r, resp := openRaw(t, s, host, "/ws"+query, cookie, upgradeHeaders...)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, resp.StatusCode
	}
	back := make([]byte, len(echoed))
	if _, err := c.Write(frame); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, back); err != nil || string(back) != string(echoed) {
		t.Fatalf("the echo is %x, %v", back, err)
	}
	_ = c.SetReadDeadline(time.Time{})
	return reading(r, c), resp.StatusCode
}

func openPlain(t *testing.T, s *streamStage, host, path, cookie string) (*stream, int) {
	t.Helper()
	return patiently(func() (*stream, int) { return tryPlain(t, s, host, path, cookie) })
}

func tryPlain(t *testing.T, s *streamStage, host, path, cookie string) (*stream, int) {
	t.Helper()
	c, _, resp := openRaw(t, s, host, path, cookie)
	if resp.StatusCode != http.StatusOK {
		return nil, resp.StatusCode
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 24)); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Time{})
	return reading(resp.Body, c), resp.StatusCode
}

// openExtended opens a WebSocket by an extended CONNECT over HTTP/2.
func openExtended(t *testing.T, s *streamStage, host, query, cookie string) (*stream, int) {
	t.Helper()
	return patiently(func() (*stream, int) { return tryExtended(t, s, host, query, cookie) })
}

func tryExtended(t *testing.T, s *streamStage, host, query, cookie string) (*stream, int) {
	t.Helper()
	c, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	var head strings.Builder
	enc := hpack.NewEncoder(&head)
	_, authority, _ := strings.Cut(s.Origin(host), "://")
	for _, f := range [][2]string{
		{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":path", "/ws" + query}, {":authority", authority},
		{"origin", s.Origin(host)}, {"cookie", cookie}, {"accept", "application/json"}, {"sec-websocket-version", "13"}, {"sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="}, // which the upstream wants, speaking HTTP/1.1
	} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := errors.Join(f.WriteSettings(), f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(head.String()), EndHeaders: true})); err != nil {
		t.Fatal(err)
	}
	for {
		x, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch x := x.(type) {
		case *http2.MetaHeadersFrame:
			if status := x.PseudoValue("status"); status != "200" {
				n := 0
				_, _ = fmt.Sscan(status, &n)
				return nil, n
			}
			if err := f.WriteData(1, false, frame); err != nil {
				t.Fatal(err)
			}
		case *http2.DataFrame:
			if string(x.Data()) != string(echoed) {
				t.Fatalf("the echo is %x", x.Data())
			}
			_ = c.SetReadDeadline(time.Time{})
			return readingFrames(f, c), http.StatusOK
		}
	}
}

// readingFrames reads until the HTTP/2 stream ends; the connection may live on.
func readingFrames(f *http2.Framer, c net.Conn) *stream {
	s := &stream{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		defer c.Close()
		for {
			x, err := f.ReadFrame()
			_, reset := x.(*http2.RSTStreamFrame)
			data, isData := x.(*http2.DataFrame)
			if err != nil || reset || isData && data.StreamEnded() {
				s.at = time.Now()
				return
			}
		}
	}()
	return s
}

// held waits until the gate holds n streams.
func (s *streamStage) held(t *testing.T, n float64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		got := kit.Value(kit.Metrics(t, s.gate.Ops)["pomerium_leash_streams"])
		if got == n {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the gate holds %v streams, want %v", got, n)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// cuts is how many streams were cut for a cause.
func (s *streamStage) cuts(t *testing.T, cause string) float64 {
	t.Helper()
	return kit.Value(kit.Metrics(t, s.gate.Ops)["pomerium_leash_cut_total"], "cause", cause)
}
