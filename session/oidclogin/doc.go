// Package oidclogin signs people in at OpenID Connect providers: the
// authorization code flow with PKCE, the mapping of claims to an identity, and
// the ways in which such a session ends (OpenID Connect Core 1.0, RFC 7636,
// RFC 9207, RP-Initiated Logout 1.0, Back-Channel Logout 1.0, RFC 7009).
//
// go-oidc checks a token's signature, issuer, audience and expiry. It accepts a
// wrong or missing nonce, a foreign azp, extra audiences, an empty subject, an
// instant of issue in the future and a wrong at_hash, and its key set refuses
// all keys for one that is malformed. Each of these is closed here, as is what
// an HTTP client does by default: every request is bounded in time and size,
// and none follows a redirect, because a token endpoint that answers 307 would
// have code and verifier posted on to wherever it points.
package oidclogin
