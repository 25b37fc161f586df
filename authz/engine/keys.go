package engine

import "github.com/open-policy-agent/opa/v1/ast"

// The input document's field names and constant parts as terms, made once:
// terms are never written to after they are made, so every decision shares them.
var (
	keyAddress           = ast.StringTerm("address")
	keyAMR               = ast.StringTerm("amr")
	keyAttributes        = ast.StringTerm("attributes")
	keyAuthenticatedAt   = ast.StringTerm("authenticated_at")
	keyClaims            = ast.StringTerm("claims")
	keyContextExtensions = ast.StringTerm("contextExtensions")
	keyDestination       = ast.StringTerm("destination")
	keyEmail             = ast.StringTerm("email")
	keyEmailVerified     = ast.StringTerm("email_verified")
	keyExpiresAt         = ast.StringTerm("expires_at")
	keyGroups            = ast.StringTerm("groups")
	keyHeaders           = ast.StringTerm("headers")
	keyHost              = ast.StringTerm("host")
	keyHTTP              = ast.StringTerm("http")
	keyID                = ast.StringTerm("id")
	keyIdentityHeaders   = ast.StringTerm("identity_headers")
	keyKind              = ast.StringTerm("kind")
	keyMethod            = ast.StringTerm("method")
	keyName              = ast.StringTerm("name")
	keyOrganization      = ast.StringTerm("organization")
	keyParsedBody        = ast.StringTerm("parsed_body")
	keyParsedPath        = ast.StringTerm("parsed_path")
	keyParsedQuery       = ast.StringTerm("parsed_query")
	keyPath              = ast.StringTerm("path")
	keyPolicy            = ast.StringTerm("policy")
	keyPortValue         = ast.StringTerm("portValue")
	keyPrefix            = ast.StringTerm("prefix")
	keyPrincipal         = ast.StringTerm("principal")
	keyProtocol          = ast.StringTerm("protocol")
	keyProvider          = ast.StringTerm("provider")
	keyRequest           = ast.StringTerm("request")
	keyRoles             = ast.StringTerm("roles")
	keyRoute             = ast.StringTerm("route")
	keyScheme            = ast.StringTerm("scheme")
	keySession           = ast.StringTerm("session")
	keySocketAddress     = ast.StringTerm("socketAddress")
	keySource            = ast.StringTerm("source")
	keyTime              = ast.StringTerm("time")
	keyUser              = ast.StringTerm("user")
	keyVersion           = ast.StringTerm("version")

	termVersion = ast.ObjectTerm(
		ast.Item(ast.StringTerm("encoding"), ast.StringTerm("protojson")),
		ast.Item(ast.StringTerm("ext_authz"), ast.StringTerm("v3")),
	)
)
