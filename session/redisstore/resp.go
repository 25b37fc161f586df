package redisstore

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Bounds on what the server may send to the feed.
const (
	maxText     = 16 << 10
	maxElements = 10_000_000 // of one push: a flushed batch of keys
	maxDepth    = 8
)

// reply is the beginning of one RESP3 value: aggregates are followed by n
// values more, which the caller reads or skips.
type reply struct {
	kind byte   // as on the wire
	text []byte // of strings and errors; valid until the next read
	n    int64  // of aggregates: how many values follow; -1 means null
}

// aggregate reports whether values follow.
func (r reply) aggregate() bool {
	switch r.kind {
	case '*', '~', '>', '%', '|':
		return r.n > 0
	}
	return false
}

// wire reads RESP3, see https://github.com/redis/redis-specifications.
type wire struct {
	r   *bufio.Reader
	buf []byte
}

func newWire(r io.Reader) *wire { return &wire{r: bufio.NewReaderSize(r, maxText)} }

// next reads one value's beginning.
func (w *wire) next() (reply, error) {
	line, err := w.r.ReadSlice('\n')
	if err != nil {
		return reply{}, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return reply{}, errors.New("not RESP: a line without its end")
	}
	kind, line := line[0], line[1:len(line)-2]
	switch kind {
	case '+', '-', ':', ',', '#', '(':
		return reply{kind: kind, text: line, n: -1}, nil
	case '_':
		return reply{kind: '_', n: -1}, nil
	case '$', '=', '!':
		n, err := strconv.ParseInt(string(line), 10, 64)
		switch {
		case err != nil || n < -1 || n > maxText:
			return reply{}, fmt.Errorf("not RESP: a string of %.20q bytes", line)
		case n == -1:
			return reply{kind: '_', n: -1}, nil
		}
		return w.bulk(kind, int(n))
	case '*', '~', '>', '%', '|':
		n, err := strconv.ParseInt(string(line), 10, 64)
		if err != nil || n < -1 || n > maxElements {
			return reply{}, fmt.Errorf("not RESP: an aggregate of %.20q values", line)
		}
		if n > 0 && (kind == '%' || kind == '|') {
			n *= 2
		}
		return reply{kind: kind, n: n}, nil
	}
	return reply{}, fmt.Errorf("not RESP: a value of kind %q", kind)
}

func (w *wire) bulk(kind byte, n int) (reply, error) {
	if cap(w.buf) < n+2 {
		w.buf = make([]byte, n+2)
	}
	b := w.buf[:n+2]
	if _, err := io.ReadFull(w.r, b); err != nil {
		return reply{}, err
	}
	if b[n] != '\r' || b[n+1] != '\n' {
		return reply{}, errors.New("not RESP: a string without its end")
	}
	return reply{kind: kind, text: b[:n], n: -1}, nil
}

// skip reads the rest of a value.
func (w *wire) skip(r reply, depth int) error {
	if !r.aggregate() {
		return nil
	}
	if depth > maxDepth {
		return errors.New("not RESP: values nested too deep")
	}
	for range r.n {
		v, err := w.next()
		if err != nil {
			return err
		}
		if err := w.skip(v, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// failure returns the error that the server answered with, if it did.
func (r reply) failure() error {
	if r.kind == '-' || r.kind == '!' {
		return fmt.Errorf("the server says %q", r.text)
	}
	return nil
}

// command writes a command as the server reads it.
func command(args ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b
}
