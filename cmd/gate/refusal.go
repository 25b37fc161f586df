package main

import (
	"strings"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/extauthz"
	"github.com/neosc/gate/authz/limit"
	"github.com/neosc/gate/session/web/pages"
)

// refusalPage lets the pages of the gate's own host speak for the decision.
func (a *app) refusalPage(r extauthz.Refusal) extauthz.Page {
	v := pages.RefusalView{
		Status: r.Status, Reasons: r.Reasons, Host: r.Request.Host, Path: r.Request.Path, Method: r.Request.Method,
		RequestID: r.Request.ID, RetryAfter: r.RetryAfter, Explain: r.Explain, Now: r.Request.Time, Hours: a.hours(),
	}
	if r.Request.Route != nil {
		v.Origin = authz.OwnOrigin(r.Request)
	}
	if s := r.Session; s != nil {
		v.UserEmail, v.Roles = s.Identity.Email, s.Identity.Roles
	}
	if r.Explain {
		v.Why = why(r)
	}
	if c := r.Charge; c != nil {
		v.Limit = &pages.LimitView{RequestsPerSecond: c.Rate, Burst: c.Burst}
		for _, h := range limit.Headers(*c, r.Spent) {
			v.Limit.Headers = append(v.Limit.Headers, pages.Header{Name: h.Name, Value: h.Value})
		}
	}
	p := a.pages.Refusal(v)
	out := extauthz.Page{ContentType: p.ContentType, Body: string(p.Body)}
	for _, h := range p.Headers() {
		out.Headers = append(out.Headers, authz.Header{Name: strings.ToLower(h.Name), Value: h.Value})
	}
	return out
}

// why tells those whom policy lets see it which reasons fired.
func why(r extauthz.Refusal) []pages.WhyItem {
	var items []pages.WhyItem
	if s := r.Session; s != nil {
		items = append(items, pages.WhyItem{Tone: "good", Text: "Signed in, session valid until " + s.ExpiresAt.UTC().Format("15:04") + " UTC", Sub: "session"})
	}
	for _, reason := range r.Reasons {
		items = append(items, pages.WhyItem{Tone: "bad", Text: extauthz.Detail(reason), Sub: reason + ", route " + r.Request.RouteName})
	}
	return items
}
