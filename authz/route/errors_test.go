package route_test

import (
	"strings"
	"testing"

	"github.com/neosc/gate/authz/route"
)

const minimal = `gate: http://gate.test:8080
upstreams: {app: 'app:3000'}
hosts:
- origin: http://gate.test:8080
  routes:
  - {name: gate, prefix: /, upstream: gate}
- origin: http://app.test:8080
  routes:
  - {name: app, prefix: /, upstream: app}
`

func TestEmptyFilesAreCalledEmpty(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n\n", "# nothing yet\n", "---\n"} {
		if _, err := route.Parse("routes.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "routes.yaml is empty; it needs gate") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Each case changes the minimal file once; the error names the line and the
// mend.
func TestErrorsNameLineAndMend(t *testing.T) {
	t.Parallel()
	app := "{name: app, prefix: /, upstream: app}"
	host := "origin: http://app.test:8080"
	for name, c := range map[string]struct{ old, fresh, want string }{
		"UnknownKey":           {"gate:", "gaet:", `routes.yaml:1: unknown key "gaet"; did you mean "gate"?`},
		"MissingGate":          {"gate: http://gate.test:8080\n", "", `the key "gate" is missing`},
		"GateIsNoHost":         {"gate: http://gate.test:8080", "gate: http://else.test", `routes.yaml:1: gate: no host has the origin "http://else.test"`},
		"GateIsNoOrigin":       {"gate: http://gate.test:8080", "gate: gate.test", `routes.yaml:1: gate: "gate.test" is no origin`},
		"GateWithoutRoute":     {"upstream: gate", "upstream: app", `routes.yaml:1: gate: the host "http://gate.test:8080" needs a route`},
		"OriginTwice":          {host, "origin: https://gate.test", `routes.yaml:7: origin: the host "gate.test" is already given`},
		"OriginWithPath":       {host, "origin: http://app.test/x", `is more than an origin`},
		"OriginWithSlash":      {host, "origin: http://app.test/", `is more than an origin`},
		"OriginWithUser":       {host, "origin: http://a@app.test", `is more than an origin`},
		"OriginUpperCase":      {host, "origin: http://App.test", `write the host in lower case`},
		"OriginDefaultPort":    {host, "origin: https://app.test:443", `leave it out`},
		"OriginPortZero":       {host, "origin: https://app.test:0", `1 to 65535`},
		"OriginPortPadded":     {host, "origin: https://app.test:08080", `write "https://app.test:8080"`},
		"OriginOtherScheme":    {host, "origin: ftp://app.test", `is no origin`},
		"OriginWildcard":       {host, "origin: https://a.*.app.test", `wildcard`},
		"OriginNull":           {host, "origin: 'null'", `is no origin of yours`},
		"OriginUnicode":        {host, "origin: http://ápp.test", `xn--`},
		"OriginIPv6":           {host, "origin: 'http://[::1]:8080'", `use a name`},
		"OriginEmptyLabel":     {host, "origin: http://app..test", `is no DNS name`},
		"NoRoutes":             {"routes:\n  - " + app, "routes: []", `routes.yaml:8: routes: the host has none`},
		"NameTwice":            {"name: app", "name: gate", `routes.yaml:9: name: another route is called "gate"`},
		"NameWithSpace":        {"name: app", "name: my app", `is no route name`},
		"NameReserved":         {"name: app", "name: _refused", `is no route name`},
		"UpstreamMisspelt":     {"upstream: app", "upstream: apps", `routes.yaml:9: upstream: there is none called "apps"; did you mean "app"?`},
		"UpstreamUnknown":      {"upstream: app", "upstream: elsewhere", `there are app, gate`},
		"UpstreamNamedGate":    {"{app: 'app:3000'}", "{app: 'app:3000', gate: 'x:1'}", `routes.yaml:2: upstreams: the name "gate" is taken`},
		"UpstreamNamedAuthz":   {"{app: 'app:3000'}", "{app: 'app:3000', authz: 'x:1'}", `is taken`},
		"UpstreamWithScheme":   {"app:3000", "http://app:3000", `without a scheme`},
		"UpstreamWithoutPort":  {"app:3000", "app", `has no port`},
		"UpstreamBadPort":      {"app:3000", "app:70000", `1 to 65535`},
		"UpstreamSocket":       {"app:3000", "unix:run/app.sock", `unix:/absolute/path`},
		"UpstreamSocketLong":   {"app:3000", "unix:/" + strings.Repeat("a", 107), `107 bytes`},
		"UpstreamBadIPv6":      {"app:3000", "[::zz]:1", `no IPv6`},
		"NoMatch":              {"prefix: /, upstream: app", "upstream: app", `routes.yaml:9: the route "app" has neither path nor prefix nor regex`},
		"PrefixWithSlash":      {"prefix: /, upstream: app", "prefix: /a/, upstream: app", `write "/a"`},
		"PrefixNotAbsolute":    {"prefix: /, upstream: app", "prefix: a, upstream: app", `begin with /`},
		"PrefixWithDots":       {"prefix: /, upstream: app", "prefix: /a/../b, upstream: app", `without //`},
		"PrefixEscaped":        {"prefix: /, upstream: app", "prefix: /a%2fb, upstream: app", `is no path`},
		"PathWithQuery":        {"prefix: /, upstream: app", "path: '/a?b', upstream: app", `is no path`},
		"PathTwice":            {"prefix: /, upstream: app", "path: [/a, /a], upstream: app", `the same match "path /a"`},
		"UpgradeUnknown":       {"upstream: app", "upstream: app, upgrades: [h2c]", `is not one of websocket, spdy/3.1`},
		"AllowedOriginStar":    {"upstream: app", "upstream: app, allowed_origins: ['*']", `routes.yaml:9: allowed_origins: "*"`},
		"TimeoutIsNumber":      {"upstream: app", "upstream: app, timeout: 30", `expected a duration such as "30s"`},
		"CORSStar":             {host, host + "\n  cors: {allow_origins: ['*']}", `routes.yaml:8: allow_origins: "*"`},
		"CORSEmpty":            {host, host + "\n  cors: {allow_origins: []}", `the list is empty`},
		"CORSMethod":           {host, host + "\n  cors: {allow_origins: [http://a.b], methods: [get]}", `methods are in capitals`},
		"CORSHeader":           {host, host + "\n  cors: {allow_origins: [http://a.b], headers: ['*']}", `is no header name`},
		"CORSMaxAge":           {host, host + "\n  cors: {allow_origins: [http://a.b], max_age: 48h}", `at most that`},
		"Listen":               {"upstreams:", "listen: localhost\nupstreams:", `routes.yaml:2: listen: "localhost" is no address`},
		"TrustedHops":          {"upstreams:", "trusted_hops: 99\nupstreams:", `use 0 to 16`},
		"CheckHeaderCase":      {"upstreams:", "check_headers: [X-A]\nupstreams:", `write it in lower case`},
		"CheckAndSet":          {"upstreams:", "check_headers: [x-pomerium-email]\nupstreams:", `routes.yaml:2: the header "x-pomerium-email" is both forwarded`},
		"SetAndCheckWildcard":  {"upstreams:", "set_headers: [x-req-*]\ncheck_headers: [x-req-a]\nupstreams:", `is both forwarded`},
		"CheckNeverArrives":    {"upstreams:", "check_headers: [x-forwarded-host]\nupstreams:", `never arrives`},
		"CheckOwnStrip":        {"upstreams:", "strip_headers: [x-a-*]\ncheck_headers: [x-a-b]\nupstreams:", `never arrives`},
		"StripsWhatGateNeeds":  {"upstreams:", "strip_headers: [user-agent]\nupstreams:", `routes.yaml:2: strip_headers: "user-agent" would take off user-agent`},
		"StripsFraming":        {"upstreams:", "strip_headers: [content-*]\nupstreams:", `would take off content-length`},
		"SetAlwaysForwarded":   {"upstreams:", "set_headers: [x-requested-with]\nupstreams:", `routes.yaml:2: the header "x-requested-with" is both`},
		"SetPath":              {"upstreams:", "set_headers: [':path']\nupstreams:", `is no header name`},
		"SetHost":              {"upstreams:", "set_headers: [host]\nupstreams:", `is not policy's to set`},
		"SetCookie":            {"upstreams:", "set_headers: [cookie]\nupstreams:", `is not policy's to set`},
		"SetEverything":        {"upstreams:", "set_headers: [x-*]\nupstreams:", `is not policy's to set`},
		"SetEnvoy":             {"upstreams:", "set_headers: [x-envoy-foo]\nupstreams:", `is not policy's to set`},
		"SetForwarded":         {"upstreams:", "set_headers: [x-forwarded-*]\nupstreams:", `is not policy's to set`},
		"SetWildcardInMiddle":  {"upstreams:", "set_headers: [x-*-id]\nupstreams:", `is no header name`},
		"ResponseSetCookie":    {"upstreams:", "response_headers: [set-cookie]\nupstreams:", `is not policy's to set`},
		"SetTooMany":           {"upstreams:", "set_headers: [" + manyHeaders() + "]\nupstreams:", `shorten the list`},
		"PolicyIsNoMapping":    {"upstream: app", "upstream: app, policy: [a]", `expected a mapping`},
		"AliasInPolicy":        {"upstream: app", "upstream: app, policy: {a: &x 1, b: *x}", `anchors and aliases`},
		"CheckHeadersEnvoySet": {"upstreams:", "check_headers: [x-envoy-original-path]\nupstreams:", `never arrives`},
		"OriginWildcardTop":    {host, "origin: https://*.test", `at least two labels`},
		"OriginWildcardIP":     {host, "origin: https://*.127.0.0.1", `addresses have no names`},
		"GateIsWildcard":       {"gate: http://gate.test:8080", "gate: http://*.gate.test:8080", `wildcard`},
		"LeadsNowhere":         {"prefix: /, upstream: app", "prefix: /", `routes.yaml:9: the route "app" leads nowhere; give it upstream, upstreams, redirect or respond`},
		"TwoActions":           {"upstream: app", "upstream: app, respond: {status: 200}", `take out upstream or respond`},
		"WeightsAllZero":       {"upstream: app", "upstreams: {app: 0}", `no weight is above 0`},
		"WeightTooLarge":       {"upstream: app", "upstreams: {app: 10001}", `use 0 to 10000`},
		"WeightedUnknown":      {"upstream: app", "upstreams: {app: 1, apps: 1}", `routes.yaml:9: upstream: there is none called "apps"; did you mean "app"?`},
		"WeightedGate":         {"upstream: app", "upstreams: {app: 1, gate: 1}", `cannot share a route`},
		"RedirectNowhere":      {"upstream: app", "redirect: {status: 301}", `leads back to where it came from`},
		"RedirectStatus":       {"upstream: app", "redirect: {path: /x, status: 200}", `use 301, 302, 303, 307 or 308`},
		"RedirectOrigin":       {"upstream: app", "redirect: {origin: 'http://x/y'}", `more than an origin`},
		"RedirectTimeout":      {"upstream: app", "redirect: {path: /x}, timeout: 1s", `routes.yaml:9: timeout: this route has no upstream`},
		"RedirectIdentity":     {"upstream: app", "redirect: {path: /x}, pass_identity_headers: true", `has no upstream`},
		"RespondStatus":        {"upstream: app", "respond: {status: 100}", `use 200 to 599`},
		"RespondBody":          {"upstream: app", "respond: {status: 200, body: " + strings.Repeat("x", 4097) + "}", `at most 4096`},
		"RespondType":          {"upstream: app", "respond: {status: 200, content_type: html}", `is no media type`},
		"RewriteEmpty":         {"upstream: app", "upstream: app, rewrite: {}", `rewrite: it is empty`},
		"RewriteBoth":          {"upstream: app", "upstream: app, rewrite: {path: /a, prefix: /b}", `take one out`},
		"RewriteHost":          {"upstream: app", "upstream: app, rewrite: {host: 'a:80'}", `rewrite.host: "a:80"`},
		"RewriteDots":          {"upstream: app", "upstream: app, rewrite: {path: /a/../b}", `rewrite.path: "/a/../b" is not as Envoy leaves paths`},
		"RewritePrefixSlash":   {"upstream: app", "upstream: app, rewrite: {prefix: /a/}", `rewrite.prefix: "/a/" ends with a slash`},
		"RewritePrefixOfRegex": {"prefix: /, upstream: app", "regex: '/a.*', upstream: app, rewrite: {prefix: /b}", `give rewrite.path`},
		"RewriteGate":          {"upstream: gate", "upstream: gate, rewrite: {path: /}", `the gate reads the address`},
		"TimeoutTooLong":       {"upstream: app", "upstream: app, timeout: 25h", `use 1ms to 24h`},
		"RetryAttempts":        {"upstream: app", "upstream: app, retries: {attempts: 9}", `use 1 to 5`},
		"RetryOn":              {"upstream: app", "upstream: app, retries: {attempts: 1, on: [always]}", `"always" is not one of`},
		"RetryStatus":          {"upstream: app", "upstream: app, retries: {attempts: 1, on: ['200']}", `"200" is not one of`},
		"RetryPerTry":          {"upstream: app", "upstream: app, timeout: 1s, retries: {attempts: 1, per_try_timeout: 1s}", `leaves no time`},
		"RegexSyntax":          {"prefix: /, upstream: app", "regex: '/a(', upstream: app", `routes.yaml:9: regex: "/a(" is no RE2 expression`},
		"RegexLookahead":       {"prefix: /, upstream: app", "regex: '/a(?!b)', upstream: app", `is no RE2 expression`},
		"RegexAnchor":          {"prefix: /, upstream: app", "regex: '^/a$', upstream: app", `leave them out`},
		"RegexWithoutSlash":    {"prefix: /, upstream: app", "regex: 'a.*', upstream: app", `write /a.*`},
		"RegexLarge":           {"prefix: /, upstream: app", "regex: '/[a-z]{900}', upstream: app", `too large for Envoy`},
		"RegexTooLong":         {"prefix: /, upstream: app", "regex: /" + strings.Repeat("a", 256) + ", upstream: app", `at most 256`},
		"RegexUnicode":         {"prefix: /, upstream: app", "regex: '/ä', upstream: app", `not plain ASCII`},
		"PriorityRange":        {"upstream: app", "upstream: app, priority: 1001", `use -1000 to 1000`},
		"Shadowed":             {"prefix: /, upstream: app}", "prefix: /, upstream: app, priority: 1}\n  - {name: b, prefix: /b, upstream: app}", `routes.yaml:8: no request reaches the route "b" by its prefix /b, since "app" with prefix / comes first`},
		"ShadowedRegex":        {"prefix: /, upstream: app}", "prefix: /, upstream: app, priority: 1}\n  - {name: b, regex: /b.*, upstream: app}", `no request reaches the route "b" by its regex /b.*`},
		"ShadowedPath":         {"prefix: /, upstream: app}", "regex: /b.*, upstream: app, priority: 1}\n  - {name: b, path: /bc, upstream: app}", `no request reaches the route "b" by its path /bc`},
		"PublicBeforeRegex":    {"prefix: /, upstream: app}", "prefix: /a, upstream: app, public: true, priority: 1}\n  - {name: b, regex: /a/.*x, upstream: app}", `the public route "app" comes before the regex /a/.*x of "b"`},
		"PublicRegex":          {"prefix: /, upstream: app", "regex: /a.*, upstream: app, public: true", `a public route names its paths and prefixes one by one`},
		"PublicIdentity":       {"upstream: app", "upstream: app, public: true, pass_identity_headers: true", `the route is public`},
		"PublicPolicy":         {"upstream: app", "upstream: app, public: true, policy: {a: 1}", `routes.yaml:9: policy: the route is public`},
		"PublicGate":           {"name: app, prefix: /, upstream: app", "name: app, prefix: /, upstream: gate, public: true", `opened by policy`},
		"AddressTwice":         {"'app:3000'", "['app:3000', 'app:3000']", `given twice`},
		"AddressMixed":         {"'app:3000'", "['app:3000', 'unix:/a']", `make two upstreams`},
		"AddressNone":          {"'app:3000'", "[]", `give 1 to 64`},
		"AddressMissing":       {"'app:3000'", "{protocol: http2}", `the key "address" is missing`},
		"Protocol":             {"'app:3000'", "{address: 'app:3000', protocol: h2}", `is not one of http1, http2`},
		"ConnectTimeout":       {"'app:3000'", "{address: 'app:3000', connect_timeout: 2m}", `use 1ms to 1m`},
		"HealthPath":           {"'app:3000'", "{address: 'app:3000', health_check: {path: healthz}}", `health_check.path: "healthz" is no path`},
		"HealthInterval":       {"'app:3000'", "{address: 'app:3000', health_check: {path: /h, interval: 1ms}}", `use 100ms to 1h`},
		"HealthCount":          {"'app:3000'", "{address: 'app:3000', health_check: {path: /h, unhealthy: 0}}", `use 1 to 100`},
		"HealthStatus":         {"'app:3000'", "{address: 'app:3000', health_check: {path: /h, statuses: [500]}}", `no sign of health`},
		"TLSWithoutCA":         {"'app:3000'", "{address: 'app:3000', tls: {}}", `the key "ca" is missing`},
		"TLSRelative":          {"'app:3000'", "{address: 'app:3000', tls: {ca: ca.pem}}", `tls.ca: "ca.pem" must be an absolute path`},
		"TLSHalf":              {"'app:3000'", "{address: 'app:3000', tls: {ca: /ca.pem, cert: /c.pem}}", `cert and key go together`},
		"TLSNobody":            {"'app:3000'", "{address: ['a:1', 'b:1'], tls: {ca: /ca.pem}}", `nobody says whose certificate`},
		"TLSNobodyOnSocket":    {"'app:3000'", "{address: 'unix:/a', tls: {ca: /ca.pem}}", `nobody says whose certificate`},
		"TLSSan":               {"'app:3000'", "{address: 'app:3000', tls: {ca: /ca.pem, san: ['*']}}", `tls.san: "*" is no DNS name`},
		"TLSServerName":        {"'app:3000'", "{address: 'app:3000', tls: {ca: /ca.pem, server_name: '*.x'}}", `tls.server_name: "*.x"`},
	} {
		data := strings.Replace(minimal, c.old, c.fresh, 1)
		if data == minimal {
			t.Errorf("%s changes nothing", name)
		}
		_, err := route.Parse("routes.yaml", []byte(data))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s gave\n  %v\nwant\n  %s", name, err, c.want)
		}
	}
}

func manyHeaders() string {
	var names []string
	for c := 'a'; c <= 'z'; c++ {
		names = append(names, string(c)+"-tenant-"+strings.Repeat(string(c), 10))
	}
	return strings.Join(names, ", ")
}

func TestHeadersThatEnvoySetsMayBeForwarded(t *testing.T) {
	t.Parallel()
	f := parse(t, minimal+"check_headers: [x-forwarded-for, x-forwarded-proto, x-csrf-token]\n")
	for _, want := range []string{"x-forwarded-for", "x-csrf-token", "cookie", "origin", "access-control-request-method"} {
		found := false
		for _, h := range f.Forwarded() {
			found = found || h == want
		}
		if !found {
			t.Errorf("%s is not forwarded", want)
		}
	}
}
