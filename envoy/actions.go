package envoy

import (
	"regexp"
	"strings"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/neosc/gate/authz/route"
)

// forward sends a request to an upstream.
func (b *builder) forward(e route.Entry) *routev3.RouteAction {
	a := &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: e.Upstream}, Timeout: dur(e.Timeout)}
	if e.Weighted != nil {
		w := &routev3.WeightedCluster{}
		for _, u := range e.Weighted {
			w.Clusters = append(w.Clusters, &routev3.WeightedCluster_ClusterWeight{Name: u.Upstream, Weight: u32(u.Weight)})
		}
		a.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: w}
	}
	if e.IdleTimeout >= 0 {
		a.IdleTimeout = dur(e.IdleTimeout)
	}
	for _, u := range e.Upgrades {
		a.UpgradeConfigs = append(a.UpgradeConfigs, &routev3.RouteAction_UpgradeConfig{UpgradeType: u, Enabled: yes()})
	}
	a.RetryPolicy = b.retryPolicy(e)
	if e.Rewrite.Host != "" {
		a.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: e.Rewrite.Host}
	}
	rewritePath(a, e)
	return a
}

// rewritePath puts another path or prefix in the place of what matched. It
// works on whole segments of a path that is normalised already, so that the
// result is normalised too.
func rewritePath(a *routev3.RouteAction, e route.Entry) {
	switch r := e.Rewrite; {
	case r.Path != "" && e.Match.Path != "":
		a.PrefixRewrite = r.Path
	case r.Path != "":
		a.RegexRewrite = replacePath(`/.*`, r.Path)
	case r.Prefix == "/" && e.Match.Prefix != "/" && e.Match.Prefix != "":
		// As a plain prefix "/" would make "//b" of "/a/b".
		a.RegexRewrite = replacePath(regexp.QuoteMeta(e.Match.Prefix)+`/?`, "/")
	case r.Prefix != "" && e.Match.Prefix == "/" && r.Prefix != "/":
		a.PrefixRewrite = r.Prefix + "/"
	case r.Prefix != "":
		a.PrefixRewrite = r.Prefix
	}
}

// replacePath replaces what an expression matches at the path's beginning; a
// backslash in the substitution would be a group.
func replacePath(expr, with string) *matcherv3.RegexMatchAndSubstitute {
	return &matcherv3.RegexMatchAndSubstitute{
		Pattern: &matcherv3.RegexMatcher{Regex: "^" + expr}, Substitution: strings.ReplaceAll(with, `\`, `\\`),
	}
}

// selections is how often another endpoint is looked for than those that were
// tried: by turns it is the next one, but others take turns meanwhile.
const selections = 5

func (b *builder) retryPolicy(e route.Entry) *routev3.RetryPolicy {
	// Without it all tries can meet the same endpoint. Of requests to a gate's own
	// pages, when one of two was killed, two were lost besides each that it had.
	elsewhere := []*routev3.RetryPolicy_RetryHostPredicate{{
		Name: "previous_hosts", ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: b.any(&previoushostsv3.PreviousHostsPredicate{})},
	}}
	backOff := &routev3.RetryPolicy_RetryBackOff{BaseInterval: dur(25 * time.Millisecond), MaxInterval: dur(250 * time.Millisecond)}
	r := e.Retries
	if r == nil {
		if e.Upstream != route.GateUpstream {
			return nil
		}
		// A gate that is being replaced: only what it has not seen is sent again.
		return &routev3.RetryPolicy{RetryOn: "connect-failure,refused-stream,reset-before-request", NumRetries: u32(3), RetryBackOff: backOff,
			RetryHostPredicate: elsewhere, HostSelectionRetryMaxAttempts: selections}
	}
	on := r.On
	if len(r.Statuses) > 0 {
		on = append(on[:len(on):len(on)], "retriable-status-codes")
	}
	p := &routev3.RetryPolicy{RetryOn: strings.Join(on, ","), NumRetries: u32(r.Attempts), RetriableStatusCodes: r.Statuses, RetryBackOff: backOff,
		RetryHostPredicate: elsewhere, HostSelectionRetryMaxAttempts: selections}
	if r.PerTryTimeout > 0 {
		p.PerTryTimeout = dur(r.PerTryTimeout)
	}
	if r.Safe {
		p.RetriableRequestHeaders = []*routev3.HeaderMatcher{{Name: ":method", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{
			StringMatch: regex("GET|HEAD|OPTIONS"),
		}}}
	}
	return p
}

var redirectCodes = map[uint32]routev3.RedirectAction_RedirectResponseCode{
	301: routev3.RedirectAction_MOVED_PERMANENTLY, 302: routev3.RedirectAction_FOUND, 303: routev3.RedirectAction_SEE_OTHER,
	307: routev3.RedirectAction_TEMPORARY_REDIRECT, 308: routev3.RedirectAction_PERMANENT_REDIRECT,
}

// redirect names scheme and port always: the port is stripped from Host before
// routing.
func redirect(e route.Entry) *routev3.RedirectAction {
	r := e.Redirect
	a := &routev3.RedirectAction{
		SchemeRewriteSpecifier: &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: r.Scheme},
		HostRedirect:           r.Host, PortRedirect: uint32(r.Port), StripQuery: r.StripQuery, ResponseCode: redirectCodes[r.Status],
	}
	switch {
	case r.Path != "":
		a.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: r.Path}
	case r.Prefix == "/" && e.Match.Prefix != "/" && e.Match.Prefix != "":
		a.PathRewriteSpecifier = &routev3.RedirectAction_RegexRewrite{RegexRewrite: replacePath(regexp.QuoteMeta(e.Match.Prefix)+`/?`, "/")}
	case r.Prefix != "" && e.Match.Prefix == "/" && r.Prefix != "/":
		a.PathRewriteSpecifier = &routev3.RedirectAction_PrefixRewrite{PrefixRewrite: r.Prefix + "/"}
	case r.Prefix != "":
		a.PathRewriteSpecifier = &routev3.RedirectAction_PrefixRewrite{PrefixRewrite: r.Prefix}
	}
	return a
}
