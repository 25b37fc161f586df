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
	list []string // longest first, or a part would be masked out of the whole
	// starts are what those begin with for which list has no room.
	starts map[string]struct{}
}

// Reset forgets all secrets.
func (s *Secrets) Reset() {
	clear(s.list)
	s.list, s.starts = s.list[:0], nil
}

// None reports whether Hide masks nothing but tokens.
func (s *Secrets) None() bool { return len(s.list) == 0 }

// Credential takes note of a header's value, without the scheme of its credential.
func (s *Secrets) Credential(value string) {
	if _, credential, has := strings.Cut(value, " "); has {
		value = strings.TrimSpace(credential)
	}
	s.Add(value)
}

// Add takes note of a secret, and of what it is in an address.
func (s *Secrets) Add(value string) {
	if len(value) < minSecret {
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

// Hide returns a text with Masked in place of tokens and of what is noted. From
// where one of too many secrets begins it masks all that follows.
func (s *Secrets) Hide(text string) string {
	text, _ = MaskTokens(text)
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
