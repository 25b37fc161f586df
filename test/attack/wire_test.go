package attack

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/neosc/gate/test/kit"
)

// patience is how long an answer may take.
const patience = 45 * time.Second

// answer is what a client got back. Status 0 says that the connection or the
// stream was ended without one.
type answer struct {
	status int
	header http.Header
	body   string
}

// request is sent as it stands, over either protocol: nothing is cleaned.
type request struct {
	method, host, target string
	header               []string // "Name: value"
	body                 string
	from                 net.IP // the client's address, any loopback one by default
}

// protocols of the edge.
var wires = map[string]func(*siege, testing.TB, request) answer{
	"HTTP/1.1": (*siege).http1, "HTTP/2": (*siege).http2,
}

// both sends a request over both protocols.
func (s *siege) both(t testing.TB, r request, check func(proto string, a answer)) {
	t.Helper()
	for proto, send := range wires {
		check(proto, send(s, t, r))
	}
}

// dialFrom connects as a client that speaks proto ("http/1.1", "h2"), which
// matters where the edge speaks TLS.
func (s *siege) dialFrom(t testing.TB, from net.IP, proto string) net.Conn {
	t.Helper()
	d := net.Dialer{}
	if from != nil {
		d.LocalAddr = &net.TCPAddr{IP: from}
	}
	conn, err := d.DialContext(t.Context(), "tcp", s.addr())
	if err != nil { // no Fatal: some ask from goroutines of their own
		t.Error(err)
		closed, other := net.Pipe()
		_ = other.Close()
		return closed
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	if trust := s.Trust(t); trust != nil {
		trust.NextProtos, trust.ServerName = []string{proto}, "portal."+kit.Domain
		return tls.Client(conn, trust)
	}
	return conn
}

func (r request) text() string {
	lines := append([]string{r.method + " " + r.target + " HTTP/1.1", "Host: " + r.host, "Connection: close"}, r.header...)
	if r.body != "" {
		lines = append(lines, "Content-Length: "+strconv.Itoa(len(r.body)))
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + r.body
}

func (s *siege) http1(t testing.TB, r request) answer {
	t.Helper()
	return s.patient(func() answer { return s.rawFrom(t, r.from, r.text()) })
}

// patient asks again when the edge says by itself that the gate did not answer
// within its second: on a machine that does much else it is about nothing else.
// Where that is the case in question, it is not.
func (s *siege) patient(ask func() answer) answer {
	a := ask()
	for tries := 0; tries < 5 && a.status == http.StatusServiceUnavailable && strings.Contains(a.body, "gate_unavailable") && !s.hangs.Load(); tries++ {
		time.Sleep(300 * time.Millisecond)
		a = ask()
	}
	return a
}

// raw sends bytes and reads the first answer.
func (s *siege) raw(t testing.TB, text string) answer {
	t.Helper()
	return s.patient(func() answer { return s.rawFrom(t, nil, text) })
}

func (s *siege) rawFrom(t testing.TB, from net.IP, text string) answer {
	t.Helper()
	conn := s.dialFrom(t, from, "http/1.1")
	defer conn.Close()
	// An edge that refuses early may close while we still write; what it said
	// can be read all the same.
	_, werr := io.WriteString(conn, text)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			t.Errorf("no answer within %v (write: %v): %.200q", patience, werr, text)
		}
		return answer{}
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20)) // a body that ends early is still what came
	return answer{res.StatusCode, res.Header, string(body)}
}

// field is one header field of HTTP/2, pseudo or not.
type field struct{ name, value string }

// fields are the request's in HTTP/2's own form.
func (r request) fields(scheme string) []field {
	f := []field{{":method", r.method}, {":scheme", scheme}, {":authority", r.host}, {":path", r.target}}
	for _, line := range r.header {
		name, value, _ := strings.Cut(line, ":")
		f = append(f, field{strings.ToLower(name), strings.TrimPrefix(value, " ")})
	}
	return f
}

func (s *siege) http2(t testing.TB, r request) answer {
	t.Helper()
	return s.patient(func() answer { return s.streamFrom(t, r.from, r.fields(s.scheme()), r.body) })
}

// stream sends one request of exactly these fields over HTTP/2.
func (s *siege) stream(t testing.TB, fields []field) answer {
	t.Helper()
	return s.patient(func() answer { return s.streamFrom(t, nil, fields, "") })
}

func (s *siege) streamFrom(t testing.TB, from net.IP, fields []field, body string) answer {
	t.Helper()
	h := s.h2(t, from)
	defer h.conn.Close()
	h.send(fields, body, true)
	return h.read(t)
}

// h2conn is a client's end of one HTTP/2 connection with one stream.
type h2conn struct {
	conn net.Conn
	fr   *http2.Framer
}

func (s *siege) h2(t testing.TB, from net.IP) *h2conn {
	t.Helper()
	conn := s.dialFrom(t, from, "h2")
	_, _ = io.WriteString(conn, http2.ClientPreface)
	fr := http2.NewFramer(conn, conn)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	fr.AllowIllegalWrites = true
	_ = fr.WriteSettings()
	return &h2conn{conn, fr}
}

// send writes the stream's headers, over as many frames as they need.
func (h *h2conn) send(fields []field, body string, end bool) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range fields {
		_ = enc.WriteField(hpack.HeaderField{Name: f.name, Value: f.value})
	}
	// Write errors show as a missing answer.
	const most = 16 << 10
	part := block.Next(most)
	_ = h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: part, EndHeaders: block.Len() == 0, EndStream: end && body == ""})
	for block.Len() > 0 {
		part = block.Next(most)
		_ = h.fr.WriteContinuation(1, block.Len() == 0, part)
	}
	for body != "" {
		part := body[:min(len(body), most)]
		body = body[len(part):]
		_ = h.fr.WriteData(1, end && body == "", []byte(part))
	}
}

// read returns the stream's answer.
func (h *h2conn) read(t testing.TB) answer {
	t.Helper()
	var a answer
	var body strings.Builder
	for {
		f, err := h.fr.ReadFrame()
		if err != nil {
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				t.Errorf("no answer within %v over HTTP/2", patience)
			}
			a.body = body.String()
			return a
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = h.fr.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if a.status == 0 {
				a.status, _ = strconv.Atoi(f.PseudoValue("status"))
				a.header = http.Header{}
				for _, x := range f.RegularFields() {
					a.header.Add(x.Name, x.Value)
				}
			}
		case *http2.DataFrame:
			body.Write(f.Data())
			if n := uint32(len(f.Data())); n > 0 {
				_ = h.fr.WriteWindowUpdate(0, n)
				_ = h.fr.WriteWindowUpdate(1, n)
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			a.body = body.String()
			return a
		}
		if d, ok := f.(interface{ StreamEnded() bool }); ok && d.StreamEnded() {
			a.body = body.String()
			return a
		}
	}
}

// upgrade asks for an upgrade over HTTP/1.1 and returns the answer; after a 101
// what comes back for "ping" is the body.
func (s *siege) upgrade(t testing.TB, host, target, protocol string, header ...string) answer {
	t.Helper()
	return s.patient(func() answer { return s.tryUpgrade(t, host, target, protocol, header...) })
}

func (s *siege) tryUpgrade(t testing.TB, host, target, protocol string, header ...string) answer {
	t.Helper()
	conn := s.dialFrom(t, nil, "http/1.1")
	defer conn.Close()
	lines := append([]string{"GET " + target + " HTTP/1.1", "Host: " + s.host(host), "Connection: Upgrade", "Upgrade: " + protocol,
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}, header...)
	fmt.Fprint(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return answer{}
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, header: res.Header}
	if res.StatusCode != http.StatusSwitchingProtocols {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		a.body = string(b)
	}
	return a
}

// readHeaders returns the answer's head, and of a refusal the body too: a
// socket that opened has no end to wait for.
func (h *h2conn) readHeaders(t testing.TB) answer {
	t.Helper()
	for {
		f, err := h.fr.ReadFrame()
		if err != nil {
			return answer{}
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = h.fr.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			a := answer{header: http.Header{}}
			a.status, _ = strconv.Atoi(f.PseudoValue("status"))
			for _, x := range f.RegularFields() {
				a.header.Add(x.Name, x.Value)
			}
			if a.status != http.StatusOK && !f.StreamEnded() {
				a.body = h.read(t).body
			}
			return a
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return answer{}
		}
	}
}

// socket is an open WebSocket.
type socket struct {
	net.Conn
	ended chan time.Time
}

// openSocket opens a WebSocket and watches for its end.
func (s *siege) openSocket(t testing.TB, host string, header ...string) *socket {
	t.Helper()
	r := request{method: "GET", host: s.host(host), target: "/ws", header: append([]string{"Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}, header...)}
	var conn net.Conn
	var br *bufio.Reader
	s.patient(func() answer {
		conn = s.dialFrom(t, nil, "http/1.1")
		_ = conn.SetDeadline(time.Now().Add(3 * time.Minute))
		_, _ = io.WriteString(conn, strings.Replace(r.text(), "Connection: close", "Connection: Upgrade", 1))
		br = bufio.NewReader(conn)
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("no WebSocket at %s: %v", host, err)
		}
		if res.StatusCode == http.StatusSwitchingProtocols {
			return answer{status: res.StatusCode}
		}
		b, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		_ = conn.Close()
		if res.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("no WebSocket at %s: %s %s", host, res.Status, b)
		}
		return answer{status: res.StatusCode, body: string(b)}
	})
	w := &socket{conn, make(chan time.Time, 1)}
	go func() {
		_, _ = io.Copy(io.Discard, br)
		w.ended <- time.Now()
	}()
	return w
}

// awaitEnd holds that the socket lives until an instant and not much longer.
func (w *socket) awaitEnd(t testing.TB, at time.Time, grace time.Duration) {
	t.Helper()
	select {
	case ended := <-w.ended:
		if early := at.Sub(ended); early > 200*time.Millisecond {
			t.Errorf("the socket was cut %v before its end", early)
		}
	case <-time.After(time.Until(at.Add(grace))):
		t.Errorf("the socket lives %v after its end", grace)
	}
}
