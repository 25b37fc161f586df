package lint

import (
	"fmt"
	"net/netip"
	"strings"
)

// collect finds listeners, clusters, route configs and the admin interface in
// whichever of the forms that Envoy reads or writes.
func (l *linter) collect(tree node) {
	l.used = map[string]bool{}
	if configs := tree.at("configs"); configs.there() {
		l.dump(configs)
		return
	}
	for _, r := range tree.at("resources").list() {
		l.resource(r)
	}
	l.resource(tree)
	l.bootstrap(tree)
}

// resource is one resource of a discovery response.
func (l *linter) resource(r node) {
	switch r.typed() {
	case "Listener":
		l.listeners = append(l.listeners, r)
	case "Cluster":
		l.cluster(r)
	case "RouteConfiguration":
		l.routes(r)
	}
}

func (l *linter) cluster(c node) { l.clusters[c.at("name").text()] = c }

func (l *linter) routes(r node) {
	name := r.at("name").text()
	if _, ok := l.routeConfigs[name]; !ok {
		l.order = append(l.order, name)
	}
	l.routeConfigs[name] = r
}

func (l *linter) bootstrap(b node) {
	l.listeners = append(l.listeners, b.at("static_resources", "listeners").list()...)
	for _, x := range b.at("static_resources", "clusters").list() {
		l.cluster(x)
	}
	l.admins = append(l.admins, b.at("admin"))
	for _, k := range []string{"lds_config", "cds_config", "ads_config"} {
		if x := b.at("dynamic_resources", k); x.there() {
			l.add(Note, "not_judged", x, "what Envoy gets from there is not in this file", "lint the files or the output of /config_dump as well")
		}
	}
}

// dump reads what /config_dump gives. What is active is judged; the bootstrap's
// static resources are there a second time.
func (l *linter) dump(configs node) {
	for _, c := range configs.list() {
		switch c.typed() {
		case "BootstrapConfigDump":
			l.admins = append(l.admins, c.at("bootstrap", "admin"))
		case "ListenersConfigDump":
			for _, x := range c.at("static_listeners").list() {
				l.listeners = append(l.listeners, x.at("listener"))
			}
			for _, x := range c.at("dynamic_listeners").list() {
				if active := x.at("active_state", "listener"); active.there() {
					l.listeners = append(l.listeners, active)
				}
			}
		case "ClustersConfigDump":
			for _, k := range []string{"static_clusters", "dynamic_active_clusters"} {
				for _, x := range c.at(k).list() {
					l.cluster(x.at("cluster"))
				}
			}
		case "RoutesConfigDump":
			// Static ones lie in their listener as well.
			for _, x := range c.at("dynamic_route_configs").list() {
				l.routes(x.at("route_config"))
			}
		}
	}
}

// loopback reports whether an address is reached from this machine alone; shown
// is what it is.
func loopback(address node) (local bool, shown string) {
	if p := address.at("pipe"); p.there() {
		return true, p.at("path").text()
	}
	if address.at("envoy_internal_address").there() {
		return true, "internal"
	}
	host := address.at("socket_address", "address").text()
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost", fmt.Sprint(host, ":", address.at("socket_address", "port_value").text())
}

func (l *linter) admin() {
	for _, a := range l.admins {
		address := a.at("address")
		if !address.there() {
			continue
		}
		if local, shown := loopback(address); !local {
			l.add(Error, "admin_open", address, "the admin interface at "+shown+" lets whoever reaches it stop Envoy, read its secrets and change its runtime",
				"use a pipe with mode 384 (0600), or 127.0.0.1")
		}
	}
}

// listener judges what listens and each filter chain of it.
func (l *linter) listener(x node) {
	l.report.Listeners++
	for _, f := range x.at("listener_filters").list() {
		if f.at("typed_config").typed() == "ProxyProtocol" {
			l.add(Warning, "proxy_protocol", f, "every client that connects directly may choose its own address by the PROXY protocol",
				"let only the load balancer reach this port, or take the filter out")
		}
	}
	chains := x.at("filter_chains").list()
	if d := x.at("default_filter_chain"); d.there() {
		chains = append(chains, d)
	}
	for _, c := range chains {
		for _, f := range c.at("filters").list() {
			config := f.at("typed_config")
			switch t := config.typed(); t {
			case "HttpConnectionManager":
				l.connectionManager(config.body())
			case "TcpProxy":
				l.add(Warning, "tcp_proxy", f, "connections here reach their upstream without any check", "use an http_connection_manager with ext_authz, or let no client reach this listener")
			default:
				l.notJudged(f, t)
			}
		}
	}
}

func (l *linter) notJudged(at node, typ string) {
	if typ == "" {
		typ = strings.TrimSpace(at.at("name").text() + " without a typed_config")
	}
	l.add(Note, "not_judged", at, "not judged: "+typ, "")
}
