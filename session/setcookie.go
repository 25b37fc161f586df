package session

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// CookieSpec says how the session cookie is set. It is always HttpOnly,
// SameSite=Lax and Path=/.
type CookieSpec struct {
	// Name is a token of RFC 9110, for example "_pomerium".
	Name string
	// Domain is the parent of all hosts that share the session, with or
	// without its leading dot (".kappa4.com"), or "" for a host-only cookie.
	Domain string
	// Secure is left off on plain-http localhost alone.
	Secure bool
}

// maxVariants bounds how many cookies Expire expires; more than eight levels
// of paths and parent domains would only make the answer long.
const maxVariants = 24

// Validate says what is wrong with the settings, if anything is. A browser
// would drop such a cookie without a word, which looks like a sign-in loop.
func (c CookieSpec) Validate() error {
	if c.Name == "" || strings.ContainsFunc(c.Name, func(r rune) bool { return !isToken(r) }) {
		return fmt.Errorf("cookie name %q: want letters, digits and !#$%%&'*+-.^_`|~", clip(c.Name))
	}
	if strings.HasPrefix(c.Name, "__Host-") && (c.Domain != "" || !c.Secure) {
		return fmt.Errorf("cookie %s: the prefix __Host- needs Secure and no domain", c.Name)
	}
	if strings.HasPrefix(c.Name, "__Secure-") && !c.Secure {
		return fmt.Errorf("cookie %s: the prefix __Secure- needs Secure", c.Name)
	}
	if c.Domain == "" {
		return nil
	}
	d := c.bareDomain()
	if _, err := netip.ParseAddr(d); err == nil {
		return fmt.Errorf("cookie domain %q is an address; leave it empty", c.Domain)
	}
	if !strings.Contains(d, ".") {
		return fmt.Errorf("cookie domain %q has one label, which browsers refuse; want for example .example.com", c.Domain)
	}
	if err := checkDomain(d); err != nil {
		return fmt.Errorf("cookie domain %q: %w", clip(c.Domain), err)
	}
	return nil
}

func checkDomain(d string) error {
	if len(d) > 253 {
		return errors.New("longer than 253 bytes")
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 {
			return errors.New("a label is empty or longer than 63 bytes")
		}
		for _, r := range label {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
				return errors.New("want lower-case letters, digits and hyphens")
			}
		}
	}
	return nil
}

func isToken(r rune) bool {
	return r > ' ' && r < 0x7f && !strings.ContainsRune("()<>@,;:\\\"/[]?={}", r)
}

func (c CookieSpec) bareDomain() string { return strings.TrimPrefix(c.Domain, ".") }

// Set returns the Set-Cookie value that gives a browser the sealed value for
// maxAge, rounded to the second.
func (c CookieSpec) Set(value string, maxAge time.Duration) string {
	return c.line(value, c.Domain, "/") + "; Max-Age=" + strconv.FormatInt(int64(maxAge.Round(time.Second)/time.Second), 10)
}

// Expire returns the Set-Cookie values that rid a browser of every cookie of
// this name that it would send to host and path, whoever set it: host-only and
// for each parent domain down to Domain, at each path prefix. Any sibling host
// can toss a cookie for the parent domain or a longer path, which browsers
// send first and which hides ours. A host that is not below Domain gets the
// host-only variants. Send these before Set's, whose own variant must come
// last.
func (c CookieSpec) Expire(host, path string) []string {
	domains := append([]string{""}, c.domainsOf(host)...)
	paths := prefixesOf(path)
	out := make([]string, 0, min(len(domains)*len(paths), maxVariants))
	for _, p := range paths {
		for _, d := range domains {
			if len(out) == maxVariants {
				return out
			}
			out = append(out, c.line("", d, p)+"; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
		}
	}
	return out
}

// domainsOf returns host's parents from Domain to host itself, each a value
// for the Domain attribute.
func (c CookieSpec) domainsOf(host string) []string {
	d := c.bareDomain()
	if d == "" || (host != d && !strings.HasSuffix(host, "."+d)) || checkDomain(host) != nil {
		return nil
	}
	out := []string{c.Domain}
	for host != d {
		out = append(out, host)
		_, host, _ = strings.Cut(host, ".")
	}
	return out
}

// prefixesOf returns "/" and up to three longer prefixes of path, without and
// with a slash at the end: "/oauth2" and "/oauth2/" are two cookies.
func prefixesOf(path string) []string {
	out := []string{"/"}
	for i := 1; i < len(path) && len(out) < 7; i++ {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == ';' || c == ',' {
			return out
		}
		if path[i] == '/' {
			out = append(out, path[:i], path[:i+1])
		}
	}
	return out
}

func (c CookieSpec) line(value, domain, path string) string {
	var b strings.Builder
	b.WriteString(c.Name + "=" + value + "; Path=" + path)
	if domain != "" {
		b.WriteString("; Domain=" + domain)
	}
	if c.Secure {
		b.WriteString("; Secure")
	}
	b.WriteString("; HttpOnly; SameSite=Lax")
	return b.String()
}
