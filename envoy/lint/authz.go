package lint

import (
	"strings"
)

// extAuthz judges the filter that asks.
func (l *linter) extAuthz(a node, c *chain) {
	for _, r := range []struct {
		field, rule, problem string
	}{
		{"failure_mode_allow", "failure_mode_allow", "when the gate is away or slow, everything passes"},
		{"clear_route_cache", "clear_route_cache", "headers that the check sets may make another route match, one that was not judged"},
		{"shadow_mode", "shadow_mode", "decisions are looked at and not obeyed"},
	} {
		if n := a.at(r.field); n.yes() {
			l.add(Error, r.rule, n, r.problem, r.field+": false")
		}
	}
	if n := a.at("validate_mutations"); !n.yes() {
		l.add(Error, "validate_mutations", n, "a value with CR and LF in an answer of the check splits the response", "validate_mutations: true")
	}
	status := a.at("status_on_error", "code")
	if code, ok := status.number(); ok && code < 400 {
		l.add(Error, "status_on_error", status, "when the gate is away, clients are told that all is well", "status_on_error: {code: 503}")
	} else if !status.there() {
		l.add(Warning, "status_on_error", a.at("status_on_error"), "when the gate is away, clients are told 403: browsers and caches take that for a decision", "status_on_error: {code: 503}")
	}
	if n := a.at("encode_raw_headers"); !n.yes() && a.at("grpc_service").there() {
		l.add(Warning, "encode_raw_headers", n, "repeated headers are joined with a comma before the check sees them, and bytes that are no UTF-8 change", "encode_raw_headers: true")
	}
	if n := a.at("with_request_body", "allow_partial_message"); n.yes() {
		l.add(Warning, "partial_body", n, "the check sees the beginning of a long body and upstreams the whole", "allow_partial_message: false")
	}
	l.enabled(a)
	l.mutations(a, c)
	l.service(a)
}

// enabled judges by what the filter can be off.
func (l *linter) enabled(a node) {
	denied := a.at("deny_at_disable", "default_value").yes()
	if n := a.at("filter_enabled", "default_value"); n.there() {
		share := float64(0)
		if v, ok := n.at("numerator").number(); ok {
			share = v
		}
		full := map[string]float64{"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}[n.at("denominator").enum("HUNDRED", "TEN_THOUSAND", "MILLION")]
		if share < full && !denied {
			l.add(Error, "filter_enabled", n, "the check is left out for a share of requests, which pass", "take filter_enabled out, or set deny_at_disable: {default_value: true, runtime_key: …}")
		} else if !denied {
			l.add(Warning, "filter_enabled", a.at("filter_enabled"), "the runtime can turn the check off, and then everything passes", "deny_at_disable: {default_value: true, runtime_key: …}")
		}
	}
	if n := a.at("filter_enabled_metadata"); n.there() && !denied {
		l.add(Error, "filter_enabled", n, "requests without that metadata are not checked, and pass", "take it out, or set deny_at_disable: {default_value: true, runtime_key: …}")
	}
}

// mutations judges what the answer of a check may change.
func (l *linter) mutations(a node, c *chain) {
	rules := a.at("decoder_header_mutation_rules")
	if re := l.regex(rules.at("allow_expression")); re != nil {
		c.allow = append(c.allow, re)
		for _, h := range []string{":path", ":method", ":authority", "host", "transfer-encoding", "content-length"} {
			if re.MatchString(h) {
				l.add(Error, "mutation_rules", rules.at("allow_expression"), "an answer of the check may change "+h+", and so what is asked of whom", "let it name identity headers, cookie and authorization alone")
				break
			}
		}
	}
	switch {
	case !rules.there():
		l.add(Warning, "mutation_rules", rules, "an answer of the check may change any header, :path as well", "decoder_header_mutation_rules: {disallow_all: true, allow_expression: …, disallow_is_error: true}")
	case !rules.at("disallow_all").yes():
		l.add(Warning, "mutation_rules", rules.at("disallow_all"), "what the rules do not name may be changed, :path as well", "disallow_all: true with an allow_expression")
	case !rules.at("disallow_is_error").yes():
		l.add(Warning, "mutation_rules", rules.at("disallow_is_error"), "a change that is not allowed is dropped in silence: identity may be missing upstream", "disallow_is_error: true")
	}
}

// service judges the way to the gate.
func (l *linter) service(a node) {
	g := a.at("grpc_service")
	if h := a.at("http_service"); h.there() {
		l.notJudged(h, "http_service: which headers its answers may set")
		return
	}
	if google := g.at("google_grpc"); google.there() {
		uri := google.at("target_uri").text()
		local := strings.HasPrefix(uri, "unix:") || strings.HasPrefix(uri, "127.") || strings.HasPrefix(uri, "localhost") || strings.HasPrefix(uri, "[::1]")
		if creds := google.at("channel_credentials"); !local && !creds.at("ssl_credentials").there() && !creds.at("google_default").there() {
			l.add(Error, "plaintext_check", google, "the check goes to "+uri+" unprotected: whoever is on the way decides and reads cookies", "channel_credentials with ssl_credentials, or a Unix socket")
		}
		return
	}
	name := g.at("envoy_grpc", "cluster_name")
	cluster, ok := l.clusters[name.text()]
	if !ok {
		l.add(Note, "not_judged", name, "the cluster "+name.text()+" is not in this file", "lint it too")
		return
	}
	l.checkCluster(cluster, g.at("retry_policy").there())
}

// checkCluster judges the cluster of the gate.
func (l *linter) checkCluster(c node, retries bool) {
	enough := false
	for _, t := range c.at("circuit_breakers", "thresholds").list() {
		if n, ok := t.at("max_retries").number(); ok && n > 3 && t.at("priority").enum("DEFAULT", "HIGH") == "DEFAULT" {
			enough = true
		}
	}
	if !enough {
		problem := "checks are not tried again when the gate is replaced (retry_policy is missing, and max_retries is 3)"
		if retries {
			problem = "at most 3 checks at a time are tried again, by default: of 2,000 requests 90 fail when a gate is replaced under load"
		}
		l.add(Warning, "max_retries", c.at("circuit_breakers"), problem, "thresholds: [{max_requests: 65536, max_retries: 1024}]")
	}
	tls := c.at("transport_socket", "typed_config")
	if tls.typed() == "UpstreamTlsContext" {
		l.verified(tls.body())
		return
	}
	for _, lo := range c.at("load_assignment", "endpoints").list() {
		for _, e := range lo.at("lb_endpoints").list() {
			address := e.at("endpoint", "address")
			if local, shown := loopback(address); !local {
				l.add(Error, "plaintext_check", address, "the check goes to "+shown+" unprotected: whoever is on the way decides and reads cookies", "a transport_socket with mTLS, or a Unix socket")
			}
		}
	}
}

// verified looks whether the gate's certificate is looked at.
func (l *linter) verified(tls node) {
	common := tls.at("common_tls_context")
	v := common.at("validation_context")
	if combined := common.at("combined_validation_context", "default_validation_context"); combined.there() {
		v = combined
	}
	switch {
	case common.at("validation_context_sds_secret_config").there():
		l.notJudged(common, "a validation context by SDS")
	case !v.at("trusted_ca").there() && !v.at("trust_chain_verification").there() && !v.at("system_root_certs").there() && !common.at("combined_validation_context").there():
		l.add(Error, "unverified_check", v, "the gate's certificate is not looked at: anybody on the way may decide", "validation_context: {trusted_ca: …, match_typed_subject_alt_names: …}")
	case len(v.at("match_typed_subject_alt_names").list()) == 0:
		l.add(Warning, "unverified_check", v.at("match_typed_subject_alt_names"), "any certificate of that CA may decide", "match_typed_subject_alt_names with the gate's name")
	}
	if v.at("trust_chain_verification").enum("VERIFY_TRUST_CHAIN", "ACCEPT_UNTRUSTED") == "ACCEPT_UNTRUSTED" {
		l.add(Error, "unverified_check", v.at("trust_chain_verification"), "any certificate may decide", "take it out")
	}
}
