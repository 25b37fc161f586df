package lint

// connectionManager judges the trust boundary: what a client may say, in which
// form it is looked at, and which filters look.
func (l *linter) connectionManager(h node) {
	c := l.filters(h.at("http_filters"))
	if c.checked() {
		l.paths(h)
		l.addresses(h)
		l.headers(h, c)
	}
	for _, u := range h.at("upgrade_configs").list() {
		if e := u.at("enabled"); !e.there() || e.yes() {
			l.add(Warning, "upgrade_everywhere", u, "every route takes this upgrade ("+u.at("upgrade_type").text()+"); what was upgraded is no request that a check sees",
				"write enabled: false here and turn it on at the routes that need it")
		}
	}
	if h.at("http_protocol_options", "allow_chunked_length").yes() {
		l.add(Error, "allow_chunked_length", h.at("http_protocol_options", "allow_chunked_length"), "a request with both Content-Length and chunks means one thing here and another upstream (smuggling)", "take it out")
	}
	l.tableOf(h, c)
}

// tableOf judges the routes, wherever they are.
func (l *linter) tableOf(h node, c *chain) {
	switch rds := h.at("rds"); {
	case h.at("route_config").there():
		l.routeConfig(h.at("route_config"), c)
	case rds.there():
		name := rds.at("route_config_name").text()
		l.used[name] = true
		if r, ok := l.routeConfigs[name]; ok {
			l.routeConfig(r, c)
			return
		}
		l.missing(c, h)
		l.add(Note, "not_judged", rds, "the routes "+name+" come from elsewhere and are not in this file", "lint them too, or the output of /config_dump, which has both")
	default:
		l.missing(c, h)
		l.notJudged(h.at("scoped_routes"), "scoped_routes")
	}
}

// missing reports a chain without a check.
func (l *linter) missing(c *chain, h node) {
	if c != nil && !c.checked() {
		l.add(Error, "no_check", h.at("http_filters"), "nobody is asked about requests here: there is no ext_authz filter, or it is disabled",
			"put envoy.filters.http.ext_authz before the router")
	}
}

func (l *linter) paths(h node) {
	if n := h.at("normalize_path"); !n.yes() {
		l.add(Error, "normalize_path", n, "/static/../admin matches what is open and reaches what is not", "normalize_path: true")
	}
	if n := h.at("merge_slashes"); !n.yes() {
		l.add(Error, "merge_slashes", n, "//admin matches no rule for /admin, and upstreams take it for that", "merge_slashes: true")
	}
	n := h.at("path_with_escaped_slashes_action")
	switch n.enum("IMPLEMENTATION_SPECIFIC_DEFAULT", "KEEP_UNCHANGED", "REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD") {
	case "REJECT_REQUEST", "UNESCAPE_AND_REDIRECT":
	case "UNESCAPE_AND_FORWARD":
		l.add(Warning, "escaped_slashes", n, "%2f becomes a slash after a client wrote none: what signs or caches paths disagrees with what is judged", "path_with_escaped_slashes_action: REJECT_REQUEST")
	default:
		l.add(Error, "escaped_slashes", n, "a%2f..%2fadmin is one segment to the check and a path to upstreams that decode it", "path_with_escaped_slashes_action: REJECT_REQUEST")
	}
	if !h.at("strip_any_host_port").yes() && !h.at("strip_matching_host_port").yes() {
		l.add(Warning, "host_port", h.at("strip_any_host_port"), "portal.example:8443 is another host than portal.example to routes and rules", "strip_any_host_port: true")
	}
	if n := h.at("strip_trailing_host_dot"); !n.yes() {
		l.add(Warning, "host_dot", n, "portal.example. is another host than portal.example to routes and rules", "strip_trailing_host_dot: true")
	}
}

func (l *linter) addresses(h node) {
	if n := h.at("use_remote_address"); !n.yes() {
		l.add(Error, "use_remote_address", n, "a client's X-Forwarded-For is believed: it chooses its address, and counts as internal by a private one, whose x-envoy-* headers are obeyed", "use_remote_address: true")
	}
	if hops, ok := h.at("xff_num_trusted_hops").number(); ok && hops > 0 {
		l.add(Note, "trusted_hops", h.at("xff_num_trusted_hops"), "addresses are those that the proxies in front report", "let no client reach this port but through them")
	}
	if n := h.at("original_ip_detection_extensions"); n.there() {
		l.add(Warning, "client_address", n, "the client's address is taken from the request", "take it out, and use use_remote_address and xff_num_trusted_hops")
	}
	if n := h.at("skip_xff_append"); n.yes() {
		l.add(Warning, "xff_append", n, "a client's X-Forwarded-For goes upstream as it came", "take it out")
	}
	if n := h.at("internal_address_config"); !n.there() {
		l.add(Warning, "internal_addresses", n, "clients with a private address count as internal: their x-envoy-* headers (retries, timeouts, hosts) are obeyed",
			"internal_address_config: {cidr_ranges: [{address_prefix: 0.0.0.0, prefix_len: 32}]}, which no client has")
	} else if n.at("unix_sockets").yes() {
		l.add(Note, "internal_addresses", n.at("unix_sockets"), "clients over Unix sockets count as internal", "")
	}
	n := h.at("forward_client_cert_details")
	switch n.enum("SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY") {
	case "SANITIZE", "SANITIZE_SET":
	default:
		l.add(Error, "client_cert_header", n, "a client's own X-Forwarded-Client-Cert is passed on as if Envoy had seen that certificate", "forward_client_cert_details: SANITIZE_SET, or SANITIZE")
	}
}

func (l *linter) headers(h node, c *chain) {
	n := h.at("common_http_protocol_options", "headers_with_underscores_action")
	switch n.enum("ALLOW", "REJECT_REQUEST", "DROP_HEADER") {
	case "REJECT_REQUEST", "DROP_HEADER":
	default:
		l.add(Error, "underscores", n, "X_Pomerium_Email passes what strips X-Pomerium-Email, and is the same header to CGI-style upstreams", "headers_with_underscores_action: REJECT_REQUEST")
	}
	l.stripping(h.at("early_header_mutation_extensions"), c)
}
