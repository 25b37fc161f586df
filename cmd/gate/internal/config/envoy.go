package config

import (
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// Envoy says how Envoy reaches the gate, and how it gets changes of the routes
// file.
type Envoy struct {
	// Files is the folder of the files that Envoy watches, which `gate envoy
	// files` prepares; empty means that Envoy has everything from its bootstrap.
	Files string `yaml:"files"`
	// ADS is the Unix socket on which the gate's discovery service gives Envoys
	// their routes and upstreams; not with Files. Where the service is on TCP
	// (listen.ads) it is where Envoy finds it, as the three below.
	ADS string `yaml:"ads"`
	// Admin is the Unix socket of Envoy's admin interface, by which the gate sees
	// whether Envoy took a change; envoy-admin.sock beside listen.authz.
	Admin string `yaml:"admin"`
	// Authz, Leash and HTTP (and ADS) are where Envoy finds the TCP listeners of those names,
	// HOST:PORT, several gates with commas; the listeners' own addresses if left
	// out.
	Authz string   `yaml:"authz"`
	Leash string   `yaml:"leash"`
	HTTP  string   `yaml:"http"`
	TLS   EnvoyTLS `yaml:"tls"`
}

// EnvoyTLS is who Envoy is to the gate over TCP, and whom it takes for the gate:
// PEM files by absolute paths, as Envoy sees them.
type EnvoyTLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// CA vouches for the gate, and Name is the gate's: a DNS name or URI of its
	// certificate, or several with commas.
	CA   string `yaml:"ca"`
	Name string `yaml:"name"`
}

// Names are those of the gate.
func (t *EnvoyTLS) Names() []string { return splitList(t.Name) }

// complete makes paths absolute and fills in the socket.
func (e *Envoy) complete(dir string, l *Listen) {
	if e.Admin == "" {
		beside := l.Authz
		if _, tcp := TCP(beside); tcp {
			beside = l.Admin
		}
		e.Admin = filepath.Join(filepath.Dir(beside), "envoy-admin.sock")
	}
	paths := []*string{&e.Files, &e.Admin}
	if l.ADS == "" {
		paths = append(paths, &e.ADS)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// Discovery reports whether the gate has a discovery service.
func (c *Config) Discovery() bool { return c.Envoy.ADS+c.Listen.ADS != "" }

// checkDelivery: Envoy has its routes in one way.
func (c *Config) checkDelivery() error {
	if c.Envoy.Files != "" && c.Discovery() {
		return c.errf("envoy.ads", "cannot be given with envoy.files: Envoy has its routes from one of them; take the other out")
	}
	if c.Listen.ADS == "" && len(c.Envoy.ADS) > maxSocketPath {
		return c.errf("envoy.ads", "is a path of %d bytes; Unix sockets take at most %d: choose a shorter folder, e.g. /run/neosc-gate", len(c.Envoy.ADS), maxSocketPath)
	}
	return nil
}

// Reach is how Envoy reaches one of the gate's listeners: a Unix socket, or
// addresses HOST:PORT.
type Reach struct {
	Socket    string
	Addresses []string
}

// ReachOf are the ways to the gate; ADS is empty without a discovery service.
type ReachOf struct{ Authz, Leash, HTTP, ADS Reach }

// Networked reports whether any of them leaves the Unix sockets.
func (r ReachOf) Networked() bool {
	return len(r.Authz.Addresses)+len(r.Leash.Addresses)+len(r.HTTP.Addresses)+len(r.ADS.Addresses) > 0
}

// Reach says how Envoy reaches this gate, or what it lacks for that. Gates that
// only others' Envoys ask lack it and are none the worse.
func (c *Config) Reach() (r ReachOf, err error) {
	for _, x := range []struct {
		key, listener, given string
		into                 *Reach
	}{
		{"authz", c.Listen.Authz, c.Envoy.Authz, &r.Authz}, {"leash", c.Listen.Leash, c.Envoy.Leash, &r.Leash}, {"http", c.Listen.HTTP, c.Envoy.HTTP, &r.HTTP},
	} {
		if *x.into, err = c.reach(x.key, x.listener, x.given); err != nil {
			return r, err
		}
	}
	if c.Listen.ADS == "" {
		r.ADS.Socket = c.Envoy.ADS
	} else if r.ADS, err = c.reach("ads", c.Listen.ADS, c.Envoy.ADS); err != nil {
		return r, err
	}
	if !r.Networked() {
		return r, nil
	}
	if r.Leash.Socket != "" && !local(r.Authz.Addresses) {
		return r, c.errf("listen.leash", "is a Unix socket, and the Envoy that asks at %s is elsewhere: streams would live on after their session has ended; give listen.leash (and envoy.leash) on TCP too", strings.Join(r.Authz.Addresses, ","))
	}
	return r, c.checkEnvoyTLS()
}

func (c *Config) reach(key, listener, given string) (Reach, error) {
	address, tcp := TCP(listener)
	if !tcp && given == "" {
		return Reach{Socket: listener}, nil
	}
	if given == "" {
		if a, err := netip.ParseAddrPort(address); err != nil || a.Addr().IsUnspecified() {
			return Reach{}, c.errf("envoy."+key, "is empty, and listen.%s is %s; say at which HOST:PORT Envoy finds it", key, listener)
		}
		given = address
	}
	list := splitList(given)
	for _, a := range list {
		host, port, ok := cutPort(a)
		if !ok || !certificateName(host) && !isAddress(host) {
			return Reach{}, c.errf("envoy."+key, "%q is no HOST:PORT", a)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return Reach{}, c.errf("envoy."+key, "%q has no port from 1 to 65535", a)
		}
	}
	return Reach{Addresses: list}, nil
}

func (c *Config) checkEnvoyTLS() error {
	t := &c.Envoy.TLS
	for _, s := range []struct{ key, value, what string }{
		{"cert", t.Cert, "the PEM file of Envoy's certificate"}, {"key", t.Key, "the PEM file of its key"},
		{"ca", t.CA, "the PEM file of the authority of the gate's certificate"}, {"name", t.Name, "the name in the gate's certificate"},
	} {
		if s.value == "" {
			return c.errf("envoy.tls."+s.key, "is empty, and Envoy reaches the gate over TCP: %s", s.what)
		}
		if s.key != "name" && !filepath.IsAbs(s.value) {
			return c.errf("envoy.tls."+s.key, "must be an absolute path, as Envoy sees it")
		}
	}
	for _, n := range t.Names() {
		if !certificateName(n) && !isAddress(n) {
			return c.errf("envoy.tls.name", "%q is no DNS name, address or URI such as spiffe://cluster/gate", n)
		}
	}
	if len(t.Names()) == 0 {
		return c.errf("envoy.tls.name", "names nobody")
	}
	return nil
}

// cutPort splits HOST:PORT; a host in brackets loses them.
func cutPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", false
	}
	return strings.Trim(s[:i], "[]"), s[i+1:], true
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func local(addresses []string) bool {
	for _, a := range addresses {
		host, _, _ := cutPort(a)
		ip, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
