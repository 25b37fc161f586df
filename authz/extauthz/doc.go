// Package extauthz speaks Envoy's external authorization protocol
// (envoy.service.auth.v3.Authorization/Check): it reads a CheckRequest into an
// authz.Request, and puts an authz.Outcome into the words that the client
// understands, be it a person's browser (a page, a redirect to sign in) or a
// program (a problem document, RFC 9457).
//
// server.go serves and call.go takes one Check from its bytes to those of its
// answer, both by package wire; request.go reads, allow.go and deny.go answer,
// audience.go tells browsers from programs.
package extauthz
