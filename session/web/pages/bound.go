package pages

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Most characters shown of what a client chose. Escaped, a character takes at
// most five bytes ("&#39;"), so the sum stays far below MaxRefusal.
const (
	maxPathShown  = 120
	maxHostShown  = 100
	maxEmailShown = 120
	maxRoleShown  = 40
	maxRolesShown = 5
	maxIDShown    = 64
	maxWhy        = 6
	maxWhyShown   = 140
	maxReturnTo   = 1000
)

// shown returns s as text that is safe to look at: valid UTF-8, at most max
// characters, and nothing invisible. Control characters and the marks that
// turn the direction of text could make a page say what it does not.
func shown(s string, max int) string {
	if plain(s, max) {
		return s
	}
	var b strings.Builder
	n := 0
	for _, c := range s {
		if n == max {
			b.WriteString("…")
			break
		}
		n++
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			c = '\uFFFD'
		}
		b.WriteRune(c)
	}
	return b.String()
}

func plain(s string, max int) bool {
	if len(s) > max {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// shownRoles returns roles as a list in words, "" for none.
func shownRoles(roles []string) string {
	rest := 0
	if len(roles) > maxRolesShown {
		roles, rest = roles[:maxRolesShown], len(roles)-maxRolesShown
	}
	out := make([]string, len(roles))
	for i, role := range roles {
		out[i] = shown(role, maxRoleShown)
	}
	s := strings.Join(out, ", ")
	if rest > 0 {
		s += " and others"
	}
	return s
}

// Shown returns what is shown of an email, or of another text that somebody
// chose.
func Shown(s string) string { return shown(s, maxEmailShown) }
