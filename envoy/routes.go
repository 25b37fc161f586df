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

// routeConfig names the one route table.
const routeConfig = "edge"

// contextRoute is the context extension that tells the gate which route Envoy
// matched. The gate never matches again: two matchers disagree one day
// (CVE-2023-33189).
const contextRoute = "route"

// refused is the name of the routes that answer 400 without a check. No route
// of the file can have it.
const refused = "_refused"

// contextRevision is the context extension that tells the gate by which routes
// file Envoy matched, so that while files change, or when Envoy refused the new
// one, each request is judged by the file that matched it.
const contextRevision = "routes"

// aName is what the host below a wildcard must be, since it becomes part of
// return targets and of what upstreams are told.
const aName = `([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9-]+`

// routeConfiguration has one virtual host per host of the file and none for
// others: an unknown host, and a path that no route matches, get 404 without a
// check.
func (b *builder) routeConfiguration() *routev3.RouteConfiguration {
	rc := &routev3.RouteConfiguration{Name: routeConfig}
	for _, h := range b.Routes.Hosts() {
		rc.VirtualHosts = append(rc.VirtualHosts, b.virtualHost(h))
	}
	return rc
}

func (b *builder) virtualHost(h route.Host) *routev3.VirtualHost {
	v := &routev3.VirtualHost{Name: h.Name, Domains: []string{h.Name}, Routes: make([]*routev3.Route, 0, len(h.Entries)+2)}
	v.TypedPerFilterConfig = map[string]*anypb.Any{filterExtAuthz: b.checkSettings(contextRevision, b.Routes.Revision())}
	if h.CORS != nil {
		v.TypedPerFilterConfig[filterCORS] = b.any(corsPolicy(h.CORS))
	}
	v.Routes = append(v.Routes, b.refuse("ambiguous path\n", &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{
		SafeRegex: &matcherv3.RegexMatcher{Regex: route.AmbiguousPaths()},
	}}))
	if strings.HasPrefix(h.Name, "*") {
		v.Routes = append(v.Routes, b.refuse("no such host\n", &routev3.RouteMatch{
			PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"},
			Headers: []*routev3.HeaderMatcher{{Name: ":authority", InvertMatch: true, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{
				StringMatch: regex(aName),
			}}},
		}))
	}
	for _, e := range h.Entries {
		v.Routes = append(v.Routes, b.routesOf(e)...)
	}
	return v
}

// refuse answers 400 by itself. Nothing lies behind such a route, so the check
// is left out.
func (b *builder) refuse(body string, m *routev3.RouteMatch) *routev3.Route {
	return &routev3.Route{
		Name: refused, Match: m,
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: 400,
			Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: body}},
		}},
		TypedPerFilterConfig: b.unchecked(),
	}
}

// unchecked leaves the check out.
func (b *builder) unchecked() map[string]*anypb.Any {
	return map[string]*anypb.Any{filterExtAuthz: b.any(&extauthzv3.ExtAuthzPerRoute{Override: &extauthzv3.ExtAuthzPerRoute_Disabled{Disabled: true}})}
}

// checkSettings tells the gate one thing more about each request.
func (b *builder) checkSettings(key, value string) *anypb.Any {
	return b.any(&extauthzv3.ExtAuthzPerRoute{Override: &extauthzv3.ExtAuthzPerRoute_CheckSettings{
		CheckSettings: &extauthzv3.CheckSettings{ContextExtensions: map[string]string{key: value}},
	}})
}

func (b *builder) route(e route.Entry) *routev3.Route {
	r := &routev3.Route{Name: e.Route.Name, Match: match(e.Match)}
	switch {
	case e.Redirect != nil:
		r.Action = &routev3.Route_Redirect{Redirect: redirect(e)}
	case e.Respond != nil:
		r.Action = &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: e.Respond.Status, Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: e.Respond.Body}},
		}}
		r.ResponseHeadersToAdd = []*corev3.HeaderValueOption{{
			Header: &corev3.HeaderValue{Key: "content-type", Value: e.Respond.ContentType}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}}
	default:
		r.Action = &routev3.Route_Route{Route: b.forward(e)}
	}
	if !e.Public {
		r.TypedPerFilterConfig = map[string]*anypb.Any{filterExtAuthz: b.checkSettings(contextRoute, e.Route.Name)}
		return r
	}
	r.TypedPerFilterConfig = b.unchecked()
	// Nobody takes the session cookie off what is not checked, and Envoy cannot
	// take off one cookie of several.
	r.RequestHeadersToRemove = []string{"cookie"}
	if !e.Route.PassAuthorization {
		r.RequestHeadersToRemove = append(r.RequestHeadersToRemove, "authorization")
	}
	return r
}

func match(m route.Match) *routev3.RouteMatch {
	switch {
	case m.Path != "":
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: m.Path}}
	case m.Regex != "":
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: m.Regex}}}
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
