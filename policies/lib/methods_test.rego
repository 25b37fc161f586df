package neosc.lib.methods_test

import data.neosc.fixtures_test as fixtures
import data.neosc.lib.methods

reading(method) if methods.reading with input as fixtures.request("api", method, "/")

else := false

test_reading[method] if {
	some method, expected in {
		"GET": true, "HEAD": true, "OPTIONS": true, "POST": false, "PUT": false, "PATCH": false, "DELETE": false,
		"TRACE": false, "get": false, "": false,
	}
	reading(method) == expected
}

asked(method, headers) if {
	methods.preflight with input.attributes.request.http as {"method": method, "headers": headers}
} else := false

test_preflight[note] if {
	some note, [method, headers, expected] in {
		"preflight": ["OPTIONS", {"origin": "https://a.example", "access-control-request-method": "PUT"}, true],
		"no origin": ["OPTIONS", {"access-control-request-method": "PUT"}, false],
		"empty origin": ["OPTIONS", {"origin": "", "access-control-request-method": "PUT"}, false],
		"no method asked for": ["OPTIONS", {"origin": "https://a.example"}, false],
		"another method": ["POST", {"origin": "https://a.example", "access-control-request-method": "PUT"}, false],
	}
	asked(method, headers) == expected
}
