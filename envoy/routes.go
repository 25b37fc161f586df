package envoy

import (
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/neosc/gate/authz/route"
)

// contextRoute is the context extension that tells the gate which route Envoy
// matched. The gate never matches again: two matchers disagree one day
// (CVE-2023-33189).
const contextRoute = "route"

// refused is the name of the routes that answer 400 without a check. No route
// of the file can have it.
const refused = "_refused"

// ambiguousPaths have no one meaning: upstreams decode them differently, or
// once more than the judge did. Normalisation leaves them as they are.
var ambiguousPaths = []string{
	// A percent sign that escapes nothing.
	`.*%([^0-9a-fA-F].*|.[^0-9a-fA-F].*|.?)`,
	// Control characters, overlong UTF-8, and escapes of what is escaped again:
	// %252f is a slash to whoever decodes twice.
	`.*%([01].|7[fF]|[cC][01]|25(2[5eEfF]|5[cC]|00|3[bB])).*`,
	// "..;" is ".." to servers that take path parameters off.
	`.*/\.{1,2}(;|%3[bB]).*`,
}

// routeConfiguration has one virtual host per host of the file and none for
// others: an unknown host, and a path that no route matches, get 404 without a
// check.
func (b *builder) routeConfiguration() *routev3.RouteConfiguration {
	rc := &routev3.RouteConfiguration{Name: "edge"}
	for _, h := range b.Routes.Hosts() {
		rc.VirtualHosts = append(rc.VirtualHosts, b.virtualHost(h))
	}
	return rc
}

func (b *builder) virtualHost(h route.Host) *routev3.VirtualHost {
	v := &routev3.VirtualHost{Name: h.Name, Domains: []string{h.Name}}
	if h.CORS != nil {
		v.TypedPerFilterConfig = map[string]*anypb.Any{filterCORS: b.any(corsPolicy(h.CORS))}
	}
	for _, expr := range ambiguousPaths {
		v.Routes = append(v.Routes, b.refuse(expr))
	}
	for _, e := range h.Entries {
		v.Routes = append(v.Routes, b.route(e))
	}
	return v
}

// refuse answers 400 by itself. Nothing lies behind such a route, so the check
// is left out.
func (b *builder) refuse(expr string) *routev3.Route {
	return &routev3.Route{
		Name: refused,
		Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{
			SafeRegex: &matcherv3.RegexMatcher{Regex: expr},
		}},
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: 400,
			Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "ambiguous path\n"}},
		}},
		TypedPerFilterConfig: map[string]*anypb.Any{filterExtAuthz: b.any(&extauthzv3.ExtAuthzPerRoute{
			Override: &extauthzv3.ExtAuthzPerRoute_Disabled{Disabled: true},
		})},
	}
}

func (b *builder) route(e route.Entry) *routev3.Route {
	action := &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: e.Upstream},
		Timeout:          dur(e.Timeout),
	}
	if e.IdleTimeout >= 0 {
		action.IdleTimeout = dur(e.IdleTimeout)
	}
	for _, u := range e.Upgrades {
		action.UpgradeConfigs = append(action.UpgradeConfigs, &routev3.RouteAction_UpgradeConfig{UpgradeType: u, Enabled: yes()})
	}
	if e.Upstream == route.GateUpstream {
		// A gate that is being replaced: only what it has not seen is sent again.
		action.RetryPolicy = &routev3.RetryPolicy{
			RetryOn: "connect-failure,refused-stream,reset-before-request", NumRetries: u32(3),
			RetryBackOff: &routev3.RetryPolicy_RetryBackOff{BaseInterval: dur(25 * time.Millisecond), MaxInterval: dur(250 * time.Millisecond)},
		}
	}
	return &routev3.Route{
		Name: e.Route.Name, Match: match(e.Match), Action: &routev3.Route_Route{Route: action},
		TypedPerFilterConfig: map[string]*anypb.Any{filterExtAuthz: b.any(&extauthzv3.ExtAuthzPerRoute{
			Override: &extauthzv3.ExtAuthzPerRoute_CheckSettings{CheckSettings: &extauthzv3.CheckSettings{
				ContextExtensions: map[string]string{contextRoute: e.Route.Name},
			}},
		})},
	}
}

func match(m route.Match) *routev3.RouteMatch {
	switch {
	case m.Path != "":
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: m.Path}}
	case m.Prefix == "/":
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
	default:
		// Ends at a segment: /api/auth does not match /api/authx.
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: m.Prefix}}
	}
}

// corsPolicy lets Envoy answer the preflights of the listed origins. Others,
// and what only looks like a preflight, go on to the check.
func corsPolicy(c *route.CORS) *corsv3.CorsPolicy {
	p := &corsv3.CorsPolicy{
		AllowMethods: strings.Join(c.Methods, ", "), AllowHeaders: strings.Join(c.Headers, ", "),
		ExposeHeaders: strings.Join(c.ExposeHeaders, ", "), MaxAge: strconv.Itoa(int(c.MaxAge / time.Second)),
		ForwardNotMatchingPreflights: yes(),
	}
	if c.Credentials {
		p.AllowCredentials = yes()
	}
	for _, o := range c.AllowOrigins {
		p.AllowOriginStringMatch = append(p.AllowOriginStringMatch, exactly(o))
	}
	return p
}
