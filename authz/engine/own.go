package engine

import (
	"strings"

	"github.com/neosc/gate/authz"
)

// ownRequest copies a request, which else is its caller's alone. Route and
// session are shared and never change.
func ownRequest(r *authz.Request) *authz.Request {
	c := &authz.Request{
		Time: r.Time, ID: strings.Clone(r.ID), Method: strings.Clone(r.Method), Scheme: strings.Clone(r.Scheme),
		Host: strings.Clone(r.Host), Path: strings.Clone(r.Path), Protocol: strings.Clone(r.Protocol),
		Headers: ownHeaders(r.Headers), Route: r.Route, RouteName: strings.Clone(r.RouteName),
		Source: r.Source, Destination: r.Destination, Unreadable: r.Unreadable, Session: r.Session, Certificate: r.Certificate, SNI: strings.Clone(r.SNI),
	}
	c.Source.Principal, c.Destination.Principal = strings.Clone(r.Source.Principal), strings.Clone(r.Destination.Principal)
	c.Source.Certificate, c.Destination.Certificate = strings.Clone(r.Source.Certificate), strings.Clone(r.Destination.Certificate)
	if r.Extensions != nil {
		c.Extensions = make(map[string]string, len(r.Extensions))
		for k, v := range r.Extensions {
			c.Extensions[strings.Clone(k)] = strings.Clone(v)
		}
	}
	return c
}
