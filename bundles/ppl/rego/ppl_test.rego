package neosc.lib.ppl_test

import data.neosc.lib.ppl

yes := {"is": true, "login": false}

no := {"is": false, "login": false}

# What a criterion about a person is to a stranger, and the same inverted.
stranger := {"is": false, "login": true}

turned := {"is": true, "login": true}

test_operators[note] if {
	some note, [results, all, any, none, nor] in {
		"none": [[], yes, no, yes, no],
		"yes": [[yes], yes, yes, no, no],
		"no": [[no], no, no, yes, yes],
		"both": [[yes, no], no, yes, no, yes],
		"a stranger": [[stranger], stranger, stranger, turned, turned],
		"a stranger and yes": [[stranger, yes], stranger, yes, no, turned],
		"a stranger and no": [[stranger, no], stranger, stranger, turned, turned],
	}
	ppl.all_of(results) == all
	ppl.any_of(results) == any
	ppl.not_of(results) == none
	ppl.nor_of(results) == nor
}

test_personal if {
	ppl.personal(true) == stranger with input as {}
	ppl.personal(true) == stranger with input as {"session": {"user": {"id": ""}}}
	ppl.personal(true) == yes with input as {"session": {"user": {"id": "u"}}}
	ppl.personal(false) == no with input as {"session": {"user": {"id": "u"}}}
	ppl.plain(true) == yes with input as {}
}

test_emails if {
	said := {"session": {"user": {"email": "a@kappa4.com", "email_verified": false}}}
	not ppl.email with input as said
	ppl.email_said == "a@kappa4.com" with input as said
	ppl.email == "a@kappa4.com" with input as object.union(said, {"session": {"user": {"email_verified": true}}})
	ppl.domain("a@b@kappa4.com") == "kappa4.com"
	not ppl.domain("kappa4.com")
	ppl.domain_said == "kappa4.com" with input as said
	ppl.domain_said == "" with input as {}
	ppl.email_said == "" with input as {}
}

test_named if {
	ana := {"session": {"user": {"id": "u-7", "email": "a@kappa4.com", "email_verified": true}}}
	ppl.named(["u-7"]) with input as ana
	ppl.named(["a@kappa4.com"]) with input as ana
	not ppl.named(["u-8", "b@kappa4.com"]) with input as ana
	not ppl.named(["a@kappa4.com"]) with input as object.union(ana, {"session": {"user": {"email_verified": false}}})
}

test_path if {
	ppl.path == "/a/b" with input as {"attributes": {"request": {"http": {"path": "/a/b?c=/d"}}}}
}

claims := {"a": "x", "b": {"c": ["y", 7, {"d": true}]}, "b.c": "z"}

test_claims if {
	ppl.claim("a") == ["x"] with input.session.claims as claims
	{v | some v in ppl.claim("b.c")} == {"y", "7", "z"} with input.session.claims as claims
	ppl.claim("b.c.d") == ["true"] with input.session.claims as claims
	ppl.claim("b") == [] with input.session.claims as claims
	ppl.claim("a") == [] with input as {}
}

test_any_text if {
	ppl.any_text("a") with input.session.claims as {"a": "demo-1"}
	not ppl.any_text("a") with input.session.claims as {"a": ""}
	not ppl.any_text("a") with input.session.claims as {"a": ["demo-1"]}
	not ppl.any_text("a") with input.session.claims as {}
}

test_running if {
	ppl.running("end") with input.session.claims as {"end": 1772713800} with time.now_ns as 1772713799000000000
	not ppl.running("end") with input.session.claims as {"end": 1772713800} with time.now_ns as 1772713800000000000
	not ppl.running("end") with input.session.claims as {}
}

test_dated[note] if {
	some note, [period, expected] in {
		"after": [{"after": 999}, true],
		"not after": [{"after": 1000}, false],
		"before": [{"before": 1001}, true],
		"not before": [{"before": 1000}, false],
		"between": [{"after": 999, "before": 1001}, true],
		"after but not before": [{"after": 1, "before": 999}, false],
		"no side": [{}, false],
		"an unknown one": [{"after": 1, "around": 1000}, false],
	}
	dated(period) == expected with time.now_ns as 1000
}

dated(period) if ppl.dated(period)

else := false

test_texts[note] if {
	some note, [value, matcher, expected] in {
		"is": ["a", {"is": "a"}, true],
		"is another": ["a", {"is": "b"}, false],
		"not": ["a", {"not": "b"}, true],
		"not that": ["a", {"not": "a"}, false],
		"contains": ["abc", {"contains": "b"}, true],
		"begins and ends": ["abc", {"starts_with": "a", "ends_with": "c"}, true],
		"begins but does not end": ["abc", {"starts_with": "a", "ends_with": "b"}, false],
		"in": ["a", {"in": ["b", "a"]}, true],
		"not in": ["a", {"not_in": ["b"]}, true],
		"not in that": ["a", {"not_in": ["a"]}, false],
		"no condition": ["a", {}, false],
		"an unknown one": ["a", {"is": "a", "like": "a"}, false],
	}
	matches(value, matcher) == expected
}

matches(value, matcher) if ppl.matches(value, matcher)

else := false

test_lists[note] if {
	some note, [values, matcher, expected] in {
		"has": [["a", "b"], {"has": "a"}, true],
		"has not": [["b"], {"has": "a"}, false],
		"only": [["a", "a"], {"is": "a"}, true],
		"not only": [["a", "b"], {"is": "a"}, false],
		"nothing is only": [[], {"is": "a"}, false],
		"exclude": [["b"], {"exclude": "a"}, true],
		"exclude that": [["a"], {"exclude": "a"}, false],
		"has but not": [["a", "b"], {"has": "a", "exclude": "b"}, false],
		"no condition": [["a"], {}, false],
		"an unknown one": [["a"], {"like": "a"}, false],
	}
	lists(values, matcher) == expected
}

lists(values, matcher) if ppl.lists(values, matcher)

else := false

test_perhaps_within if {
	from := {"attributes": {"source": {"address": {"socketAddress": {"address": "203.0.113.9"}}}}}
	ppl.perhaps_within(["203.0.113.0/24"]) with input as from
	not ppl.perhaps_within(["10.0.0.0/8"]) with input as from
	ppl.perhaps_within(["10.0.0.0/8"]) with input as {}
}
