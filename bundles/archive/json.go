package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/neosc/gate/authz/engine"
)

// DecodeJSON reads one JSON text; numbers are json.Number. Unlike encoding/json
// it refuses an object that names a key twice: the last would win in silence, and
// with it a role or an hour that the author does not see. It is four times as
// fast as that package's tokens, and 10 MB of data are read while a gate serves.
// What would take more than 256 MiB of memory is refused too.
func DecodeJSON(text []byte) (any, error) { return decodeJSON(text, newBudget()) }

func decodeJSON(text []byte, b *budget) (any, error) {
	p := jsonParser{text: text, budget: b}
	v, err := p.value(0)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", 1+bytes.Count(text[:min(p.at, len(text))], []byte("\n")), err)
	}
	if p.blank(); p.at < len(text) {
		return nil, errors.New("more follows after the first JSON value")
	}
	return v, nil
}

type jsonParser struct {
	text   []byte
	at     int
	budget *budget
}

func (p *jsonParser) blank() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

// next is the first byte that is no blank, 0 at the end.
func (p *jsonParser) next() byte {
	if p.blank(); p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// unexpected says what stands where something else should.
func (p *jsonParser) unexpected(want string) error {
	if p.at >= len(p.text) {
		return io.ErrUnexpectedEOF
	}
	r, _ := utf8.DecodeRune(p.text[p.at:])
	return fmt.Errorf("%q stands where %s is expected", r, want)
}

func (p *jsonParser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	if err := p.budget.spend(costValue); err != nil {
		return nil, err
	}
	switch c := p.next(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.list(depth)
	case c == '"':
		s, err := p.quoted()
		if err == nil {
			err = p.budget.spend(len(s))
		}
		return s, err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case p.word("true"):
		return true, nil
	case p.word("false"):
		return false, nil
	case p.word("null"):
		return nil, nil
	}
	return nil, p.unexpected("a value")
}

func (p *jsonParser) word(w string) bool {
	if !bytes.HasPrefix(p.text[p.at:], []byte(w)) {
		return false
	}
	p.at += len(w)
	return true
}

func (p *jsonParser) object(depth int) (any, error) {
	m, room := map[string]any{}, 0
	if err := p.budget.spend(costObject); err != nil {
		return nil, err
	}
	for p.at++; ; {
		switch c := p.next(); {
		case c == '}' && len(m) == 0:
			p.at++
			return m, nil
		case c != '"':
			return nil, p.unexpected("a key")
		}
		k, err := p.quoted()
		if err != nil {
			return nil, err
		}
		if _, twice := m[k]; twice {
			return nil, fmt.Errorf("key %q is there twice", k)
		}
		if room, err = p.budget.member(k, len(m), room); err != nil {
			return nil, err
		}
		if p.next() != ':' {
			return nil, p.unexpected("a colon")
		}
		p.at++
		if m[k], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if end, err := p.after('}'); err != nil || end {
			return m, err
		}
	}
}

func (p *jsonParser) list(depth int) (any, error) {
	list := []any{}
	p.at++
	if p.next() == ']' {
		p.at++
		return list, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if end, err := p.after(']'); err != nil || end {
			return list, err
		}
	}
}

// after reads what follows a member: a comma, or the end.
func (p *jsonParser) after(close byte) (end bool, err error) {
	switch p.next() {
	case ',':
		p.at++
		return false, nil
	case close:
		p.at++
		return true, nil
	}
	return false, p.unexpected("a comma or " + string(close))
}

// quoted reads a string. One with escapes, or that is no UTF-8, is encoding/json's
// to read.
func (p *jsonParser) quoted() (string, error) {
	begin, plain := p.at, true
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			raw := p.text[begin+1 : p.at]
			p.at++
			if plain && utf8.Valid(raw) {
				return string(raw), nil
			}
			var s string
			err := json.Unmarshal(p.text[begin:p.at], &s)
			return s, err
		case c == '\\':
			plain = false
			p.at++ // whatever it is, it ends no string
		case c < ' ':
			return "", errors.New("a control character stands in a string; write it as \\u00XX")
		}
	}
	return "", io.ErrUnexpectedEOF
}

func (p *jsonParser) number() (any, error) {
	begin := p.at
	for p.at < len(p.text) && bytes.IndexByte([]byte("+-.eE0123456789"), p.text[p.at]) >= 0 {
		p.at++
	}
	raw := p.text[begin:p.at]
	if !json.Valid(raw) {
		return nil, fmt.Errorf("%.20q is no number", raw)
	}
	n := json.Number(raw)
	return n, errors.Join(checkNumber(n), p.budget.spend(len(n)))
}

func checkNumber(n json.Number) error {
	if !engine.ValidNumber(n) {
		return fmt.Errorf("number %.20s is out of range", n)
	}
	return nil
}
