package engine_test

import (
	"strings"
	"testing"

	"github.com/neosc/gate/authz/engine"
)

const http = "input.attributes.request.http"

// TestReadsOfForwardedHeadersCompile lists the ways in which a policy may name
// a header, and values that hold all of them may be named.
func TestReadsOfForwardedHeadersCompile(t *testing.T) {
	for name, body := range map[string]string{
		"ByBrackets":      `decision := true if ` + http + `.headers["accept"] == "x"`,
		"ByDot":           `decision := true if ` + http + `.headers.authorization`,
		"Negated":         `decision := true if not ` + http + `.headers.accept`,
		"OfAWildcard":     `decision := true if ` + http + `.headers["sec-fetch-mode"] == "navigate"`,
		"ThroughAnImport": "import input.attributes.request.http as request\n\ndecision := true if request.headers.accept",
		"ThroughAVariable": `decision := true if {
			h := ` + http + `
			hs := h.headers
			hs.accept == "x"
		}`,
		"ThroughARule":              "h := " + http + "\n\nhs := h.headers\n\ndecision := true if hs.accept",
		"ByObjectGet":               `decision := object.get(` + http + `.headers, "accept", "") == ""`,
		"ByObjectGetPath":           `decision := object.get(input, ["attributes", "request", "http", "headers", "accept"], "") == ""`,
		"InAComprehension":          `decision := count([x | x := ` + http + `.headers.accept]) == 0`,
		"OtherFieldsWhole":          `decision := count(input.session.claims) == 0 if input.attributes.contextExtensions`,
		"DynamicInSafePart":         "decision := true if {\n\tsome k\n\tinput.session.claims[k] == 1\n}",
		"PresenceOfANode":           `decision := true if input.attributes.request`,
		"ThroughARuleWithAFixedKey": "x[\"h\"] := " + http + "\n\ndecision := true if x.h.headers.accept",
		"ElseBranches":              "decision := true if {\n\t" + http + ".headers.accept\n} else := false",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := engine.Compile(rego(body), testEdge()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestReadsOfWhatNeverArrivesAreRefused: a deny rule on such a value would
// never fire.
func TestReadsOfWhatNeverArrivesAreRefused(t *testing.T) {
	const (
		notForwarded = "does not forward"
		notFixed     = "not fixed"
		whole        = "whole"
	)
	for _, c := range []struct{ name, body, names string }{
		{"ByBrackets", `decision := true if ` + http + `.headers["x-block"] == "x"`, notForwarded},
		{"ByDot", `decision := true if ` + http + `.headers.dnt`, notForwarded},
		{"Negated", `decision := true if not ` + http + `.headers["x-block"]`, notForwarded},
		{"UpperCase", `decision := true if ` + http + `.headers["Accept"]`, "lower case"},
		{"PseudoHeader", `decision := true if ` + http + `.headers[":path"]`, notForwarded},
		{"ThroughAnImport", "import input.attributes.request.http as request\n\ndecision := true if request.headers.dnt", notForwarded},
		{"ThroughVariables", "decision := true if {\n\th := " + http + "\n\ths := h.headers\n\ths.dnt\n}", notForwarded},
		{"ThroughRules", "h := " + http + "\n\nhs := h.headers\n\ndecision := true if hs.dnt", notForwarded},
		{"ThroughARuleByItsFullPath", "h := " + http + "\n\ndecision := true if data.neosc.authz.h.headers.dnt", notForwarded},
		{"ThroughAnElseBranch", "h := 1 if {\n\tinput.session\n} else := " + http + ".headers\n\ndecision := true if h.dnt", notForwarded},
		{"InTheHead", `decision := ` + http + `.headers.dnt == "1"`, notForwarded},
		{"InAnElseBranch", "decision := true if {\n\tinput.session\n} else := " + http + `.headers.dnt == "1"`, notForwarded},
		{"InAComprehension", `decision := count([x | x := ` + http + `.headers.dnt]) == 0`, notForwarded},
		{"InEvery", `decision := true if every x in [1] { ` + http + `.headers.dnt == x }`, notForwarded},
		{"InAFunction", "f(x) := " + http + ".headers[\"x-block\"] == x\n\ndecision := f(1)", notForwarded},
		{"InAWith", "q if input.session\n\ndecision := true if q with input.session as " + http + ".headers.dnt", notForwarded},
		{"AsAKey", `decision := data.neosc.x[` + http + `.headers.dnt] == 1`, notForwarded},
		{"ByObjectGet", `decision := object.get(` + http + `.headers, "dnt", "") == ""`, notForwarded},
		{"ByObjectGetPath", `decision := object.get(input, ["attributes", "request", "http", "headers", "dnt"], "") == ""`, notForwarded},
		{"ByObjectGetOfAPart", "decision := true if {\n\ths := object.get(" + http + ", \"headers\", {})\n\ths.dnt\n}", notForwarded},
		{"ByAVariableKey", "decision := true if {\n\tsome name\n\t" + http + ".headers[name] == \"x\"\n}", notFixed},
		{"ByAKeyFromData", `decision := true if ` + http + `.headers[data.neosc.name] == "x"`, notFixed},
		{"ByObjectGetVariable", `decision := true if object.get(` + http + `.headers, data.neosc.name, "") == ""`, notFixed},
		{"ByAVariableAbove", "decision := true if {\n\tsome k\n\tinput.attributes.request[k].headers.accept\n}", notFixed},
		{"Iterated", `decision := true if some k, v in ` + http + `.headers`, notFixed},
		{"Counted", `decision := count(` + http + `.headers) == 0`, whole},
		{"Compared", `decision := ` + http + `.headers == {}`, whole},
		{"Destructured", "decision := true if {\n\t{\"dnt\": x} = " + http + ".headers\n\tx == 1\n}", whole},
		{"InAnObject", `x := {"h": ` + http + `}` + "\n\ndecision := true if x.h.headers.dnt", whole},
		{"InAnArray", `decision := true if [` + http + `.headers][0].dnt`, whole},
		{"GivenToAFunction", "f(h) := h.dnt\n\ndecision := f(" + http + ".headers)", whole},
		{"InAPartialRule", "x[k] := v if {\n\tsome k in [\"h\"]\n\tv := " + http + "\n}\n\ndecision := true if x.h.headers.accept", whole},
		{"InASet", `x contains ` + http + `.headers` + "\n\ndecision := count(x) == 0", whole},
		{"Walked", `decision := true if walk(input, [["session"], _])`, whole},
		{"WholeInput", `decision := json.filter(input, ["session"]) == {}`, whole},
		{"PackageWithANode", "h := " + http + "\n\ndecision := count(data.neosc.authz.h) == 0", whole},
		{"Substituted", "q if input.session\n\ndecision := true if q with input as {\"x\": " + http + "}", whole},
		{"Body", `decision := true if input.parsed_body.amount < 10`, "bodies are not forwarded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			src := rego(c.body)
			src.Data = map[string]any{"neosc": map[string]any{"name": "dnt", "x": map[string]any{"a": 1}}}
			_, err := engine.Compile(src, testEdge())
			if err == nil {
				t.Fatal("compiled")
			}
			for _, want := range []string{c.names, "p.rego:", "data.neosc.authz."} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not name %q: %v", want, err)
				}
			}
		})
	}
}

func TestAnyHeaderOfAPackageAboveIsFollowed(t *testing.T) {
	src := rego("decision := true if data.neosc.lib[\"request\"].headers.dnt")
	src.Modules["lib.rego"] = "package neosc.lib\n\nrequest := " + http + "\n"
	if _, err := engine.Compile(src, testEdge()); err == nil || !strings.Contains(err.Error(), "does not forward") {
		t.Errorf("got %v", err)
	}
	src.Modules["p.rego"] = "package neosc.authz\n\ndecision := true if {\n\tsome x\n\tdata.neosc.lib[x].headers.dnt\n}"
	if _, err := engine.Compile(src, testEdge()); err == nil || !strings.Contains(err.Error(), "does not forward") {
		t.Errorf("got %v", err)
	}
	src.Modules["p.rego"] = "package neosc.authz\n\ndecision := count(data.neosc.lib) == 0"
	if _, err := engine.Compile(src, testEdge()); err == nil || !strings.Contains(err.Error(), "whole") {
		t.Errorf("got %v", err)
	}
}

// TestHeadersThatMayNotBeSetAreRefused covers the ways in which a decision may
// state its headers in the text.
func TestHeadersThatMayNotBeSetAreRefused(t *testing.T) {
	for name, body := range map[string]string{
		"InTheDecision":   `decision := {"allowed": true, "headers": {"X-Role": "a"}}`,
		"ByAnotherRule":   "decision := {\"allowed\": true, \"headers\": hs}\n\nhs := {\"x-role\": \"a\"}",
		"ByPartialRules":  "decision := {\"allowed\": true, \"headers\": hs}\n\nhs[\"x-role\"] := \"a\" if input.session",
		"ByAVariable":     "decision := d if {\n\ths := {\"x-role\": \"a\"}\n\td := {\"allowed\": true, \"headers\": hs}\n}",
		"ByAUnion":        "decision := object.union({\"allowed\": true}, {\"headers\": {\"x-role\": \"a\"}})",
		"ByAUnionOfMany":  "decision := {\"allowed\": true, \"headers\": object.union_n([{}, hs])}\n\nhs[\"x-role\"] := \"a\"",
		"ByRulesBelow":    "decision.allowed := true\n\ndecision.headers[\"x-role\"] := \"a\"",
		"AsAnArray":       `decision := {"allowed": true, "headers": [{"x-role": "a"}]}`,
		"InAnElseBranch":  "decision := true if {\n\tinput.session\n} else := {\"allowed\": false, \"headers\": {\"x-role\": \"a\"}}",
		"FromData":        `decision := {"allowed": true, "headers": data.neosc.extra}`,
		"OnTheResponse":   `decision := {"allowed": true, "response_headers_to_add": {"x-role": "a"}}`,
		"RequestHeaderOn": `decision := {"allowed": true, "response_headers_to_add": {"x-session-id": "a", "x-role": "b"}}`,
		"Host":            `decision := {"allowed": true, "headers": {"Host": "a", "x-role": "b"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := rego(body)
			src.Data = map[string]any{"neosc": map[string]any{"extra": map[string]any{"x-role": "a"}}}
			_, err := engine.Compile(src, testEdge())
			if err == nil {
				t.Fatal("compiled")
			}
			for _, want := range []string{"p.rego:", `"x-role"`, "may not set"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not name %q: %v", want, err)
				}
			}
		})
	}
}
