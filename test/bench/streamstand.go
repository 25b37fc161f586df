package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/envoy"
)

// streamStand is an Envoy, a gate behind it and an upstream that keeps
// WebSockets open.
type streamStand struct {
	dir, ops  string
	addr      netip.AddrPort
	admin     *http.Client
	processes []*process
	upstream  net.Listener
}

func (s *streamStand) stop() {
	for _, p := range s.processes {
		p.stop()
	}
	if s.upstream != nil {
		_ = s.upstream.Close()
	}
}

func newStreamStand(ctx context.Context, dir string) (s *streamStand, err error) {
	s = &streamStand{dir: dir}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	gate, err := build(ctx, dir, "gate", "./cmd/gate")
	if err != nil {
		return s, err
	}
	if err := s.write(); err != nil {
		return s, err
	}
	if s.upstream, err = net.Listen("unix", filepath.Join(dir, "up.sock")); err != nil {
		return s, err
	}
	go acceptSockets(s.upstream)
	g, err := start(ctx, "gate-serve", dir, gate, "serve", "-config", "gate.yaml")
	if err != nil {
		return s, err
	}
	s.processes = append(s.processes, g)
	if err := waitFor(ctx, g, "unix", filepath.Join(dir, "run", "authz.sock")); err != nil {
		return s, err
	}
	s.admin = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(dir, "run", "admin.sock"))
	}}}
	return s, s.startEnvoy(ctx)
}

// write writes the bench's world, with an ops address that is known.
func (s *streamStand) write() error {
	ops, err := freeAddr()
	if err != nil {
		return err
	}
	s.ops = "http://" + ops.String()
	if err := writeWorld(s.dir); err != nil {
		return err
	}
	file := filepath.Join(s.dir, "gate.yaml")
	config, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, bytes.Replace(config, []byte("127.0.0.1:0"), []byte(ops.String()), 1), 0o600)
}

func (s *streamStand) startEnvoy(ctx context.Context) error {
	f, err := route.Load(filepath.Join(s.dir, "routes.yaml"))
	if err != nil {
		return err
	}
	if s.addr, err = freeAddr(); err != nil {
		return err
	}
	run := func(name string) string { return filepath.Join(s.dir, "run", name) }
	b, err := envoy.Bootstrap(envoy.Options{
		Routes: f, AuthzSocket: run("authz.sock"), GateSocket: run("http.sock"), LeashSocket: run("leash.sock"), Listen: s.addr,
		AdminSocket: run("envoy.sock"), AccessLogPath: filepath.Join(s.dir, "edge.log"),
	})
	if err != nil {
		return err
	}
	y, err := envoy.RenderYAML(b)
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "envoy.yaml")
	if err := os.WriteFile(file, y, 0o600); err != nil {
		return err
	}
	bin, err := envoy.FindBinary()
	if err != nil {
		return err
	}
	p, err := start(ctx, "envoy", s.dir, bin, envoy.Args(file, 1)...)
	if err != nil {
		return err
	}
	s.processes = append(s.processes, p)
	return waitFor(ctx, p, "tcp", s.addr.String())
}

// acceptSockets answers every request with a switch of protocols and then keeps
// quiet, as long as the connection lives.
func acceptSockets(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			r := bufio.NewReaderSize(c, 4<<10)
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n")
			_, _ = io.Copy(io.Discard, r)
		}()
	}
}

// created is a session for streams.
type created struct {
	Key, Cookie string
	ExpiresAt   time.Time `json:"expires_at"`
}

func (s *streamStand) create(ctx context.Context, lifetime time.Duration) (out created, err error) {
	body, err := json.Marshal(map[string]any{"email": "streams@kappa4.com", "roles": []string{"user"}, "lifetime": lifetime.String()})
	if err != nil {
		return out, err
	}
	err = s.ask(ctx, http.MethodPost, "/v1/sessions", body, &out)
	if err == nil && (out.Cookie == "" || out.ExpiresAt.IsZero()) {
		err = fmt.Errorf("no session was created: %+v", out)
	}
	return out, err
}

// ask speaks to the gate's admin socket.
func (s *streamStand) ask(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://gate"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.admin.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s answered %s %s", method, path, resp.Status, b)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}

// open opens n WebSockets of a session.
func (s *streamStand) open(ctx context.Context, n int, cookie string) ([]net.Conn, error) {
	conns := make([]net.Conn, 0, n)
	for range n {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr.String())
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
		fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: portal.kappa4.com\r\nOrigin: https://portal.kappa4.com\r\nCookie: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", cookie)
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReaderSize(c, 1<<10), nil)
		if err != nil {
			return conns, err
		}
		if resp.StatusCode != http.StatusSwitchingProtocols {
			return conns, fmt.Errorf("a WebSocket was answered %s", resp.Status)
		}
	}
	return conns, nil
}

// ended waits for the end of each and returns the instants.
func ended(conns []net.Conn) ([]time.Time, error) {
	at := make([]time.Time, len(conns))
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			defer c.Close()
			var b [1]byte
			if _, err := c.Read(b[:]); errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
				errs[i] = errors.New("a stream did not end")
			}
			at[i] = time.Now()
		})
	}
	wg.Wait()
	return at, errors.Join(errs...)
}
