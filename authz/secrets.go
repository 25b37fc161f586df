package authz

import (
	"net/url"
	"slices"
	"strings"
)

const (
	// minSecret is how long a secret is that is looked for in other texts: a
	// shorter one would mask what only looks like it.
	minSecret = 8
	// maxSecrets is how many are looked for one by one. One request can have
	// thousands of parameters that are called secret: to look for each of them in
	// each text would take seconds.
	maxSecrets = 32
)

// Secrets are those of one request, by their values: who sent it, or a policy, may
// have copied one into another text. The zero value has none. Not safe for
// concurrent use.
type Secrets struct {
	// path is the request's, with its query; shown is what of it may be seen.
	path, shown string
	inPath      bool     // they differ
	list        []string // longest first, or a part would be masked out of the whole
	// starts are what those begin with for which list has no room.
	starts map[string]struct{}
}

// Reset forgets all secrets.
func (s *Secrets) Reset() {
	clear(s.list)
	*s = Secrets{list: s.list[:0]}
}

// None reports whether Hide masks nothing but tokens.
func (s *Secrets) None() bool { return len(s.list) == 0 && !s.inPath }

// Path takes note of a request's path and query, and of the secrets in it.
func (s *Secrets) Path(path string) {
	s.path, s.shown = path, MaskAddress(path)
	if s.inPath = s.shown != path; s.inPath {
		s.Address(path)
	}
}

// InPath reports whether something of the path itself is masked.
func (s *Secrets) InPath() bool { return s.inPath }

// ShownPath is the path without its secrets and without what is noted.
func (s *Secrets) ShownPath() string {
	if s.None() {
		return s.shown
	}
	return s.hideNoted(s.shown)
}

// Address takes note of the secrets in an address.
func (s *Secrets) Address(address string) {
	if strings.IndexByte(address, '=') >= 0 || strings.IndexByte(address, '%') >= 0 {
		(&addressMask{secrets: s}).address(address)
	}
}

// Request takes note of all secrets of a request's path and headers, and returns a
// bit for each of the first 64 headers that SecretHeader knows.
func (s *Secrets) Request(r *Request) (secret uint64) {
	s.Path(r.Path)
	for i := range r.Headers {
		switch name, value := r.Headers[i].Name, r.Headers[i].Value; {
		case CommonHeader(name):
			if name == "referer" {
				s.Address(value)
			}
		case AddressHeader(name):
			s.Address(value)
		case SecretName(name):
			secret |= 1 << i
			s.Header(name, value)
		}
	}
	return secret
}

// Header takes note of what a header holds that SecretName knows, but for cookies:
// of those some are shown elsewhere, such as a user's id.
func (s *Secrets) Header(name, value string) {
	if name != "cookie" {
		s.credential(value)
	}
}

// credential takes note of a value without its scheme.
func (s *Secrets) credential(value string) {
	if _, credential, has := strings.Cut(value, " "); has {
		value = strings.TrimSpace(credential)
	}
	s.Add(value)
}

// Add takes note of a secret, and of what it is in an address.
func (s *Secrets) Add(value string) {
	if len(value) < minSecret || value == Masked {
		return
	}
	s.add(value)
	s.add(url.PathEscape(value))
	s.add(url.QueryEscape(value))
}

func (s *Secrets) add(value string) {
	at := 0
	for ; at < len(s.list) && len(s.list[at]) >= len(value); at++ {
		if s.list[at] == value {
			return
		}
	}
	if len(s.list) < maxSecrets {
		s.list = slices.Insert(s.list, at, value)
		return
	}
	if s.starts == nil {
		s.starts = map[string]struct{}{}
	}
	s.starts[value[:minSecret]] = struct{}{}
}

// Hide returns a text with Masked in place of tokens and of what is noted, and with
// the path as it may be seen in place of the path: in it are secrets that are too
// short to be looked for. From where one of too many secrets begins it masks all
// that follows.
func (s *Secrets) Hide(text string) string {
	if s.inPath {
		text = s.hidePath(text)
	}
	text, _ = MaskTokens(text)
	return s.hideNoted(text)
}

func (s *Secrets) hideNoted(text string) string {
	for _, secret := range s.list {
		if strings.Contains(text, secret) {
			text = strings.ReplaceAll(text, secret, Masked)
		}
	}
	if len(s.starts) == 0 {
		return text
	}
	for at := range len(text) - minSecret + 1 {
		if _, is := s.starts[text[at:at+minSecret]]; is {
			return text[:at] + Masked
		}
	}
	return text
}

// hidePath replaces the path, and either of its halves that has something masked.
func (s *Secrets) hidePath(text string) string {
	text = replaced(text, s.path, s.shown)
	path, query, _ := strings.Cut(s.path, "?")
	p, q, _ := strings.Cut(s.shown, "?")
	return replaced(replaced(text, path, p), query, q)
}

func replaced(text, was, shown string) string {
	if was == shown || len(text) < len(was) {
		return text
	}
	return strings.ReplaceAll(text, was, shown)
}
