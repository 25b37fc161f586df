# METADATA
# title: Ways in and out by way of an identity provider
# description: What people and providers reach without a session, and nothing beside it.
# scope: package
package neosc.providers_test

import data.neosc.authz
import data.neosc.fixtures_test as fixtures

allowed(route, method, path) if {
	authz.decision.allowed with input as fixtures.request(route, method, path) with time.now_ns as fixtures.noon
}

test_public_for_providers_and_people if {
	allowed("gate", "GET", "/callback/zitadel_onprem")
	allowed("gate", "POST", "/backchannel-logout/zitadel_onprem")
	allowed("gate", "GET", "/oauth2/signed_out")
	allowed("gate", "POST", "/api/auth/token-exchange")
	allowed("gate", "OPTIONS", "/api/auth/token-exchange")
	allowed("gate-api", "POST", "/api/auth/token-exchange")
	allowed("gate", "POST", "/zitadel/actions")
}

test_nothing_beside_it[note] if {
	some at in [
		{"method": "POST", "path": "/callback/zitadel_onprem"},
		{"method": "GET", "path": "/backchannel-logout/zitadel_onprem"},
		{"method": "POST", "path": "/backchannel-logout"},
		{"method": "POST", "path": "/backchannel-logout/a%2fb"},
		{"method": "POST", "path": "/oauth2/signed_out"},
		{"method": "GET", "path": "/api/auth/token-exchange"},
		{"method": "POST", "path": "/api/auth/token-exchange/"},
		{"method": "POST", "path": "/backchannel-logout2/zitadel_onprem"},
		{"method": "GET", "path": "/zitadel/actions"},
		{"method": "POST", "path": "/zitadel/actions/x"},
		{"method": "POST", "path": "/zitadel"},
	]
	note := sprintf("%v", [at])
	not allowed("gate", at.method, at.path)
	not allowed("portal", "POST", "/backchannel-logout/zitadel_onprem")
	not allowed("gate-api", "POST", "/zitadel/actions")
}
