package envoy

import (
	"bytes"
	"regexp"
	"slices"
)

// yamlOf writes JSON as YAML for people to read, keeping its order. It takes
// what protojson makes, in one pass: a YAML library needs four seconds for
// 10,000 routes.
func yamlOf(json []byte) []byte {
	w := &yamlWriter{in: json, out: make([]byte, 0, 2*len(json))}
	w.value(0, false)
	if n := len(w.out); n == 0 || w.out[n-1] != '\n' {
		w.out = append(w.out, '\n')
	}
	return w.out
}

type yamlWriter struct {
	in, out []byte
	at      int
}

// next skips blanks and returns the byte there.
func (w *yamlWriter) next() byte {
	for w.at < len(w.in) && (w.in[w.at] == ' ' || w.in[w.at] == '\n' || w.in[w.at] == '\t') {
		w.at++
	}
	if w.at == len(w.in) {
		return 0
	}
	return w.in[w.at]
}

// value writes the value that begins here. inline: something stands on the line
// already, a key or the dash of a list.
func (w *yamlWriter) value(depth int, afterKey bool) {
	switch w.next() {
	case '{':
		w.collection('}', depth, afterKey)
	case '[':
		w.collection(']', depth, afterKey)
	default:
		if afterKey {
			w.out = append(w.out, ' ')
		}
		w.out = append(append(w.out, w.scalar()...), '\n')
	}
}

// collection writes a mapping or a list. In a list, the first key of a mapping
// stands beside the dash.
func (w *yamlWriter) collection(end byte, depth int, afterKey bool) {
	w.at++
	if w.next() == end {
		w.at++
		w.out = append(w.out, map[byte]string{'}': "{}\n", ']': "[]\n"}[end]...)
		if afterKey {
			n := len(w.out) - 3
			w.out = slices.Insert(w.out, n, ' ')
		}
		return
	}
	if afterKey {
		w.out = append(w.out, '\n')
	}
	for first := true; ; first = false {
		if !first || afterKey {
			for range depth {
				w.out = append(w.out, ' ', ' ')
			}
		}
		if end == ']' {
			w.out = append(w.out, '-', ' ')
			w.value(depth+1, false)
		} else {
			w.next()
			w.out = append(append(w.out, w.scalar()...), ':')
			w.next()
			w.at++ // the colon
			w.value(depth+1, true)
		}
		c := w.next()
		w.at++
		if c != ',' {
			return
		}
	}
}

// plain is what YAML reads as text without quotes, with reserve: no word of it
// is a number, a date or a truth value.
var plain = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./-]*$`)

var words = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}

// scalar takes a string, number or word. A JSON string is a YAML string too.
func (w *yamlWriter) scalar() []byte {
	from := w.at
	if w.in[from] != '"' {
		for w.at < len(w.in) && bytes.IndexByte([]byte(",]} \n\t"), w.in[w.at]) < 0 {
			w.at++
		}
		return w.in[from:w.at]
	}
	for w.at++; w.in[w.at] != '"'; w.at++ {
		if w.in[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
	text := w.in[from+1 : w.at-1]
	if plain.Match(text) && !slices.Contains(words, string(bytes.ToLower(text))) {
		return text
	}
	return w.in[from:w.at]
}
