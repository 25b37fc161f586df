package neosc.lib.address_test

import data.neosc.fixtures_test as fixtures
import data.neosc.lib.address

within(value, ranges) if address.within(value, ranges)

else := false

test_within[note] if {
	some note, [value, ranges, expected] in {
		"first of a range": ["203.0.113.0", ["203.0.113.0/24"], true],
		"last of a range": ["203.0.113.255", ["203.0.113.0/24"], true],
		"after a range": ["203.0.114.0", ["203.0.113.0/24"], false],
		"one of several": ["10.1.2.3", ["203.0.113.0/24", "10.0.0.0/8"], true],
		"one address": ["203.0.113.9", ["203.0.113.9"], true],
		"its neighbour": ["203.0.113.10", ["203.0.113.9"], false],
		"version 6": ["2001:db8::7", ["2001:db8::/32"], true],
		"one address of version 6": ["2001:db8::7", ["2001:0db8:0::7"], true],
		"its neighbour of version 6": ["2001:db8::8", ["2001:db8::7"], false],
		"the other version": ["2001:db8::7", ["0.0.0.0/0"], false],
		"no ranges": ["203.0.113.9", [], false],
		"no range": ["203.0.113.9", ["office"], false],
		"no range beside one": ["203.0.113.9", ["office", "300.0.0.0/8", "203.0.113.0/24"], true],
		"no address": ["somewhere", ["0.0.0.0/0", "::/0"], false],
		"a range in a number": ["203.0.113.9", [7], false],
	}
	within(value, ranges) == expected
}

test_client if {
	req := fixtures.request("portal", "GET", "/")
	address.client == "203.0.113.9" with input as req
	address.client_within({"203.0.113.0/24"}) with input as req
	not address.client_within({"10.0.0.0/8"}) with input as req
}

test_no_client_is_nowhere if {
	not address.client_within(["0.0.0.0/0", "::/0"]) with input as {}
}
