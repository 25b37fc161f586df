package decisionlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// cursor reads JSON without making anything that is not asked for: to replay
// ten million records, reading must not take much longer than deciding. Texts
// without escapes are parts of the line.
type cursor struct {
	s     string
	i     int
	depth int
	err   error

	shared *Shared // nil shares nothing
}

const maxDepth = 64

var errDepth = errors.New("nests deeper than 64")

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("byte %d: %s", c.i+1, fmt.Sprintf(format, args...))
	}
	c.i = len(c.s)
}

func (c *cursor) space() {
	for c.i < len(c.s) && (c.s[c.i] == ' ' || c.s[c.i] == '\n' || c.s[c.i] == '\t' || c.s[c.i] == '\r') {
		c.i++
	}
}

// peek returns the next byte that is no space, 0 at the end.
func (c *cursor) peek() byte {
	c.space()
	if c.i < len(c.s) {
		return c.s[c.i]
	}
	return 0
}

func (c *cursor) expect(b byte) bool {
	if c.peek() != b {
		c.fail("want %q", b)
		return false
	}
	c.i++
	return true
}

// fields yields the keys of an object; the consumer must read each value.
func (c *cursor) fields(yield func(key string) bool) {
	if !c.expect('{') || !c.enter() {
		return
	}
	defer func() { c.depth-- }()
	if c.peek() == '}' {
		c.i++
		return
	}
	for {
		key := c.text()
		if !c.expect(':') || !yield(key) {
			return
		}
		switch c.peek() {
		case ',':
			c.i++
		case '}':
			c.i++
			return
		default:
			c.fail("want , or }")
			return
		}
	}
}

// elements yields once for each element, which the consumer must read.
func (c *cursor) elements(yield func(i int) bool) {
	if !c.expect('[') || !c.enter() {
		return
	}
	defer func() { c.depth-- }()
	if c.peek() == ']' {
		c.i++
		return
	}
	for i := 0; ; i++ {
		if !yield(i) {
			return
		}
		switch c.peek() {
		case ',':
			c.i++
		case ']':
			c.i++
			return
		default:
			c.fail("want , or ]")
			return
		}
	}
}

func (c *cursor) enter() bool {
	if c.depth++; c.depth > maxDepth {
		c.err = errDepth
		c.i = len(c.s)
		return false
	}
	return true
}

// text reads a string.
func (c *cursor) text() string {
	if !c.expect('"') {
		return ""
	}
	start := c.i
	for c.i < len(c.s) {
		switch b := c.s[c.i]; {
		case b == '"':
			c.i++
			return c.s[start : c.i-1]
		case b == '\\':
			return c.escaped(start)
		case b < 0x20:
			c.fail("a control character in a string")
			return ""
		}
		c.i++
	}
	c.fail("a string without end")
	return ""
}

// escaped reads on in a string at its first escape.
func (c *cursor) escaped(start int) string {
	var b strings.Builder
	b.WriteString(c.s[start:c.i])
	for c.i < len(c.s) {
		switch x := c.s[c.i]; {
		case x == '"':
			c.i++
			return b.String()
		case x < 0x20:
			c.fail("a control character in a string")
			return ""
		case x != '\\':
			b.WriteByte(x)
			c.i++
			continue
		}
		if !c.escape(&b) {
			return ""
		}
	}
	c.fail("a string without end")
	return ""
}

func (c *cursor) escape(b *strings.Builder) bool {
	if c.i++; c.i >= len(c.s) {
		c.fail("a string without end")
		return false
	}
	x := c.s[c.i]
	c.i++
	if x == 'u' {
		r := c.unit()
		if utf16.IsSurrogate(r) {
			if strings.HasPrefix(c.s[c.i:], `\u`) {
				c.i += 2
				r = utf16.DecodeRune(r, c.unit())
			} else {
				r = utf8.RuneError
			}
		}
		b.WriteRune(r)
		return c.err == nil
	}
	at := strings.IndexByte(`"\/bfnrt`, x)
	if at < 0 {
		c.fail("an escape that JSON does not have")
		return false
	}
	b.WriteByte("\"\\/\b\f\n\r\t"[at])
	return true
}

func (c *cursor) unit() rune {
	if c.i+4 > len(c.s) {
		c.fail("a string without end")
		return utf8.RuneError
	}
	n, err := strconv.ParseUint(c.s[c.i:c.i+4], 16, 16)
	if err != nil {
		c.fail("an escape that JSON does not have")
		return utf8.RuneError
	}
	c.i += 4
	return rune(n)
}

// number reads a number as it is spelt.
func (c *cursor) number() string {
	c.space()
	start := c.i
	for c.i < len(c.s) && strings.IndexByte("+-.0123456789eE", c.s[c.i]) >= 0 {
		c.i++
	}
	n := c.s[start:c.i]
	if !plainNumber(n) && !json.Valid([]byte(n)) {
		c.fail("want a number")
		return "0"
	}
	return n
}

func plainNumber(n string) bool {
	if n == "" || len(n) > 1 && n[0] == '0' {
		return false
	}
	for i := range len(n) {
		if n[i] < '0' || n[i] > '9' {
			return false
		}
	}
	return true
}

func (c *cursor) integer() int64 {
	n, err := strconv.ParseInt(c.number(), 10, 64)
	if err != nil {
		c.fail("want an integer")
	}
	return n
}

func (c *cursor) word(w string) bool {
	if strings.HasPrefix(c.s[c.i:], w) {
		c.i += len(w)
		return true
	}
	c.fail("want a JSON value")
	return false
}

func (c *cursor) boolean() bool {
	if c.peek() == 't' {
		return c.word("true")
	}
	c.word("false")
	return false
}

func (c *cursor) texts() []string {
	var out []string
	for range c.elements {
		out = append(out, c.text())
	}
	return out
}

// skip passes over a value.
func (c *cursor) skip() {
	switch c.peek() {
	case '{':
		for range c.fields {
			c.skip()
		}
	case '[':
		for range c.elements {
			c.skip()
		}
	case '"':
		c.text()
	case 't':
		c.word("true")
	case 'f':
		c.word("false")
	case 'n':
		c.word("null")
	default:
		c.number()
	}
}

// value reads any value; numbers are json.Number.
func (c *cursor) value() any {
	switch c.peek() {
	case '{':
		m := map[string]any{}
		for k := range c.fields {
			m[k] = c.value()
		}
		return m
	case '[':
		list := []any{}
		for range c.elements {
			list = append(list, c.value())
		}
		return list
	case '"':
		return c.text()
	case 't', 'f':
		return c.boolean()
	case 'n':
		c.word("null")
		return nil
	default:
		return json.Number(c.number())
	}
}

// null passes over a null and reports whether there was one.
func (c *cursor) null() bool { return c.peek() == 'n' && c.word("null") }

// raw passes over a value and returns its text.
func (c *cursor) raw() string {
	c.space()
	start := min(c.i, len(c.s))
	c.skip()
	return c.s[start:max(start, min(c.i, len(c.s)))]
}

// own reads a copy of a part of the line: what is kept must not hold on to it.
func (c *cursor) own(text string) *cursor {
	return &cursor{s: strings.Clone(text), depth: c.depth}
}
