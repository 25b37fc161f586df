package config

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// tcpScheme starts an address that is no Unix socket.
const tcpScheme = "tcp://"

// ListenTLS are the certificates of the TCP listeners, as PEM files that are
// read again when they change.
type ListenTLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// ClientCA vouches for those that may connect, and ClientName is theirs: a
	// DNS name or URI of their certificate, or several with commas.
	ClientCA   string `yaml:"client_ca"`
	ClientName string `yaml:"client_name"`
}

// TCP returns the host:port of a listener, or false if it is a Unix socket.
func TCP(listener string) (address string, ok bool) { return strings.CutPrefix(listener, tcpScheme) }

// ClientNames are those that may connect.
func (t *ListenTLS) ClientNames() []string { return splitList(t.ClientName) }

// splitList reads a list with commas, which environment variables can hold.
func splitList(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// checkListen makes sure that no TCP listener is there without certificates on
// both sides: who can call the checks can ask for anybody, and who can call the
// pages is believed about the client's address. On loopback too: every account
// on the machine reaches that, while a Unix socket has a mode.
func (c *Config) checkListen() error {
	l, ports := &c.Listen, map[uint16]string{}
	for _, s := range []struct{ key, value string }{{"listen.authz", l.Authz}, {"listen.leash", l.Leash}, {"listen.http", l.HTTP}, {"listen.ads", l.ADS}} {
		address, ok := TCP(s.value)
		if !ok {
			if s.key == "listen.ads" && s.value != "" {
				return c.errf(s.key, "is on TCP, as tcp://0.0.0.0:9445; a Unix socket of the discovery service is named by envoy.ads alone")
			}
			if scheme, _, found := strings.Cut(s.value, "://"); found {
				return c.errf(s.key, "has the scheme %q; give the path of a Unix socket or tcp://ADDRESS:PORT", scheme)
			}
			continue
		}
		a, err := netip.ParseAddrPort(address)
		if err != nil || a.Port() == 0 {
			return c.errf(s.key, "%q is no address; write it as tcp://0.0.0.0:9443", s.value)
		}
		// Listeners of one port may share it here (see SO_REUSEPORT), and then
		// each would get some of the other's connections.
		if other := ports[a.Port()]; other != "" {
			return c.errf(s.key, "has the port of %s; choose another", other)
		}
		ports[a.Port()] = s.key
	}
	if _, ok := TCP(l.Admin); ok {
		return c.errf("listen.admin", "is a Unix socket always: its mode is what keeps others out")
	}
	return c.checkListenTLS(len(ports) > 0)
}

func (c *Config) checkListenTLS(needed bool) error {
	t := &c.Listen.TLS
	if !needed {
		if *t != (ListenTLS{}) {
			return c.errf("listen.tls", "is for TCP listeners, and there are none; write listen.authz as tcp://ADDRESS:PORT or take it out")
		}
		return nil
	}
	for _, s := range []struct{ key, value, what string }{
		{"cert", t.Cert, "the PEM file of the gate's certificate"}, {"key", t.Key, "the PEM file of its key"},
		{"client_ca", t.ClientCA, "the PEM file of the authority of those that may connect"},
		{"client_name", t.ClientName, "the name in Envoy's certificate: whoever connects can ask for anybody, so that no other certificate of the authority may"},
	} {
		if s.value == "" {
			return c.errf("listen.tls."+s.key, "is empty, and TCP listeners need it: %s (gate certs makes them)", s.what)
		}
	}
	for _, n := range t.ClientNames() {
		if !certificateName(n) {
			return c.errf("listen.tls.client_name", "%q is no DNS name and no URI such as spiffe://cluster/envoy", n)
		}
	}
	if len(t.ClientNames()) == 0 {
		return c.errf("listen.tls.client_name", "names nobody")
	}
	return nil
}

func certificateName(s string) bool {
	if u, err := url.Parse(s); err == nil && u.Scheme != "" && u.Host != "" {
		return len(s) <= 255
	}
	_, err := netip.ParseAddr(s)
	return err != nil && len(s) <= 253 && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" && !slices.Contains(strings.Split(s, "."), "")
}

// complete makes paths absolute and fills in the leash: beside the checks, or
// where those are on TCP beside the admin socket.
func (l *Listen) complete(dir string) {
	for _, p := range []*string{&l.Authz, &l.Leash, &l.HTTP, &l.Admin, &l.TLS.Cert, &l.TLS.Key, &l.TLS.ClientCA} {
		if _, tcp := TCP(*p); *p != "" && !tcp && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	if l.Leash != "" {
		return
	}
	beside := l.Authz
	if _, tcp := TCP(beside); tcp {
		beside = l.Admin
	}
	l.Leash = filepath.Join(filepath.Dir(beside), "leash.sock")
}
