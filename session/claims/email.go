package claims

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// RFC 5321, section 4.5.3.1.
const (
	maxEmail = 254
	maxLocal = 64
)

// emailOf returns the address to show for a person and whether it may be told
// to upstreams. It is the first usable one of email, preferred_username and
// sub; the last two are often no address at all, and then never verified.
// email_verified speaks of the claim email alone.
func emailOf(c map[string]any, domains []string) (email string, verified bool) {
	for _, n := range []string{"email", "preferred_username", "sub"} {
		s, _ := c[n].(string)
		domain, isAddress := domainOf(s)
		switch {
		case isAddress:
			verified = n == "email" && saysVerified(c["email_verified"]) || inDomains(domain, domains)
			return lowerASCII(s), verified
		case n != "email" && printable(s, maxEmail) && !strings.Contains(s, "@"):
			return s, false
		}
	}
	return "", false
}

// saysVerified also takes the text that some providers send for the boolean.
func saysVerified(v any) bool { return v == true || v == "true" }

// domainOf returns the lower-case domain of a plain address. Whatever two
// programs could read differently is none: "a@evil.com@company.com" has two
// domains, quoted parts, comments and lists have as many as one likes.
func domainOf(s string) (domain string, ok bool) {
	local, domain, found := strings.Cut(s, "@")
	if !found || local == "" || len(local) > maxLocal || len(s) > maxEmail || !utf8.ValidString(s) {
		return "", false
	}
	if strings.ContainsFunc(local, notInLocal) {
		return "", false
	}
	domain = lowerASCII(domain)
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") || strings.ContainsFunc(label, notInLabel) {
			return "", false
		}
	}
	return domain, true
}

func notInLocal(r rune) bool {
	if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
		return false
	}
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune(`"(),:;<>@[\]`, r)
}

// notInLabel refuses all but ASCII: an internationalised domain comes as
// punycode, and letters that only look like ours would be read as ours by eye.
func notInLabel(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
}

// inDomains compares exactly.
func inDomains(domain string, domains []string) bool {
	return slices.ContainsFunc(domains, func(d string) bool { return lowerASCII(d) == domain })
}

// lowerASCII is not strings.ToLower, which makes a k of the Kelvin sign and so
// one address of another.
func lowerASCII(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, s)
}
