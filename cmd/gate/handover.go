package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// A successor takes a running gate's place in four steps, in none of which a
// check meets a closed door:
//
//  1. it opens everything that can fail, while the running gate serves;
//  2. it asks for the place over the admin socket; the running gate gives up its
//     ops port, the one thing that two processes cannot share by renaming;
//  3. it binds sockets of its own and renames them over those that stand;
//  4. it says so on the same connection; the other drains and exits.
//
// One that dies between 2 and 4 closes that connection, and the running gate
// takes its ops port back.

// handoverPath is where a successor asks, on the admin socket, which is 0600.
const handoverPath = "/v1/handover"

// Lines of the exchange, after the upgrade.
const (
	lineFree  = "free"
	lineTaken = "taken"
)

// handoverLimit is how long a successor may take to bind its sockets.
const handoverLimit = 30 * time.Second

// handover is the running gate's side.
type handover struct {
	log *slog.Logger
	// free gives up the ops port and back takes it again.
	free func(context.Context) error
	back func() error
	// taken is closed once a successor serves.
	taken chan struct{}

	one sync.Mutex // one successor at a time
}

// handover is this gate's side, to be mounted on its admin socket.
func (a *app) handover(run func(string, func() error)) *handover {
	a.taken = make(chan struct{})
	return &handover{
		log:   a.log,
		free:  func(ctx context.Context) error { return a.freeOps(ctx) },
		back:  func() error { return a.listenOps(run) },
		taken: a.taken,
	}
}

// ServeHTTP keeps the connection, as an upgrade does, until the successor has
// said that it serves, or is gone.
func (h *handover) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.Header.Get("Upgrade") != "handover" {
		http.Error(w, "a successor asks with POST and Upgrade: handover", http.StatusBadRequest)
		return
	}
	if !h.one.TryLock() {
		http.Error(w, "another gate is already taking this one's place", http.StatusConflict)
		return
	}
	if !h.giveWay(w, r) {
		h.one.Unlock() // else never: a gate is succeeded once
	}
}

func (h *handover) giveWay(w http.ResponseWriter, r *http.Request) bool {
	if err := h.free(r.Context()); err != nil {
		h.resume("the ops port cannot be given up", err)
		http.Error(w, "the ops port cannot be given up", http.StatusInternalServerError)
		return false
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		h.resume("a successor cannot be answered", err)
		return false
	}
	defer conn.Close()
	if err := h.exchange(conn, rw); err != nil {
		h.resume("the successor did not get as far as serving", err)
		return false
	}
	h.log.Info("a successor serves in this gate's place")
	close(h.taken)
	return true
}

func (h *handover) exchange(conn net.Conn, rw *bufio.ReadWriter) error {
	if err := conn.SetDeadline(time.Now().Add(handoverLimit)); err != nil {
		return err
	}
	if _, err := rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: handover\r\n\r\n" + lineFree + "\n"); err != nil {
		return err
	}
	if err := rw.Flush(); err != nil {
		return err
	}
	switch line, err := rw.ReadString('\n'); {
	case err != nil:
		return err
	case line != lineTaken+"\n":
		return fmt.Errorf("the successor said %.20q", line)
	}
	return nil
}

func (h *handover) resume(why string, err error) {
	h.log.Error(why+"; this gate goes on", "error", err)
	if err := h.back(); err != nil {
		h.log.Error("the ops port cannot be had again; health and metrics are out of reach until a restart", "error", err)
	}
}

// predecessor is the successor's side of the exchange: the gate whose place is
// being taken. nil is none.
type predecessor struct {
	conn net.Conn
}

// errGateThere is what a second gate gets that was not told to take the place.
var errGateThere = errors.New("another gate serves with this configuration; stop it first, or take its place without a lost request with -replace")

// askPredecessor asks the gate behind the admin socket for its place. Where none
// answers it returns nil; without replace one that does is an error.
func askPredecessor(ctx context.Context, socket string, replace bool) (*predecessor, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "unix", socket)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil // none was here, or it has left its socket behind
	}
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", socket, err)
	}
	p := &predecessor{conn: conn}
	if !replace {
		return nil, errors.Join(fmt.Errorf("%s: %w", socket, errGateThere), p.Close())
	}
	if err := p.ask(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("the gate at %s does not give its place up: %w", socket, err), p.Close())
	}
	return p, nil
}

func (p *predecessor) ask(ctx context.Context) error {
	if err := p.conn.SetDeadline(time.Now().Add(handoverLimit)); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gate"+handoverPath, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "handover")
	if err := req.Write(p.conn); err != nil {
		return err
	}
	r := bufio.NewReader(p.conn)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		_ = resp.Body.Close()
		return fmt.Errorf("it answers %s", resp.Status)
	}
	if line, err := r.ReadString('\n'); err != nil || line != lineFree+"\n" {
		return errors.Join(err, fmt.Errorf("it says %.20q", line))
	}
	return nil
}

// Taken tells the predecessor that this gate serves.
func (p *predecessor) Taken() error {
	if p == nil {
		return nil
	}
	_, err := p.conn.Write([]byte(lineTaken + "\n"))
	return err
}

// Close ends the exchange; before Taken it makes the predecessor go on.
func (p *predecessor) Close() error {
	if p == nil {
		return nil
	}
	return p.conn.Close()
}
