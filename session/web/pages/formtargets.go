package pages

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// maxFormTargets bounds, in bytes, what form-action lists. Proxies between the
// gate and browsers take 8 KiB of headers, some 4; a routes file can have
// thousands of hosts.
const maxFormTargets = 4 << 10

// formSources gives the sources of form-action for origins: these, or, when they
// are too many, their registrable domains with all below them, or, when those
// are, their schemes. form-action keeps injected markup from sending a form
// elsewhere; the gate itself never redirects to what the routes file lacks.
func formSources(origins []string) []string {
	if fits(origins) {
		return origins
	}
	domains := narrowed(origins, domainSources)
	if fits(domains) {
		return domains
	}
	return narrowed(origins, func(u *url.URL) []string { return []string{u.Scheme + ":"} })
}

func fits(sources []string) bool {
	n := 0
	for _, s := range sources {
		n += len(s) + 1
	}
	return n <= maxFormTargets
}

// narrowed lists what of gives for each origin, once.
func narrowed(origins []string, of func(*url.URL) []string) []string {
	var list []string
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil {
			continue // SetFormTargets refuses it
		}
		list = append(list, of(u)...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// domainSources are an origin's registrable domain and everything below it, on
// the origin's port. An address is itself.
func domainSources(u *url.URL) []string {
	host := strings.TrimPrefix(u.Hostname(), "*.")
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if _, ip := netip.ParseAddr(host); ip == nil || err != nil {
		return []string{u.Scheme + "://" + u.Host}
	}
	at := func(host string) string {
		if p := u.Port(); p != "" {
			host = net.JoinHostPort(host, p)
		}
		return u.Scheme + "://" + host
	}
	if host == domain && !strings.HasPrefix(u.Hostname(), "*") {
		return []string{at(domain)}
	}
	return []string{at("*." + domain)}
}
