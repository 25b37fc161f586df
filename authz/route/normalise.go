package route

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Normalise returns a path without its query as Envoy leaves it: dot segments
// resolved, in whatever spelling, then slashes merged; escapes of what needs none
// undone and what needs one escaped. The error is for what the edge answers 400
// to by itself.
func Normalise(p string) (string, error) {
	if !strings.HasPrefix(p, "/") {
		return "", fmt.Errorf("the path %q does not begin with a slash", clip(p))
	}
	if err := refusedAsWritten(p); err != nil {
		return "", err
	}
	var out []string
	segments := strings.Split(strings.ReplaceAll(p[1:], `\`, "/"), "/")
	for i, s := range segments {
		last := i == len(segments)-1
		dots, _, _ := strings.Cut(s, ";") // parameters of a dot segment go with it
		if spelt := respell(s); spelt == "." || spelt == ".." {
			dots = spelt
		} else if dots != "." && dots != ".." {
			out = append(out, spelt)
			continue
		}
		if dots == ".." && len(out) > 0 {
			out = out[:len(out)-1]
		}
		if last {
			out = append(out, "")
		}
	}
	clean := mergeSlashes("/" + strings.Join(out, "/"))
	if m := ambiguous.FindString(clean); m != "" {
		return "", fmt.Errorf("the path %q can be read in two ways: Envoy answers 400 to that by itself", clip(clean))
	}
	return clean, nil
}

// AmbiguousPaths is an RE2 expression that matches whole paths, as Envoy leaves
// them, that have no one meaning: upstreams decode them differently, or once
// more than the judge did. The edge refuses them before it looks for a route.
func AmbiguousPaths() string { return strings.Join(ambiguousPaths, "|") }

var ambiguousPaths = []string{
	// A percent sign that escapes nothing.
	`.*%([^0-9a-fA-F].*|.[^0-9a-fA-F].*|.?)`,
	// Control characters, overlong UTF-8, and escapes of what is escaped again:
	// %252f is a slash to whoever decodes twice.
	`.*%([01].|7[fF]|[cC][01]|25(2[5eEfF]|5[cC]|00|3[bB])).*`,
	// "..;" is ".." to servers that take path parameters off.
	`.*/\.{1,2}(;|%3[bB]).*`,
}

var ambiguous = regexp.MustCompile(whole(AmbiguousPaths()))

// refusedAsWritten is what Envoy refuses before it normalises.
func refusedAsWritten(p string) error {
	for i := range len(p) {
		switch c := p[i]; {
		case c <= ' ' || c == 0x7f:
			return errors.New("the path has a space or control character; escape it")
		case c > 0x7f:
			return errors.New("the path has a character outside ASCII; escape it")
		case c == '%' && i+2 < len(p):
			switch strings.ToLower(p[i+1 : i+3]) {
			case "2f", "5c":
				return errors.New("the path has an escaped slash: Envoy answers 400 to that by itself")
			case "00":
				return errors.New("the path has an escaped NUL: Envoy answers 400 to that by itself")
			}
		}
	}
	return nil
}

// mergeSlashes is Envoy's, which leaves two where there is nothing else.
func mergeSlashes(p string) string {
	if !strings.Contains(p, "//") {
		return p
	}
	parts := strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
	end := ""
	if strings.HasSuffix(p, "/") {
		end = "/"
	}
	return "/" + strings.Join(parts, "/") + end
}

// respell gives every character of a segment the one spelling that it has after
// Envoy: unreserved ones (RFC 3986, 2.3) plain, those that URLs cannot hold
// escaped, the others as they came.
func respell(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			if d := unhex(s[i+1])<<4 | unhex(s[i+2]); unreserved(d) {
				b.WriteByte(d)
			} else {
				b.WriteString(s[i : i+3])
			}
			i += 2
			continue
		}
		if c == '%' {
			b.WriteByte(c) // doubled, so that what follows makes no escape of it
		}
		if strings.IndexByte("\"<>^`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func unreserved(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || strings.IndexByte("-._~", c) >= 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
