package dev

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"
)

const (
	// tailLines and tailWidth bound what is remembered of a child's stderr.
	tailLines = 64
	tailWidth = 2048
)

// tail passes a child's stderr on and remembers its last lines, to say in one
// line why the child failed. Safe for concurrent use.
type tail struct {
	mu    sync.Mutex
	next  io.Writer
	part  []byte
	lines []string
}

func newTail(next io.Writer) *tail {
	if next == nil {
		next = io.Discard
	}
	return &tail{next: next}
}

// Write implements io.Writer. It never fails: a full log disk must not break
// the child's pipe.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.next.Write(p)
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		t.part = append(t.part, line[:min(len(line), max(0, tailWidth-len(t.part)))]...)
		if whole {
			t.push()
		}
		rest = after
	}
	return len(p), nil
}

func (t *tail) push() {
	if s := strings.TrimSpace(string(t.part)); s != "" {
		if len(t.lines) == tailLines {
			t.lines = append(t.lines[:0], t.lines[1:]...)
		}
		t.lines = append(t.lines, s)
	}
	t.part = t.part[:0]
}

// envoyLine is Envoy's default log format:
// [2026-03-05 10:15:30.123][42][critical][main] [source/server/server.cc:432] text
var envoyLine = regexp.MustCompile(`^\[[^]]*\]\[\d+\]\[(\w+)\]\[[^]]*\] (?:\[[^]]*\] )?(.*)$`)

// because returns ": " and the most telling of the last lines, or "".
func (t *tail) because() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.push()
	best, rank := "", -1
	for _, line := range t.lines {
		text, r := line, 0
		if m := envoyLine.FindStringSubmatch(line); m != nil {
			text = m[2]
			switch m[1] {
			case "critical":
				r = 3
			case "error":
				r = 2
			case "warning":
				r = 1
			}
		}
		// Of equally grave lines the first critical is the cause and those that
		// follow are its consequences ("exiting"); else the last word counts.
		if r > rank || (r == rank && r < 2) {
			best, rank = text, r
		}
	}
	if best == "" {
		return ""
	}
	return ": " + oneLine(best, 600)
}

// oneLine makes s fit for one line of a terminal: control characters become
// blanks, and it ends after limit bytes.
func oneLine(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) {
			return ' '
		}
		return r
	}, s)
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
