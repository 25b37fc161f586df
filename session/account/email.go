package account

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/neosc/gate/session"
)

const (
	maxEmail = 254 // RFC 5321, section 4.5.3.1.3, without the angle brackets
	maxLocal = 64
	maxText  = 256
)

// NormalizeEmail returns the one spelling under which an address is stored and
// looked up: without spaces around it, in lower case. Only dot-atoms of ASCII
// before exactly one @ and host names after it are taken (RFC 5322 allows
// more): "a@evil.com@company.com" and quoted oddities are read differently by
// different programs, and upstreams are told this address. The error wraps
// session.ErrBadUser.
func NormalizeEmail(email string) (string, error) {
	if len(email) > 2*maxEmail {
		return "", badUser("email has %d bytes, at most %d are allowed", len(email), maxEmail)
	}
	// Before the case is folded: that turns the Kelvin sign into a k, and so
	// one address into another's.
	if strings.ContainsFunc(email, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return "", badUser("email %q: only ASCII is taken", email)
	}
	e := strings.ToLower(strings.Trim(email, " \t"))
	if len(e) > maxEmail {
		return "", badUser("email has %d bytes, at most %d are allowed", len(e), maxEmail)
	}
	if strings.Count(e, "@") != 1 {
		return "", badUser("email %q needs exactly one @", e)
	}
	local, domain, _ := strings.Cut(e, "@")
	if len(local) > maxLocal || !isDotAtom(local) {
		return "", badUser("email %q: before the @ want 1 to %d letters, digits and !#$%%&'*+-/=?^_`{|}~, with single dots between", e, maxLocal)
	}
	if !isHostName(domain) {
		return "", badUser("email %q: after the @ want a host name", e)
	}
	return e, nil
}

func badUser(format string, args ...any) error {
	return fmt.Errorf("%w: %s", session.ErrBadUser, fmt.Sprintf(format, args...))
}

func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for _, c := range []byte(atom) {
			if !isAlnum(c) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", rune(c)) {
				return false
			}
		}
	}
	return true
}

func isHostName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !isAlnum(c) && c != '-' {
				return false
			}
		}
	}
	return true
}

func isAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// checkText refuses a name that could not stand in a header or a log line.
func checkText(what, s string) error {
	if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, isControl) {
		return badUser("%s needs at most %d bytes of UTF-8 without control characters", what, maxText)
	}
	return nil
}

func isControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r <= 0x9f || r == '\u2028' || r == '\u2029'
}
