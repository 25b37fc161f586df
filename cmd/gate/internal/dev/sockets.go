package dev

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/coder/websocket"
)

const (
	// maxSockets bounds the open sockets of one upstream, maxMessage one message.
	maxSockets = 256
	maxMessage = 64 << 10
)

// sockets are the long-lived connections of one upstream. http.Server forgets
// a connection once it is taken over, so they are held here to end them.
type sockets struct {
	host  string // host:port of the external origin, "" when it is no URL
	ctx   context.Context
	end   context.CancelFunc
	slots chan struct{}
	open  sync.WaitGroup
	mu    sync.Mutex
	over  bool
}

func newSockets(origin string) *sockets {
	s := &sockets{slots: make(chan struct{}, maxSockets)}
	if u, err := url.Parse(origin); err == nil {
		s.host = u.Host
	}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// close ends every socket and waits until they are gone.
func (s *sockets) close() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.end()
	s.open.Wait()
}

// enter takes a slot, or answers 503 and returns false.
func (s *sockets) enter(w http.ResponseWriter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		select {
		case s.slots <- struct{}{}:
			s.open.Add(1)
			return true
		default:
		}
	}
	w.Header().Set("Retry-After", "5")
	writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "too many open sockets"})
	return false
}

func (s *sockets) leave() {
	<-s.slots
	s.open.Done()
}

// echoWebSocket sends every message back until either side ends. There is no
// idle limit: how long a stream may live is the edge's to say.
func (s *sockets) echoWebSocket(w http.ResponseWriter, r *http.Request, _ identity) {
	if !s.enter(w) {
		return
	}
	defer s.leave()
	// The edge strips the port from Host, browsers keep it in Origin: without
	// the pattern a page on :8080 would count as a foreign origin.
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{OriginPatterns: []string{s.host}})
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(maxMessage)
	for {
		kind, message, err := c.Read(s.ctx)
		if err != nil {
			if s.ctx.Err() != nil {
				_ = c.Close(websocket.StatusGoingAway, "the application is stopping")
			}
			return
		}
		if err := c.Write(s.ctx, kind, message); err != nil {
			return
		}
	}
}

// echoSPDY switches to SPDY/3.1 as kasm-proxy and kubectl exec do, and sends
// the bytes back; what is in the frames is no matter here.
func (s *sockets) echoSPDY(w http.ResponseWriter, _ *http.Request, _ identity) {
	if !s.enter(w) {
		return
	}
	defer s.leave()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "this connection cannot be upgraded"})
		return
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(s.ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"); err != nil {
		return
	}
	// buffered begins with what the server had already read.
	_, _ = io.Copy(conn, buffered.Reader)
}

// wantsSPDY reports whether the request asks for the SPDY/3.1 upgrade.
func wantsSPDY(r *http.Request) bool {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "SPDY/3.1") {
		return false
	}
	for token := range strings.SplitSeq(r.Header.Get("Connection"), ",") {
		if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
			return true
		}
	}
	return false
}
