package route

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var dnsName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// parseOrigin checks that s is an origin just as browsers send it (RFC 6454,
// 6.2) and returns its host. The message of the error ends with the mend.
func parseOrigin(s string) (host string, err error) {
	if s == "null" || s == "*" {
		return "", fmt.Errorf("%q is no origin of yours; name the origins one by one", s)
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is no origin; write it as https://name or http://name:port", clip(s))
	}
	if strings.Contains(u.Host, "*") {
		return "", fmt.Errorf("%q has a wildcard; name the hosts one by one", clip(s))
	}
	if u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#") {
		return "", fmt.Errorf("%q is more than an origin; leave out what follows the host and port", clip(s))
	}
	host = u.Hostname()
	if err := checkHost(host); err != nil {
		return "", fmt.Errorf("%q: %w", clip(s), err)
	}
	canonical := u.Scheme + "://" + host
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", fmt.Errorf("%q has no valid port; use 1 to 65535", clip(s))
		}
		if n == 443 && u.Scheme == "https" || n == 80 && u.Scheme == "http" {
			return "", fmt.Errorf("%q names the scheme's own port, which browsers leave out; leave it out", clip(s))
		}
		canonical += ":" + strconv.FormatUint(n, 10)
	}
	if canonical != s {
		return "", fmt.Errorf("%q is not as browsers write it; write %q", clip(s), canonical)
	}
	return host, nil
}

// parseHostOrigin is parseOrigin for the origin of a host of the file, which
// may begin with a wildcard in place of one or more labels; name keeps it.
func parseHostOrigin(s string) (name string, err error) {
	scheme, rest, wild := strings.Cut(s, "://*.")
	if !wild {
		return parseOrigin(s)
	}
	host, err := parseOrigin(scheme + "://" + rest)
	if err != nil {
		return "", fmt.Errorf("%q: apart from its wildcard: %w", clip(s), err)
	}
	if !strings.Contains(host, ".") {
		return "", fmt.Errorf("%q takes every name below a top-level domain; name at least two labels, as https://*.example.com", clip(s))
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", fmt.Errorf("%q: addresses have no names below them; write a name", clip(s))
	}
	return "*." + host, nil
}

// checkHost refuses what is neither a DNS name in lower case nor an IPv4
// address.
func checkHost(host string) error {
	switch {
	case host == "":
		return errors.New("the host is missing")
	case len(host) > 253:
		return errors.New("the host is longer than 253 characters")
	case host != strings.ToLower(host):
		return errors.New("write the host in lower case")
	case strings.Contains(host, ":"):
		return errors.New("IPv6 addresses cannot be hosts here; use a name")
	case !dnsName.MatchString(host):
		return errors.New("the host is no DNS name; use letters, digits, dashes and dots (names in other scripts as xn--…)")
	}
	return nil
}

// parseEndpoint reads "host:port" or "unix:/path".
func parseEndpoint(address string) (Endpoint, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		// sun_path holds 108 bytes with its final zero.
		if !strings.HasPrefix(path, "/") || len(path) > 107 || strings.ContainsRune(path, 0) {
			return Endpoint{}, errors.New("a Unix socket is unix:/absolute/path, at most 107 bytes")
		}
		return Endpoint{Socket: path}, nil
	}
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return Endpoint{}, fmt.Errorf("%q has no port; write host:port or unix:/path", clip(address))
	}
	host := address[:i]
	port, err := strconv.ParseUint(address[i+1:], 10, 16)
	if err != nil || port == 0 {
		return Endpoint{}, fmt.Errorf("%q has no valid port; use 1 to 65535", clip(address))
	}
	if bare, ok := strings.CutPrefix(host, "["); ok {
		ip, err := netip.ParseAddr(strings.TrimSuffix(bare, "]"))
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return Endpoint{}, fmt.Errorf("%q holds no IPv6 address", clip(address))
		}
		return Endpoint{Host: ip.String(), Port: uint16(port)}, nil
	}
	// Names of containers may hold underscores, which DNS names may not.
	if err := checkHost(strings.ReplaceAll(strings.ToLower(host), "_", "x")); err != nil {
		return Endpoint{}, fmt.Errorf("%q: %w; write host:port or unix:/path, without a scheme", clip(address), err)
	}
	return Endpoint{Host: host, Port: uint16(port)}, nil
}

// clip cuts a value to what fits a message.
func clip(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}
