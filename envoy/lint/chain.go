package lint

import (
	"regexp"
	"slices"
)

// chain is what the rules of routes need to know of the filters before them.
type chain struct {
	// authz are the names of the ext_authz filters that are on; routes turn them
	// off by these.
	authz []string
	// held are the names of ext_proc filters that hold streams.
	held []string
	// holds: one of them is on where a route does not turn it off.
	holds bool
	// unknown: the filters are not in this file.
	unknown bool
	// allow matches the headers that the check may set.
	allow []*regexp.Regexp
}

func (c *chain) checked() bool { return c == nil || len(c.authz) > 0 }

// settable reports whether the check may set a header.
func (c *chain) settable(h string) bool {
	return slices.ContainsFunc(c.allow, func(re *regexp.Regexp) bool { return re.MatchString(h) })
}

// harmless filters neither change what was judged nor where it goes.
var harmless = []string{
	"Cors", "LocalRateLimit", "RateLimit", "Buffer", "Compressor", "Decompressor", "CsrfPolicy", "RBAC", "HealthCheck", "HTTPFault", "GrpcStats",
	"BandwidthLimit", "AdmissionControl", "AdaptiveConcurrency", "Tap", "Router", "StatefulSession", "FileSystemBufferFilterConfig", "CacheConfig",
}

// changing filters may change a request: after the check, what is forwarded is
// not what was judged.
var changing = []string{
	"Lua", "LuaPerRoute", "Wasm", "HeaderMutation", "GrpcJsonTranscoder", "Config", "FilterConfig", "OAuth2", "JwtAuthentication",
	"CustomResponse", "GeoIp", "SetMetadata", "DynamicModuleFilter",
}

// filters judges the HTTP filters in their order.
func (l *linter) filters(list node) *chain {
	c := &chain{}
	for _, f := range list.list() {
		config := f.at("typed_config")
		t := config.typed()
		off := f.at("disabled").yes()
		after := len(c.authz) > 0
		switch {
		case t == "ExtAuthz":
			if off {
				l.add(Warning, "check_off", f.at("disabled"), "nobody is asked but on routes that turn the check on", "take it out; turn the check off at the routes that need none")
				continue
			}
			c.authz = append(c.authz, f.at("name").text())
			l.extAuthz(config.body(), c)
		case t == "ExternalProcessor":
			l.extProc(config.body(), after)
			if after {
				c.held, c.holds = append(c.held, f.at("name").text()), c.holds || !off
			}
		case slices.Contains(harmless, t):
		case slices.Contains(changing, t):
			if after && !off {
				l.add(Warning, "changed_after_check", f, t+" runs after the check and may change what was judged", "put it before ext_authz")
			}
		default:
			l.notJudged(f, t)
		}
	}
	return c
}

// extProc judges an external processor.
func (l *linter) extProc(p node, after bool) {
	if n := p.at("failure_mode_allow"); n.yes() {
		l.add(Error, "failure_mode_allow", n, "when the processor is away, requests and streams pass without it", "failure_mode_allow: false")
	}
	if n := p.at("observability_mode"); n.yes() {
		l.add(Note, "observability_mode", n, "this processor only looks; it can stop nothing", "")
		return
	}
	if !after {
		return
	}
	retain := p.at("route_cache_action").enum("DEFAULT", "CLEAR", "RETAIN") == "RETAIN" || p.at("disable_clear_route_cache").yes()
	rules := p.at("mutation_rules")
	if !retain && !rules.at("disallow_all").yes() {
		l.add(Error, "clear_route_cache", p.at("route_cache_action"), "after the check it may change a request so that another route matches, one that was not judged", "route_cache_action: RETAIN, and mutation_rules: {disallow_all: true}")
	} else if !rules.there() {
		l.add(Warning, "mutation_rules", rules, "after the check it may change most headers, identity's as well", "mutation_rules: {disallow_all: true}, or what it needs")
	}
}
