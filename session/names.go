package session

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on the names of roles and groups.
const (
	MaxNames      = 256
	MaxNameLength = 256
)

// CheckNames returns role or group names sorted and without duplicates. what
// ("role", "group") names them in errors. A name is refused if it is empty,
// longer than MaxNameLength bytes, not UTF-8, has a comma or a control
// character, or a space at an end: names reach upstreams joined by commas in
// one header, where "user,admin" would be read as two and a line break as a
// new header. So are more than MaxNames of them.
func CheckNames(what string, names []string) ([]string, error) {
	if len(names) > MaxNames {
		return nil, fmt.Errorf("%d %ss, at most %d are kept", len(names), what, MaxNames)
	}
	for _, n := range names {
		if err := checkName(n); err != nil {
			return nil, fmt.Errorf("%s name %q %w", what, clip(n), err)
		}
	}
	out := slices.Clone(names)
	slices.Sort(out)
	return slices.Compact(out), nil
}

func checkName(n string) error {
	switch {
	case n == "":
		return fmt.Errorf("is empty")
	case len(n) > MaxNameLength:
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(n), MaxNameLength)
	case isPlain(n):
		return nil
	case !utf8.ValidString(n):
		return fmt.Errorf("is not UTF-8")
	case strings.Contains(n, ","):
		return fmt.Errorf("has a comma, which separates names in headers")
	case strings.ContainsFunc(n, unicode.IsControl):
		return fmt.Errorf("has a control character")
	case strings.TrimSpace(n) != n:
		return fmt.Errorf("begins or ends with a space")
	}
	return nil
}

// isPlain reports whether a name is of visible ASCII without a comma, as most
// are, of which no more need be asked.
func isPlain(n string) bool {
	for i := range len(n) {
		if n[i] <= ' ' || n[i] > '~' || n[i] == ',' {
			return false
		}
	}
	return true
}

// clip shortens a name that somebody else chose, for an error text.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
