package main

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

// going is a command that goes on until it is stopped.
type going struct {
	*testing.T
	lines chan string // of both outputs
	code  chan int
	stop  func()
}

func goOn(t *testing.T, args ...string) *going {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, w := io.Pipe()
	g := &going{T: t, lines: make(chan string, 1000), code: make(chan int, 1), stop: cancel}
	go func() {
		defer close(g.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			g.lines <- s.Text()
		}
	}()
	go func() {
		g.code <- run(ctx, args, streams{strings.NewReader(""), w, w})
		_ = w.Close()
	}()
	return g
}

// await passes over lines up to one with text.
func (g *going) await(text string) {
	g.Helper()
	limit := time.After(2 * time.Minute)
	for {
		select {
		case line, ok := <-g.lines:
			if !ok {
				g.Fatalf("ended before %q", text)
			}
			if strings.Contains(line, text) {
				return
			}
		case <-limit:
			g.Fatalf("never said %q", text)
		}
	}
}

// interrupt wants it to end well, as after Ctrl-C.
func (g *going) interrupt() {
	g.Helper()
	g.stop()
	select {
	case c := <-g.code:
		if c != exitOK {
			g.Errorf("ended with code %d", c)
		}
	case <-time.After(time.Minute):
		g.Fatal("did not end")
	}
}
